"""Stages: a layer and the activation right after it, and chains of them."""

from __future__ import annotations

from typing import NamedTuple, final

from actlab.formula.activation import Activation
from actlab.rules.construction.layers import DROPOUTS, weight_of
from actlab.rules.context import Context, once
from actlab.rules.dataflow import back, behind, data_of, is_layer, sole
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.site import Site
from actlab.sites.trace.trace import Step

# They change the mean square of the signal little or not at all.
_PRESERVES_SIZE = MOVES | DROPOUTS | {"max_pool1d", "max_pool2d", "max_pool3d", "alpha_dropout"}


@final
class Stage(NamedTuple):
    """A layer and the activation right after it.

    Attributes:
        layer: its step.
        site: of the activation.
        scale: fan_in times the mean square of the weights.
        source: the number of the value that the layer reads.
        output: the number of the value that the activation computes.
    """

    layer: Step
    site: Site
    scale: float
    source: int
    output: int


@once
def stages(context: Context) -> list[Stage]:
    """Return every layer with an activation right after it, in order."""
    found = list[Stage]()
    layers = dict[int, tuple[float, int] | None]()  # by the place of a layer, its scale and what it reads
    scales = dict[tuple[int, ...], float]()  # by the memory of a weight, and its shape
    before = dict[int, Step | None]()  # by the place of what computes an activation's input, the layer that it moves
    trace = context.trace
    for place, at in sorted(trace.site_of.items()):
        step, site = trace.steps[place], trace.sites[at]
        maker = trace.maker(step.inputs[0]) if step.inputs else None
        if maker is None or step.part == "loss" or site.gate is not None or not isinstance(site.formula, Activation):
            continue
        if maker.place not in before:
            before[maker.place] = _layer_before(context, step.inputs[0])
        layer = before[maker.place]
        if layer is None:
            continue
        if layer.place not in layers:
            layers[layer.place] = _described(context, layer, scales)
        known = layers[layer.place]
        if known is not None:
            found.append(Stage(layer, site, *known, _output(context, step)))
    return found


def _described(context: Context, layer: Step, scales: dict[tuple[int, ...], float]) -> tuple[float, int] | None:
    """Return the scale of the layer's weights, and the number of the value that it reads; None if one is unknown."""
    weight, source = weight_of(context, layer), data_of(context.trace, layer)
    if weight is None or source is None:
        return None
    key = weight.data_ptr(), *weight.shape
    if key not in scales:
        fan_in = weight.numel() / weight.shape[0]
        scales[key] = fan_in * float(weight.detach().float().square().mean())
    return scales[key], source


def _layer_before(context: Context, value: int) -> Step | None:
    for step in back(context.trace, value, MOVES):
        if is_layer(context.trace, step) and "transpose" not in step.function:
            return step
    return None


def _output(context: Context, step: Step) -> int:
    """Return the output of the whole activation whose first step this is."""
    site_of, last = context.trace.site_of, step
    at = site_of[step.place]
    while True:
        output = last.outputs[0]
        for reader in context.trace.readers(output):
            if site_of.get(reader.place) == at and reader.place > last.place:
                last = reader
                break
        else:
            return output


def chains(context: Context) -> list[list[Stage]]:
    """Return runs of stages with nothing in between that changes the size of the signal."""
    found: list[list[Stage]] = []
    ending: dict[int, list[Stage]] = {}  # by the output of the last stage
    origins: dict[int, int] = {}  # by what a layer reads, the value that it is but for moves and joints
    for stage in stages(context):
        origin = origins.get(stage.source)
        if origin is None:
            origin = sole(context.trace, behind(context.trace, stage.source, _PRESERVES_SIZE)).value
            origins[stage.source] = origin
        chain = ending.pop(origin, None)
        if chain is None:
            chain = []
            found.append(chain)
        chain.append(stage)
        ending.setdefault(stage.output, chain)
    return found
