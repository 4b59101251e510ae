"""AL207: softmax along an axis other than that of the classes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.rules.axes import CONTRACTIONS, sources
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, sole, spot_of
from actlab.rules.observed import LOSSES
from actlab.rules.output.batch_axis import BatchAxis, batch_axis
from actlab.rules.output.losses import are_log_probabilities, axis_length, class_axis, is_over_examples
from actlab.rules.output.softmax_uses import SoftmaxUse, softmaxes, weighted_sum
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

_AFTER_SCORES = frozenset({"div", "mul", "masked_fill", "add", "where"})
# By fused attention, the axis along which it attends and the one that should be the examples' in its place.
_FUSED = {"multi_head_attention_forward": (0, 1), "scaled_dot_product_attention": (-2, -3)}


@rule(
    "AL207",
    title="softmax along the wrong axis",
    severity="error",
    remedies=("softmax-over-classes",),
)
def softmax_over_wrong_axis(context: Context) -> Iterator[Found]:
    """Softmax is applied along an axis other than that of the classes or, in attention, of the keys.

    Why it matters:
        Along the batch, softmax makes the examples compete: the outputs of one example do not sum to 1 and depend on
        the rest of the batch. In attention, the weights of one query do not sum to 1.

    How it is detected:
        By data flow and by value: `nll_loss` or `cross_entropy` reads a log_softmax whose exponentials do not sum to 1
        over the classes; or a loss reads a softmax of the model along the axis of the examples; or attention weights
        are normalized along the queries and summed along the keys; or weights inside the model are normalized along
        the axis of the examples, which is followed from the input and is as long as the targets, and the model never
        sums over it. Softmax that is usual along another axis, such as that of slots, capsules, clusters, pairs of
        examples or time, is not reported.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=0))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.NLLLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.NLLLoss()

    References:
        PyTorch documentation of Softmax: dim
    """
    yield from _before_loss(context)
    yield from _inside(context)
    yield from _fused(context)


def _before_loss(context: Context) -> Iterator[Found]:
    reported: set[int] = set()
    for step in context.losses("nll_loss", "cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        if made.name != "log_softmax" or made.dim is None or made.source is None or axis_length(context, made) == 1:
            continue
        values = context.tensor(step, 0)
        if values is None or are_log_probabilities(context, step) or not _reads_all(context, made, values, step):
            continue
        reported.add(made.value)
        yield _wrong(context, made, f"{step.function} reads the classes along axis {class_axis(step)}", _EXAMPLE)
    for step in context.losses(*LOSSES):
        made = sole(context.trace, step.inputs[0])
        is_softmax = made.name == "softmax" or (made.name == "log_softmax" and step.function != "cross_entropy")
        if is_softmax and made.value not in reported and is_over_examples(context, made, step):
            reported.add(made.value)
            remedies = ("remove-output-activation",) if step.function == "cross_entropy" else ()
            yield _wrong(context, made, "axis 0 is that of the examples", _EXAMPLE, remedies=remedies)


def _reads_all(context: Context, made: Made, values: Tensor, step: Step) -> bool:
    """Return whether the loss reads the whole output of the softmax, or as many classes."""
    is_as_long = values.shape[min(class_axis(step), values.dim() - 1)] == axis_length(context, made)
    return is_as_long or values.numel() == torch.Size(context.trace.values[made.value].shape).numel()


def _inside(context: Context) -> Iterator[Found]:
    """Yield the softmaxes inside the model that make the examples, or the queries, compete."""
    batch = batch_axis(context)
    for use in softmaxes(context):
        if not use.weighs or use.length == 1 or use.is_normalized_again or use.made.name != "softmax":
            continue
        summed = _summed(context, use)
        if _is_over_examples(context, use, batch):
            yield _wrong(context, use.made, _examples_axis(context, use), _MIXED, remedies=_ITEMS)
        elif summed and use.made.dim not in summed and _is_scores(context, use.made.source):
            why = f"the attention weights are summed along axis {', '.join(map(str, sorted(summed)))}"
            yield _wrong(context, use.made, why, _QUERY, remedies=_ITEMS)


def _is_over_examples(context: Context, use: SoftmaxUse, batch: BatchAxis) -> bool:
    axes = context.axes.axes.get(use.made.source or 0, ())
    over = [at for at, (source, size) in enumerate(use.axis) if source in batch.sources and size == batch.length]
    if not over or any((use.made.dim, at) in use.factors_summed for at in over):
        return False
    if any(batch.sources & sources(axis) for at, axis in enumerate(axes) if at != use.made.dim):
        return False  # pairs of examples, which are compared on purpose
    return batch.is_sure or any(axes[at][factor][0] in batch.others for at, factor in use.factors_summed)


def _examples_axis(context: Context, use: SoftmaxUse) -> str:
    step = use.made.step
    named = step is None or step.arguments.get("dim") is not None or step.function in {"div", "sub", "exp"}
    implicit = "" if named else ", which PyTorch chooses if no dim is given,"
    also = " and of other axes that were flattened with it" if len(use.axis) > 1 else ""
    return f"axis {use.made.dim}{implicit} is that of the examples{also}"


def _summed(context: Context, use: SoftmaxUse) -> set[int]:
    """Return the axes of the weights over which their product with the values sums."""
    product = weighted_sum(context, use)
    return {axis for axis, _ in use.after.own_summed([product] if product else [])}


def _is_scores(context: Context, value: int | None) -> bool:
    """Return whether the value is a product of two computed values, such as queries and keys."""
    trace = context.trace
    score = None if value is None else trace.maker(value)
    while score is not None and score.function in _AFTER_SCORES and score.inputs:
        score = trace.maker(score.inputs[0])
    return (
        score is not None
        and score.function in CONTRACTIONS | {"einsum", "baddbmm"}
        and all(value not in trace.of_weights for value in score.inputs[-2:])
    )


def _fused(context: Context) -> Iterator[Found]:
    """Yield PyTorch's attention over the examples, such as `nn.MultiheadAttention` without `batch_first`."""
    batch, reported = batch_axis(context), set[tuple[str, int]]()
    for step in context.trace.steps:
        if step.function not in _FUSED:
            continue
        at, other = _FUSED[step.function]
        axes = context.axes.axes.get(step.inputs[0]) if step.inputs else None
        if axes is None or len(axes) != 3 or not batch.is_sure or step.place not in context.matters:
            continue
        over, beside = axes[at], axes[other]
        attends = any(source in batch.sources and size == batch.length for source, size in over)
        place = (step.file, step.line)  # the layers of a stack are one mistake
        if attends and beside and beside[0][0] in batch.others and beside[0][1] > 1 and place not in reported:
            reported.add(place)
            shape = context.trace.values[step.inputs[0]].shape
            yield found(
                f"{step.spelling} attends along axis {at % 3} of shape {shape}, which is that of the examples:"
                f" {_MIXED}.",
                site=spot_of(step),
                remedies=("batch-first",),
                axis=at % 3,
                shape=list(shape),
            )


def _wrong(context: Context, made: Made, why: str, effect: str, *, remedies: tuple[str, ...] = ()) -> Found:
    shape = context.trace.values[made.source].shape if made.source is not None else ()
    return found(
        f"{made.name} acts along axis {made.dim} of shape {shape}, but {why}: {effect}.",
        site=made.spot,
        remedies=remedies,
        axis=made.dim,
        shape=list(shape),
    )


_EXAMPLE = "an example's outputs do not sum to 1 and depend on the rest of the batch"
_MIXED = "what the model answers for one example depends on the rest of the batch"
_ITEMS = ("softmax-over-items",)
_QUERY = "the weights of one query do not sum to 1"
