"""AL207: softmax along an axis other than that of the classes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.rules.context import Context
from actlab.rules.dataflow import Made, sole
from actlab.rules.observed import LOSSES
from actlab.rules.output.losses import are_log_probabilities, axis_length, class_axis
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

_BEFORE_WEIGHTS = frozenset({"dropout", "to", "float", "half", "type_as"})
_AFTER_SCORES = frozenset({"div", "mul", "masked_fill", "add", "where"})


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
        are normalized along the queries and summed along the keys.

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
    yield from _over_queries(context)


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
    for step in context.losses(*LOSSES - {"cross_entropy"}):
        made = sole(context.trace, step.inputs[0])
        if made.name in {"softmax", "log_softmax"} and made.value not in reported and _is_batch(context, made, step):
            reported.add(made.value)
            yield _wrong(context, made, "axis 0 is that of the examples", _EXAMPLE)


def _reads_all(context: Context, made: Made, values: Tensor, step: Step) -> bool:
    """Return whether the loss reads the whole output of the softmax, or as many classes."""
    is_as_long = values.shape[min(class_axis(step), values.dim() - 1)] == axis_length(context, made)
    return is_as_long or values.numel() == torch.Size(context.trace.values[made.value].shape).numel()


def _is_batch(context: Context, made: Made, step: Step) -> bool:
    """Return whether a softmax of the model acts along the axis of the examples, with several units per example."""
    if made.site is None or made.dim != 0 or made.source is None or len(step.inputs) < 2:
        return False
    shape, targets = context.trace.values[made.source].shape, context.trace.values[step.inputs[1]].shape
    return len(shape) > 1 and bool(targets) and shape[0] == targets[0] > 1 and max(shape[1:]) > 1


def _over_queries(context: Context) -> Iterator[Found]:
    for step in context.trace.steps:
        if step.function not in {"matmul", "bmm"} or len(step.inputs) != 2 or step.part == "loss":
            continue
        for at, weights in enumerate(step.inputs):
            made = _attention(context, weights)
            if made is None or made.dim is None:
                continue
            length = len(context.trace.values[weights].shape)
            summed, other = (length - 1, length - 2) if at == 0 else (length - 2, length - 1)
            if made.dim == other != summed:
                yield _wrong(context, made, f"the attention weights are summed along axis {summed}", _QUERY)


def _attention(context: Context, weights: int) -> Made | None:
    """Return the softmax of the products of two computed values, if it is what the weights are, untransposed."""
    trace = context.trace
    step = trace.maker(weights)
    while step is not None and step.function in _BEFORE_WEIGHTS:
        weights = step.inputs[0]
        step = trace.maker(weights)
    made = sole(trace, weights) if step is not None else None
    if made is None or made.name != "softmax" or made.value != weights or made.source is None or made.site is None:
        return None
    score = trace.maker(made.source)
    while score is not None and score.function in _AFTER_SCORES:
        score = trace.maker(score.inputs[0])
    if score is None or score.function not in {"matmul", "bmm"}:
        return None
    computed = all(not trace.values[value].origin.startswith("parameter") for value in score.inputs)
    return made if computed else None


def _wrong(context: Context, made: Made, why: str, effect: str) -> Found:
    shape = context.trace.values[made.source].shape if made.source is not None else ()
    return found(
        f"{made.name} acts along axis {made.dim} of shape {shape}, but {why}: {effect}.",
        site=made.spot,
        axis=made.dim,
        shape=list(shape),
    )


_EXAMPLE = "an example's outputs do not sum to 1 and depend on the rest of the batch"
_QUERY = "the weights of one query do not sum to 1"
