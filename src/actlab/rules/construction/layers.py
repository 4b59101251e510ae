"""Layers with weights: their weights, and pairs of them without a non-linearity in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from actlab.rules.axes import sources
from actlab.rules.construction.straight import StraightLine, straight_from
from actlab.rules.context import Context, once
from actlab.rules.dataflow import (
    PRODUCTS,
    back,
    behind,
    biased,
    data_of,
    einsum_weight,
    is_layer,
    layers,
    parameter_behind,
    parameters_of,
    sole,
)
from actlab.sites.recognize.torch_ops import CONVOLUTIONS, MOVES
from actlab.sites.trace.trace import Step

DROPOUTS = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "native_dropout"})
_POOLS = frozenset({"avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean"})
_TRANSPOSES = frozenset({"transpose", "permute", "movedim", "moveaxis", "swapaxes", "T", "mT"})
_SELECTS = frozenset({"gather", "getitem", "masked_select", "index_select", "chunk", "split", "unbind"})
_SAME_ROWS = frozenset({"to", "float", "double", "contiguous", "clone", "identity", "alias", "requires_grad"})

AFFINE = (MOVES - _TRANSPOSES - _SELECTS) | DROPOUTS | _POOLS | {"batch_norm", "alpha_dropout"}
"""Steps that are affine maps in evaluation mode."""
_SCALED = AFFINE | {"mul", "div"}


@final
@dataclass(frozen=True)
class LayerPair:
    """Two layers with only affine steps in between.

    Attributes:
        first, second: the layers.
        values: the numbers of the values in between, from the second layer's input back to the first one's output.
        lines: functions in between that are a straight line, such as an activation of slope 1.
    """

    first: Step
    second: Step
    values: tuple[int, ...]
    lines: tuple[StraightLine, ...] = ()


@once
def layer_pairs(context: Context) -> list[LayerPair]:
    """Return pairs of layers with only affine steps in between; intentional patterns are left out."""
    found = []
    for second in layers(context.trace):
        pair = _pair(context, second) if second.part == "model" else None
        if pair is not None and _sums_over(context, pair) and not _is_intentional(context, pair.first, second):
            found.append(pair)
    return found


def _sums_over(context: Context, pair: LayerPair) -> bool:
    """Return whether the second layer sums over the axis that the first one computes; true if that is unknown."""
    value = data_of(context.trace, pair.second)
    axes = None if value is None else context.axes.axes.get(value)
    return axes is None or ("layer", pair.first.place) in sources(axes[units_axis(pair.second)])


def units_axis(step: Step) -> int:
    """Return the axis over which a layer sums."""
    return 1 if step.function in CONVOLUTIONS else -1


def _pair(context: Context, second: Step) -> LayerPair | None:
    """Return the layer whose output reaches the second one through affine steps, and nothing else."""
    trace, lines, values = context.trace, list[StraightLine](), list[int]()
    value = data_of(trace, second)
    is_first = value == second.inputs[1 if second.function == "addmm" else 0] or second.function == "einsum"
    if value is None or not is_first:
        return None
    after: tuple[Step, ...] = (second,)
    while True:
        step = None
        for step in back(trace, value, AFFINE):
            if _goes_elsewhere(context, step.outputs[0], after):
                return None
            after = (step,)
            values.append(step.outputs[0])
            if step.function in AFFINE and trace.site_at(step) is not None:
                return None
        if step is None or step.function in AFFINE or biased(trace, step) is not None:
            return None
        if is_layer(trace, step):
            return LayerPair(step, second, tuple(values), tuple(lines)) if step.function != "bilinear" else None
        line = straight_from(context, step.outputs[0])
        inside = [] if line is None else [value for each in line.steps[:-1] for value in each.outputs]
        if line is None or any(_goes_elsewhere(context, each, line.steps) for each in inside):
            return None
        lines.append(line)
        value, after = line.source, line.steps


def _goes_elsewhere(context: Context, value: int, steps: tuple[Step, ...]) -> bool:
    """Return whether the value is an output of the model, or steps other than these read it."""
    places = {step.place for step in steps}
    readers = (reader.place for reader in context.trace.readers(value))
    return value in context.trace.outputs or any(
        place in context.matters and place not in places for place in readers
    )  # fmt: skip


def _is_intentional(context: Context, first: Step, second: Step) -> bool:
    """Return whether the pair is a factorization or an adapter, or its weights are shared or frozen."""
    one, two = weight_of(context, first), weight_of(context, second)
    if one is None or two is None or not (one.requires_grad and two.requires_grad):
        return True
    if one.dim() == two.dim() == 2 and one.shape[0] != two.shape[1]:
        return True  # along another axis than the first, as in mixers
    shared = is_shared(context, first) or is_shared(context, second)
    (out_one, in_one, *space_one), (out_two, in_two, *space_two) = one.shape, two.shape
    grouped = _is_grouped(context, first, in_one) or _is_grouped(context, second, in_two)
    oblong = any(len(set(space)) > 1 for space in (space_one, space_two))
    patches = bool(space_one) and max(space_one) > 1 and _stride(first) == space_one[0]
    transposed = "transpose" in first.function or "transpose" in second.function
    narrow = min(out_one, in_two) < min(in_one, out_two)
    return shared or grouped or oblong or patches or transposed or narrow or _is_adapter(context, first, second)


def _is_adapter(context: Context, first: Step, second: Step) -> bool:
    """Return whether the pair's output is added to that of another layer of the same input."""
    trace, source = context.trace, data_of(context.trace, first)
    if source is None:
        return False
    waiting = list(trace.readers(second.outputs[0]))
    while waiting:
        step = waiting.pop()
        if (
            step.function == "add"
            and len(step.inputs) == 2
            and any(_is_layer_of(context, other, source) for other in step.inputs if other not in second.outputs)
        ):
            return True
        if step.function in _SCALED and biased(trace, step) is None:
            waiting += trace.readers(step.outputs[0])
    return False


