"""Findings about the weights' size at the start, and about what selu needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.sites.site import Site
from actlab.sites.trace import Step
from actlab.theory.gains import gain, moments
from actlab.watch.finding import Finding
from actlab.watch.flow import MOVES, back, data_of, is_layer, sole
from actlab.watch.layer_rules import DROPOUTS, place, weight_of
from actlab.watch.seen import Seen, finding

_KEEPS_SIZE = MOVES | DROPOUTS | {"max_pool1d", "max_pool2d", "max_pool3d", "alpha_dropout"}
_DEFAULT = (0.25, 0.42)
"""fan_in times the variance of PyTorch's own start is 1/3; small layers scatter around it."""


@final
@dataclass(frozen=True)
class Stage:
    """A layer and the activation right behind it.

    Attributes:
        layer: its step.
        site: of the activation.
        scale: fan_in times the mean square of the weights.
        before: the number of the value that the layer reads.
        answer: the number of the value that the activation makes.
    """

    layer: Step
    site: Site
    scale: float
    before: int
    answer: int


def stages(seen: Seen) -> list[Stage]:
    """Every layer with an activation right behind it, in order."""
    found = []
    for step in seen.trace.steps:
        site = seen.trace.site_at(step)
        if site is None or step.part == "loss" or not step.inputs or site.gate is not None:
            continue
        made = _layer_before(seen, step.inputs[0])
        weight = None if made is None else weight_of(seen, made)
        before = None if made is None else data_of(seen.trace, made)
        if made is not None and weight is not None and before is not None and isinstance(site.formula, Activation):
            fan_in = weight.numel() / weight.shape[0]
            scale = fan_in * float(weight.detach().float().square().mean())
            found.append(Stage(made, site, scale, before, _answer(seen, step)))
    return found


def _layer_before(seen: Seen, value: int) -> Step | None:
    for step in back(seen.trace, value, MOVES):
        if is_layer(seen.trace, step) and "transpose" not in step.function:
            return step
    return None


def _answer(seen: Seen, step: Step) -> int:
    """What the whole activation gives, of which the step is the first part."""
    at = seen.trace.site_of[step.place]
    value = step.outputs[0]
    for reader in seen.trace.steps[step.place + 1 :]:
        if seen.trace.site_of.get(reader.place) == at and value in reader.inputs:
            value = reader.outputs[0]
    return value


def chains(seen: Seen) -> list[list[Stage]]:
    """Stages that follow each other with nothing between that changes the signal's size."""
    found: list[list[Stage]] = []
    for stage in stages(seen):
        value = sole(seen.trace, _sized(seen, stage.before)).value
        chain = next((chain for chain in found if chain[-1].answer == value), None)
        if chain is None:
            found.append([stage])
        else:
            chain.append(stage)
    return found


def _sized(seen: Seen, value: int) -> int:
    step = seen.trace.maker(value)
    while step is not None and step.function in _KEEPS_SIZE and step.inputs:
        value = step.inputs[0]
        step = seen.trace.maker(value)
    return value


def does_not_fit(seen: Seen) -> Iterator[Finding]:
    """AL303: over a chain of layers the signal, or its gradient, grows or shrinks out of bounds."""
    if not seen.is_fresh:
        return
    for chain in chains(seen):
        if len(chain) < 3 or any(stage.site.activation == "selu" for stage in chain):
            continue
        forward, backward = _carried(seen, chain)
        limit = seen.settings.depth_factor
        if all(_DEFAULT[0] < stage.scale < _DEFAULT[1] for stage in chain):
            limit = limit**4  # biases of the same start hold the signal up
        if abs(math.log(forward)) > math.log(limit) or abs(math.log(backward)) > 2 * math.log(limit):
            yield _misfit(seen, chain, forward, backward)


def _carried(seen: Seen, chain: list[Stage]) -> tuple[float, float]:
    """By how much the second moment grows over the chain, and that of the gradient on its way back."""
    start = seen.observed.size.get(chain[0].layer.place, 1.0)
    signal = start or 1.0
    forward = backward = 1.0
    for stage in chain:
        variance = min(max(stage.scale * signal, 1e-24), 1e12)
        grown = _second_moment(stage.site.formula, variance)
        if grown is None:
            return 1.0, 1.0
        steepness = _second_moment(stage.site.formula, variance, slope=True)
        backward *= max((steepness or 1.0) * stage.scale, 1e-30)
        forward *= max(grown / max(signal, 1e-30), 1e-30)
        signal = max(grown, 1e-30)
    return forward, backward


def _second_moment(formula: object, variance: float, *, slope: bool = False) -> float | None:
    """E f(z)² for normal z of this variance, or E f'(z)²."""
    if not isinstance(formula, Activation):
        return None
    try:
        found = moments(formula, variance)
    except ActlabError:
        return None
    return found.slope_second if slope else found.second


def _misfit(seen: Seen, chain: list[Stage], forward: float, backward: float) -> Finding:
    first, names = chain[0], sorted({stage.site.activation for stage in chain})
    wanted = _gain(first.site)
    has = math.sqrt(math.exp(sum(math.log(max(stage.scale, 1e-30)) for stage in chain) / len(chain)))
    return finding(
        "AL303",
        f"over {len(chain)} layers with {', '.join(names)} the weights at the start change the signal's mean square by a"
        f" factor of {forward:.2g} and the gradient's by {backward:.2g}: their gain is {has:.3g} where {wanted:.4g} keeps"
        " the size.",
        site=first.site,
        layers=[place(seen, stage.layer) for stage in chain],
        gain=has,
        right_gain=wanted,
        signal_factor=forward,
        gradient_factor=backward,
        depth=len(chain),
    )


def _gain(site: Site) -> float:
    assert isinstance(site.formula, Activation)
    try:
        return gain(site.formula)
    except ActlabError:
        return 1.0


def selu_start(seen: Seen) -> Iterator[Finding]:
    """AL304: selu behind weights whose variance is not 1/fan_in."""
    found = [stage for stage in stages(seen) if stage.site.activation == "selu"]
    off = [stage for stage in found if not _is_lecun(stage.scale, seen.settings.lecun_factor)]
    if off and seen.is_fresh:
        few = len(found) < seen.settings.fewest_layers
        yield finding(
            "AL304",
            f"selu keeps mean 0 and variance 1 only behind weights of variance 1/fan_in; at {len(off)} of {len(found)}"
            f" places it is not, at the first {off[0].scale:.2f}/fan_in.",
            site=off[0].site,
            severity="information" if few else "warning",
            variance_times_fan_in=[round(stage.scale, 4) for stage in off],
            layers=[place(seen, stage.layer) for stage in off],
            places=len(found),
        )


def _is_lecun(scale: float, factor: float) -> bool:
    return 1 / factor <= scale <= factor


def selu_dropout(seen: Seen) -> Iterator[Finding]:
    """AL305: plain dropout of what selu gives."""
    told: set[str] = set()
    for step in seen.trace.steps:
        if step.function not in DROPOUTS or not step.inputs or step.arguments.get("p", 0.5) == 0:
            continue
        made = sole(seen.trace, step.inputs[0])
        if made.name == "selu" and made.site is not None and made.site.name not in told:
            told.add(made.site.name)
            yield finding(
                "AL305",
                "plain dropout sets what selu gives to 0, which moves mean and variance off the fixed point that selu"
                " relies on; alpha dropout keeps them.",
                site=made.site,
                p=step.arguments.get("p", 0.5),
            )


RULES = (does_not_fit, selu_start, selu_dropout)
