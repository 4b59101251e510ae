"""Findings about what stands between two layers with weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from actlab.rules.context import Observed, Context, finding
from actlab.rules.dataflow import (
    PRODUCTS,
    back,
    behind,
    biased,
    data_of,
    is_layer,
    parameter_behind,
    parameters_of,
    sole,
    spot_of,
)
from actlab.rules.finding import Finding
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.trace.trace import Step

DROPOUTS = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "native_dropout"})
_POOLS = frozenset({"avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean"})
_TURNS = frozenset({"transpose", "permute", "movedim", "moveaxis", "swapaxes", "T", "mT"})
_AFFINE = (
    MOVES - _TURNS - {"gather", "getitem", "masked_select", "index_select", "chunk", "split", "unbind"}
) | DROPOUTS
STRAIGHT = _AFFINE | _POOLS | {"batch_norm", "alpha_dropout"}


def collapse(context: Context) -> Iterator[Finding]:
    """AL301: two layers with nothing but straight lines between, in training or in evaluation alone."""
    pairs = list(_pairs(context))
    for first, second in pairs:
        apart = apart_from_one(context, first, second)
        if apart is None or apart < _ROUNDING:
            yield _collapsed(context, first, second, apart)
    if context.evaluated is None:
        return
    later = replace(context, trace=context.evaluated, observed=Observed())
    known = {(place(context, first), place(context, second)) for first, second in pairs}
    for first, second in _pairs(later):
        if (place(later, first), place(later, second)) not in known:
            yield _collapsed(later, first, second, None, when=" in evaluation mode, where no activation is applied")


def _pairs(context: Context) -> Iterator[tuple[Step, Step]]:
    for second in context.trace.steps:
        first = _before(context, second) if second.part == "model" and is_layer(context.trace, second) else None
        if first is not None and not _is_meant(context, first, second):
            yield first, second


def _before(context: Context, second: Step) -> Step | None:
    """The layer whose answer the second reads unbent, and nothing else reads."""
    trace = context.trace
    value = data_of(trace, second)
    if value is None or value != second.inputs[_place_of_data(second)]:
        return None
    for step in back(trace, value, STRAIGHT):
        readers = [reader for reader in trace.readers(step.outputs[0]) if reader.place in context.matters]
        if len(readers) > 1 or step.outputs[0] in trace.outputs or trace.site_at(step) is not None:
            return None
        if step.function not in STRAIGHT and biased(trace, step) is None:
            return step if is_layer(trace, step) and step.function != "bilinear" else None
    return None


def _is_meant(context: Context, first: Step, second: Step) -> bool:
    """A factorisation: of rank, of space and channels, of size; or weights that are shared or do not learn."""
    one, two = weight_of(context, first), weight_of(context, second)
    if one is None or two is None or not (one.requires_grad and two.requires_grad):
        return True
    if one.dim() == two.dim() == 2 and one.shape[0] != two.shape[1]:
        return True  # along another axis than the first, as in mixers
    shared = any(_readers_of(context, name) > 1 for step in (first, second) for name in parameters_of(context.trace, step))
    (out_one, in_one, *space_one), (out_two, in_two, *space_two) = one.shape, two.shape
    grouped = _is_grouped(context, first, in_one) or _is_grouped(context, second, in_two)
    oblong = any(len(set(space)) > 1 for space in (space_one, space_two))
    patches = bool(space_one) and max(space_one) > 1 and _stride(first) == space_one[0]
    transposed = "transpose" in first.function or "transpose" in second.function
    narrow = min(out_one, in_two) < min(in_one, out_two)
    return shared or grouped or oblong or patches or transposed or narrow or _is_beside_a_layer(context, first, second)


def _is_beside_a_layer(context: Context, first: Step, second: Step) -> bool:
    """Whether what both give is added to what another layer makes of the same input, as an adapter's is."""
    trace, source = context.trace, data_of(context.trace, first)
    if source is None:
        return False
    waiting = list(trace.readers(second.outputs[0]))
    while waiting:
        step = waiting.pop()
        if (
            step.function == "add"
            and len(step.inputs) == 2
            and any(_reads(context, other, source) for other in step.inputs if other not in second.outputs)
        ):
            return True
        if step.function in _SCALED and biased(trace, step) is None:
            waiting += trace.readers(step.outputs[0])
    return False


_SCALED = STRAIGHT | {"mul", "div"}


def _reads(context: Context, value: int, source: int) -> bool:
    """Whether a layer made the value of this source."""
    made = sole(context.trace, value).step
    data = None if made is None or not is_layer(context.trace, made) else data_of(context.trace, made)
    return data is not None and behind(context.trace, data, _SCALED) == behind(context.trace, source, _SCALED)


def _readers_of(context: Context, name: str) -> int:
    """How many layers multiply by the parameter."""
    found = (parameters_of(context.trace, step) for step in context.trace.steps if is_layer(context.trace, step))
    return sum(name in names for names in found)


def _is_grouped(context: Context, step: Step, channels: int) -> bool:
    """Whether a convolution's weights see a part of the channels each."""
    value = data_of(context.trace, step)
    shape = () if value is None else context.trace.values[value].shape
    return step.function.startswith("conv") and channels not in shape[-4:]


def _stride(step: Step) -> int:
    stride = step.arguments.get("stride", step.arguments.get("3", 1))
    return int(stride[0] if isinstance(stride, tuple) else stride)


