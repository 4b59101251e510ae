"""Softmaxes inside a model: the axis along which each acts, and what its output is used for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actlab.rules.axes import CONTRACTIONS, REDUCTIONS, Axes, Axis, Followed, Source, of_value, sources
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, is_layer, made_by, may_complete_softmax
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.trace.trace import Step

_UNCHANGED = MOVES | {"dropout"}
_NAMES = frozenset({"softmax", "log_softmax"})
_PRODUCTS = CONTRACTIONS | {"mul", "einsum", "baddbmm"}


@final
@dataclass(frozen=True, eq=False)
class SoftmaxUse:
    """A softmax of the model, and what follows it up to the next layers.

    Attributes:
        made: the softmax; its `dim` is the axis, from 0.
        shape: of its input.
        axis: where the axis along which it acts begins.
        after: what became of its output's axes.
        weighs: whether its output multiplies another computed value.
        factors_summed: the factors of its output's axes that the model sums over, as pairs of axis and factor.
        summed_anywhere: the axes that the model or the loss sums over.
        is_normalized_again: whether another softmax, or a division by a sum, follows along another axis.
    """

    made: Made
    shape: tuple[int, ...]
    axis: Axis
    after: Followed
    weighs: bool
    factors_summed: frozenset[tuple[int, int]]
    summed_anywhere: frozenset[int]
    is_normalized_again: bool

    @property
    def starts(self) -> frozenset[Source]:
        """Where the axis begins."""
        return sources(self.axis)

    @property
    def length(self) -> int:
        """The length of the axis."""
        return self.shape[self.made.dim or 0]


def softmaxes(context: Context) -> Iterator[SoftmaxUse]:
    """Yield the softmaxes of the model that matter for its outputs or the loss."""
    trace = context.trace
    for step in trace.steps:
        if step.part == "loss" or step.place not in context.matters or not may_complete_softmax(step):
            continue
        made = made_by(trace, step.outputs[0])
        if made.name not in _NAMES or made.dim is None or made.source is None or step.function == "log":
            continue
        axes, shape = context.axes.axes.get(made.source), trace.values[made.source].shape
        if made.dim < len(shape):
            yield _used(context, made, shape, axes)


def weighted_sum(context: Context, use: SoftmaxUse) -> Step | None:
    """Return the product with another value that sums over an axis of the softmax's output, unchanged otherwise."""
    waiting = [use.made.value]
    while waiting:
        for reader in context.trace.readers(waiting.pop()):
            if reader.function in _UNCHANGED:
                waiting += reader.outputs
            elif any(value in context.trace.of_weights for value in reader.inputs):
                continue  # a layer that mixes the weights, as talking heads do
            elif reader.function in CONTRACTIONS | {"einsum", "baddbmm"} and use.after.summed.get(reader.place):
                return reader
    return None


def _used(context: Context, made: Made, shape: tuple[int, ...], axes: Axes | None) -> SoftmaxUse:
    after = of_value(context.trace, made.value, axes)
    model = [step for step in after.steps if step.part == "model"]
    return SoftmaxUse(
        made,
        shape,
        axes[made.dim or 0] if axes else (),
        after,
        any(_multiplies(context, after, step) for step in model),
        after.own_summed(model),
        frozenset(axis for axis, _ in after.own_summed(after.steps)),
        any(_normalizes(context, after, step, made.dim or 0) for step in after.steps),
    )


def _multiplies(context: Context, after: Followed, step: Step) -> bool:
    """Return whether the step multiplies by a value that was computed from something else than weights."""
    trace = context.trace
    others = [value for value in step.inputs if value not in after.axes]
    return step.function in _PRODUCTS and not is_layer(trace, step) and any(
        value not in trace.of_weights
        and trace.values[value].shape
        and (trace.maker(value) is not None or trace.values[value].origin.startswith("input"))
        for value in others
    )  # fmt: skip


def _normalizes(context: Context, after: Followed, step: Step, dim: int) -> bool:
    """Return whether the step normalizes along another axis than the softmax."""
    trace = context.trace
    if step.function in {"softmax", "log_softmax", "normalize"}:
        return True
    if step.function not in {"div", "sub"} or len(step.inputs) != 2:
        return False
    below = trace.maker(step.inputs[1])
    while below is not None and below.function in {"add", "clamp", "unsqueeze", "expand"} and below.inputs:
        below = trace.maker(below.inputs[0])
    if below is None or below.function not in REDUCTIONS or below.inputs[0] not in after.axes:
        return False
    return dim not in {axis for axis, _ in after.own_summed([below])}