def _is_layer_of(context: Context, value: int, source: int) -> bool:
    made = sole(context.trace, value).step
    data = None if made is None or not is_layer(context.trace, made) else data_of(context.trace, made)
    return data is not None and behind(context.trace, data, _SCALED) == behind(context.trace, source, _SCALED)


def is_shared(context: Context, layer: Step) -> bool:
    """Return whether several calls multiply by the layer's parameters."""
    own = parameters_of(context.trace, layer)
    names = [parameters_of(context.trace, step) for step in layers(context.trace)]
    return any(sum(name in each for each in names) > 1 for name in own)


def _is_grouped(context: Context, step: Step, channels: int) -> bool:
    """Return whether each weight of a convolution reads only part of the channels."""
    value = data_of(context.trace, step)
    shape = () if value is None else context.trace.values[value].shape
    return step.function.startswith("conv") and channels not in shape[-4:]


def _stride(step: Step) -> int:
    stride = step.arguments.get("stride", step.arguments.get("3", 1))
    return int(stride[0] if isinstance(stride, tuple) else stride)


def error_of_single_layer(context: Context, first: Step, second: Step) -> float | None:
    """Compare the single layer W₂W₁x + W₂b₁ + b₂ with the output of both on the batch.

    Returns:
        The largest difference as a share of the largest output; None for convolutions, and where a step in between
        draws or pools.
    """
    trace, value = context.trace, data_of(context.trace, second)
    between = [] if value is None else list(back(trace, value, AFFINE))
    if first not in between:
        return None
    between.remove(first)
    one, two = weight_of(context, first), weight_of(context, second)
    rows = [context.observed.few_rows(trace, step) for step in (first, second)]
    plain = all(step.function in _SAME_ROWS or biased(trace, step) is not None for step in between)
    if not plain or rows[0] is None or rows[1] is None or one is None or two is None:
        return None
    x, expected = rows[0][0], rows[1][1]
    hidden = x.double() @ one.detach().double().mT
    for bias in (_bias_of(context, step) for step in (first, *between)):
        hidden = hidden if bias is None else hidden + bias
    single = hidden @ two.detach().double().mT
    bias = _bias_of(context, second)
    single = single if bias is None else single + bias
    if single.shape != expected.shape:
        return None
    return float((single - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def _bias_of(context: Context, step: Step) -> Tensor | float | None:
    if step.function == "add" and len(step.inputs) == 1:
        return sum(float(value) for value in step.arguments.values() if isinstance(value, int | float))
    named = context.parameters
    biases = [named[name] for name in parameters_of(context.trace, step) if name in named and named[name].dim() == 1]
    return biases[0].detach().double() if biases else None


def weight_of(context: Context, step: Step) -> Tensor | None:
    """Return the layer's weight, output axis first, as `F.linear` and `F.conv2d` take it."""
    named = context.parameters
    weights = [named[name] for name in parameters_of(context.trace, step) if name in named and named[name].dim() > 1]
    if not weights or step.arguments.get("alpha", 1) != 1 or step.arguments.get("beta", 1) != 1:
        return None
    if weights[0].dim() != 2:
        return weights[0]
    matrices = [value for value in step.inputs if len(context.trace.values[value].shape) == 2]
    read = next((value for value in matrices if parameter_behind(context.trace, value)), None)
    if read is None:
        return None
    weight = weights[0].mT if _is_transposed(context, read) else weights[0]
    if tuple(weight.shape) != context.trace.values[read].shape:
        return None
    is_input_first = einsum_weight(context.trace, step) == "input first"
    return weight.mT if step.function in PRODUCTS | {"addmm"} or is_input_first else weight


def _is_transposed(context: Context, value: int) -> bool:
    """Return whether a matrix is a parameter transposed an odd number of times."""
    times, step = 0, context.trace.maker(value)
    while step is not None and step.inputs:
        times += step.function in _TRANSPOSES | {"t"}
        step = context.trace.maker(step.inputs[0])
    return times % 2 == 1


def module_of(context: Context, step: Step) -> str:
    """Return the path of the layer's module, from the name of its weight."""
    names = parameters_of(context.trace, step)
    return names[0].rpartition(".")[0] or names[0] if names else step.path