def _collapsed(context: Context, first: Step, second: Step, apart: float | None, *, when: str = "") -> Finding:
    one, two = weight_of(context, first), weight_of(context, second)
    assert one is not None
    assert two is not None
    paths = [place(context, first), place(context, second)]
    return finding(
        "AL301",
        f"{paths[0]} and {paths[1]} are two layers with nothing that bends between{when}: together they are one layer"
        f" from {one.shape[1]} to {two.shape[0]}, and cannot learn what one could not."
        + _thrown_away(context, first)
        + ("" if apart is None else f" On this batch that one gives the same, to {apart:.0e} of the largest number."),
        site=spot_of(second),
        layers=paths,
        lines=[f"{step.file}:{step.line}" for step in (first, second)],
        equivalent=[int(one.shape[1]), int(two.shape[0])],
        weights=int(one.numel() + two.numel()),
        weights_of_one=int(one.shape[1] * two.shape[0]) if one.dim() == 2 == two.dim() else None,
        apart=apart,
    )


def _thrown_away(context: Context, first: Step) -> str:
    """That an activation was computed of what the first layer gave, and not used."""
    readers = context.trace.readers(first.outputs[0])
    lost = [step for step in readers if step.place not in context.matters and context.trace.site_at(step) is not None]
    return f" What {lost[0].function} gives at line {lost[0].line} is thrown away." if lost else ""


def apart_from_one(context: Context, first: Step, second: Step) -> float | None:
    """How far the single layer W₂W₁x + W₂b₁ + b₂ is from what both gave, as a share of its largest number.

    None where that cannot be told: of convolutions, or where something stands between that draws or pools.
    """
    trace, value = context.trace, data_of(context.trace, second)
    between = [] if value is None else list(back(trace, value, STRAIGHT))[:-1]
    rows, one, two = context.observed.rows, weight_of(context, first), weight_of(context, second)
    plain = all(step.function in _SAME_ROWS or biased(trace, step) is not None for step in between)
    if not plain or first.place not in rows or second.place not in rows or one is None or two is None:
        return None
    (x, _), (_, wanted) = rows[first.place], rows[second.place]
    hidden = x.double() @ one.detach().double().mT
    for bias in (_bias_of(context, step) for step in (first, *between)):
        hidden = hidden if bias is None else hidden + bias
    single = hidden @ two.detach().double().mT
    bias = _bias_of(context, second)
    single = single if bias is None else single + bias
    if single.shape != wanted.shape:
        return None
    return float((single - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


_ROUNDING = 0.05
"""Of the largest number; beyond what 16 bits round away, below what any function between would do."""

_SAME_ROWS = frozenset({"to", "float", "double", "contiguous", "clone", "identity", "alias", "requires_grad"})


def _bias_of(context: Context, step: Step) -> Tensor | float | None:
    if step.function == "add" and len(step.inputs) == 1:
        return sum(float(value) for value in step.arguments.values() if isinstance(value, int | float))
    named = dict(context.model.named_parameters(remove_duplicate=False))
    found = [named[name] for name in parameters_of(context.trace, step) if name in named and named[name].dim() == 1]
    return found[0].detach().double() if found else None


def weight_of(context: Context, step: Step) -> Tensor | None:
    """The layer's weight, output axis first, as `F.linear` and `F.conv2d` take it."""
    named = dict(context.model.named_parameters(remove_duplicate=False))
    weights = [named[name] for name in parameters_of(context.trace, step) if name in named and named[name].dim() > 1]
    if not weights or step.arguments.get("alpha", 1) != 1 or step.arguments.get("beta", 1) != 1:
        return None
    if weights[0].dim() != 2:
        return weights[0]
    matrices = [value for value in step.inputs if len(context.trace.values[value].shape) == 2]
    given = next((value for value in matrices if parameter_behind(context.trace, value)), None)
    if given is None:
        return None
    weight = weights[0].mT if _is_turned(context, given) else weights[0]
    if tuple(weight.shape) != context.trace.values[given].shape:
        return None
    return weight.mT if step.function in PRODUCTS | {"addmm"} else weight


def _is_turned(context: Context, value: int) -> bool:
    """Whether a matrix is a parameter transposed, and not transposed back."""
    turns, step = 0, context.trace.maker(value)
    while step is not None and step.inputs:
        turns += step.function in _TURNS | {"t"}
        step = context.trace.maker(step.inputs[0])
    return turns % 2 == 1


def _place_of_data(step: Step) -> int:
    return 1 if step.function == "addmm" else 0


def place(context: Context, step: Step) -> str:
    """The module of the layer, by the name of its weight."""
    names = parameters_of(context.trace, step)
    return names[0].rpartition(".")[0] or names[0] if names else step.path


def hidden_softmax(context: Context) -> Iterator[Finding]:
    """AL302: softmax between two layers, along the units."""
    trace = context.trace
    for step in trace.steps:
        if step.part == "loss" or not is_layer(trace, step):
            continue
        value = data_of(trace, step)
        made = None if value is None else sole(trace, behind(context.trace, value, STRAIGHT))
        if made is None or made.name != "softmax" or made.site is None or made.source is None:
            continue
        before = sole(trace, behind(context.trace, made.source, STRAIGHT))
        alone = len(trace.readers(made.value)) == 1 and made.value not in trace.outputs
        if alone and is_layer(trace, before.step):
            units = trace.values[made.source].shape[made.dim or 0]
            yield finding(
                "AL302",
                f"softmax stands between two layers: its {units} units sum to 1, each is about 1/{units}, and one large"
                " unit silences the rest.",
                site=made.site,
                units=units,
            )


RULES = (collapse, hidden_softmax)
