"""Findings about what a loss is given: a function too many, a function too few, along the wrong axis."""

from __future__ import annotations

import linecache
from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.formula.activation import Activation
from actlab.rules.context import LOSSES, REGRESSIONS, Context, finding
from actlab.rules.dataflow import Made, is_layer, makers, sole, spot_of
from actlab.rules.finding import Finding
from actlab.sites.trace.trace import Step

_SQUASHED = frozenset({"sigmoid", "hard_sigmoid"})
_OFF = 0.05
"""How far the logarithm of a sum of probabilities may be from 0: beyond rounding in 16 bits, below any mistake."""


def softmax_twice(context: Context) -> Iterator[Finding]:
    """AL201, AL202: softmax or log-softmax before a loss or a log-softmax that takes logits."""
    for step, value, taker in _takers_of_logits(context):
        made = sole(context.trace, value)
        if made.name == "softmax" and _length(context, made) != 1:
            classes = _length(context, made)
            yield finding(
                "AL201",
                f"softmax is applied before {taker}, which applies it again: over {classes} classes the loss cannot"
                f" fall below {_floor(classes):.2f}, and gradients shrink.{_line(step)}",
                site=made.spot or spot_of(step),
                classes=classes,
                loss=step.function,
                lowest_loss=_floor(classes),
            )
        elif made.name == "log_softmax" and step.function == "cross_entropy" and _sums_to_one(context, step, 0):
            yield finding(
                "AL202",
                "log_softmax is applied before cross_entropy, which applies it again: value and gradient are right,"
                f" one pass over the logits is wasted.{_line(step)}",
                site=made.spot or spot_of(step),
                loss=step.function,
            )


def sigmoid_twice(context: Context) -> Iterator[Finding]:
    """AL203: sigmoid before a binary loss that takes logits."""
    for step in context.losses("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"):
        made = sole(context.trace, step.inputs[0])
        if made.name in _SQUASHED or (made.name == "softmax" and not is_multi_label(context, step)):
            yield finding(
                "AL203",
                f"{made.name} is applied before {context.called(step)}, which takes logits: every answer lies between 0.50"
                f" and 0.73, and the model can never say no.{_line(step)}",
                site=made.spot or spot_of(step),
                loss=step.function,
            )
    for step in context.losses("binary_cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        inner = None if made.name != "sigmoid" or made.source is None else sole(context.trace, made.source)
        if inner is not None and inner.name in _SQUASHED:
            yield finding(
                "AL203",
                f"sigmoid is applied to what {inner.name} gave: every answer lies between 0.50 and 0.73, and the model"
                f" can never say no.{_line(step)}",
                site=inner.spot,
                loss=step.function,
            )


def no_sigmoid(context: Context) -> Iterator[Finding]:
    """AL204: binary cross-entropy of numbers that are no probabilities."""
    for step in context.losses("binary_cross_entropy"):
        given = context.tensor(step, 0)
        outside = 0 if given is None else int(((given < 0) | (given > 1)).sum())
        made = sole(context.trace, step.inputs[0])
        if outside or _is_unbounded(context, made):
            count = 0 if given is None else given.numel()
            yield finding(
                "AL204",
                f"{context.called(step)} takes probabilities, and nothing maps its input into 0 … 1: {outside} of {count}"
                f" numbers lie outside.{_from(made)} Outside it raises an error; inside it means something else."
                f"{_line(step)}",
                site=made.spot or spot_of(step),
                outside=outside,
                numbers=count,
                made_by=made.name,
                layers=_path(made),
            )


def no_log_softmax(context: Context) -> Iterator[Finding]:
    """AL205: the negative log-likelihood of what are no log-probabilities."""
    for step in context.losses("nll_loss", "kl_div", "ctc_loss"):
        made = sole(context.trace, step.inputs[0])
        if _length(context, made) == 1 or not (made.name == "softmax" or _is_unbounded(context, made)):
            continue
        if _sums_to_one(context, step, 0):
            continue
        what = "probabilities, not their logarithms" if made.name == "softmax" else "raw outputs"
        given = context.tensor(step, 0)
        yield finding(
            "AL205",
            f"{context.called(step)} takes log-probabilities and is given {what}: it does not punish a wrong answer as it"
            f" should, and on raw outputs it falls without bound.{_from(made)}{_line(step)}",
            site=made.spot or spot_of(step),
            made_by=made.name,
            numbers=0 if given is None else given.numel(),
            off_by=_off(given, _classes(step)),
            layers=_path(made),
        )


def softmax_over_one(context: Context) -> Iterator[Finding]:
    """AL206: softmax along an axis of length 1, on the way to the loss."""
    told: set[int] = set()
    for step in context.losses(*LOSSES):
        for value in step.inputs[:1]:
            for made in makers(context.trace, value):
                if _length(context, made) == 1 and made.value not in told:
                    told.add(made.value)
                    yield _one(made, made.name, step)
        shape = context.trace.values[step.inputs[0]].shape
        if step.function in {"cross_entropy", "nll_loss"} and len(shape) > 1 and shape[1] == 1 < shape[0] and not told:
            yield _one(sole(context.trace, step.inputs[0]), step.function, step)


def _one(made: Made, name: str, step: Step) -> Finding:
    return finding(
        "AL206",
        f"{name} acts along an axis of length 1: its answer is the same whatever the input, and no gradient passes."
        f"{_line(step)}",
        site=made.spot or spot_of(step),
        length=1,
        layers=_path(made),
    )


def softmax_over_wrong_axis(context: Context) -> Iterator[Finding]:
    """AL207: softmax along another axis than that of the classes, of the loss or of the model's output."""
    told: set[int] = set()
    for step in context.losses("nll_loss", "cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        if made.name != "log_softmax" or made.dim is None or made.source is None or _length(context, made) == 1:
            continue
        given = context.tensor(step, 0)
        if _sums_to_one(context, step, 0) or given is None or not _is_whole(context, made, given, _classes(step)):
            continue
        told.add(made.value)
        yield _wrong_axis(context, made, f"{step.function} reads classes along axis {_classes(step)}")
    for step in context.losses(*LOSSES - {"cross_entropy"}):
        made = sole(context.trace, step.inputs[0])
        if made.name in {"softmax", "log_softmax"} and made.value not in told and _is_along_batch(context, made, step):
            told.add(made.value)
            yield _wrong_axis(context, made, "axis 0 is that of the examples")


def _wrong_axis(context: Context, made: Made, why: str) -> Finding:
    shape = context.trace.values[made.source].shape if made.source is not None else ()
    return finding(
        "AL207",
        f"{made.name} acts along axis {made.dim} of {shape}, and {why}: the answers of one example do not sum to 1, and"
        " hang on what else is in the batch.",
        site=made.spot,
        axis=made.dim,
        shape=list(shape),
    )


def _is_along_batch(context: Context, made: Made, step: Step) -> bool:
    """Whether a softmax of the model's acts along the axis of the targets' examples, with units beside it."""
    if made.site is None or made.dim != 0 or made.source is None or len(step.inputs) < 2:
        return False
    shape, targets = context.trace.values[made.source].shape, context.trace.values[step.inputs[1]].shape
    return len(shape) > 1 and bool(targets) and shape[0] == targets[0] > 1 and max(shape[1:]) > 1


def attention_over_queries(context: Context) -> Iterator[Finding]:
    """AL207: attention weights that sum to 1 along another axis than the one that is summed over."""
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
                yield _wrong_axis(context, made, f"its answers are summed along axis {summed}")


def _attention(context: Context, weights: int) -> Made | None:
    """The softmax of the products of two computed values, if the weights are that, untransposed."""
    trace = context.trace
    step = trace.maker(weights)
    while step is not None and step.function in {"dropout", "to", "float", "half", "type_as"}:
        weights = step.inputs[0]
        step = trace.maker(weights)
    made = sole(trace, weights) if step is not None else None
    if made is None or made.name != "softmax" or made.value != weights or made.source is None or made.site is None:
        return None
    score = trace.maker(made.source)
    while score is not None and score.function in {"div", "mul", "masked_fill", "add", "where"}:
        score = trace.maker(score.inputs[0])
    if score is None or score.function not in {"matmul", "bmm"}:
        return None
    computed = all(not trace.values[value].origin.startswith("parameter") for value in score.inputs)
    return made if computed else None


def softmax_for_several(context: Context) -> Iterator[Finding]:
    """AL210: shares that sum to 1 for targets of which several hold."""
    for step in context.losses("binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", *REGRESSIONS):
        made = sole(context.trace, step.inputs[0])
        is_softmax = step.function == "cross_entropy" or (made.name == "softmax" and _length(context, made) != 1)
        if is_softmax and is_multi_label(context, step):
            several, rows = _several(context.tensor(step, 1), _classes(step))
            yield finding(
                "AL210",
                f"softmax gives shares that sum to 1, and in {several} of {rows} rows of the targets several classes"
                f" hold: the right answer cannot be given.{_line(step)}",
                site=(made.spot if made.name == "softmax" else None) or spot_of(step),
                rows=rows,
                several=several,
                loss=step.function,
                layers=_path(made),
            )


def is_multi_label(context: Context, step: Step) -> bool:
    """Whether the loss's targets are noughts and ones with several ones in a row."""
    several, _ = _several(context.tensor(step, 1), _classes(step))
    return several > 0


def _several(targets: Tensor | None, axis: int) -> tuple[int, int]:
    """In how many rows of noughts and ones several ones stand, and the number of rows."""
    if targets is None or not targets.is_floating_point() or targets.dim() < 2 or targets.shape[axis] < 2:
        return 0, 0
    if not bool(((targets == 0) | (targets == 1)).all()):
        return 0, 0
    ones = targets.sum(axis)
    return int((ones > 1).sum()), ones.numel()


def _takers_of_logits(context: Context) -> Iterator[tuple[Step, int, str]]:
    """Every step on the way to the loss that normalises logits itself, with its input."""
    for step in context.losses("cross_entropy"):
        yield step, step.inputs[0], "cross_entropy"
    for step in context.losses("log_softmax", "softmax", "logsumexp"):
        yield step, step.inputs[0], step.function


def _is_unbounded(context: Context, made: Made) -> bool:
    """Whether weights made it, or an activation whose values leave 0 … 1."""
    if is_layer(context.trace, made.step):
        return True
    if not isinstance(made.activation, Activation) or made.name in {"exponential", "gated", "log_sigmoid", "clamp"}:
        return False
    return made.site is not None and made.name in _BEYOND


_BEYOND = frozenset(
    {
        "relu",
        "leaky_relu",
        "prelu",
        "elu",
        "celu",
        "selu",
        "gelu",
        "gelu_tanh",
        "silu",
        "mish",
        "softplus",
        "tanh",
        "relu6",
    }
)


def _classes(step: Step) -> int:
    return -1 if step.function in {"kl_div", "ctc_loss"} else 1


def _off(given: Tensor | None, axis: int) -> float:
    """How far the logarithm of the sum of the exponentials is from 0, in the mean."""
    if given is None or given.dim() == 0:
        return 0.0
    axis = min(axis, given.dim() - 1) if axis >= 0 else axis
    return float(torch.logsumexp(given.double(), axis).abs().mean())


def _sums_to_one(context: Context, step: Step, at: int) -> bool:
    given = context.tensor(step, at)
    return given is not None and _off(given, _classes(step)) < _OFF


def _is_whole(context: Context, made: Made, given: Tensor, axis: int) -> bool:
    """Whether the loss reads all that the softmax gave, or as many classes."""
    shape = context.trace.values[made.value].shape
    same = given.shape[min(axis, given.dim() - 1)] == _length(context, made)
    return given.numel() == torch.Size(shape).numel() or same


def _length(context: Context, made: Made) -> int | None:
    """The length of the axis along which it acts."""
    if made.dim is None or made.source is None or made.name not in {"softmax", "log_softmax"}:
        return None
    shape = context.trace.values[made.source].shape
    return shape[made.dim] if made.dim < len(shape) else None


def _floor(classes: int | None) -> float:
    """The least that cross-entropy can be of probabilities as if they were logits."""
    return float(torch.log1p(torch.tensor(((classes or 2) - 1) / torch.e)))


def _from(made: Made) -> str:
    path = _path(made)
    return f" It comes from {made.name}{f' at {path[0]}' if path and path[0] else ''}." if made.step else ""


def _path(made: Made) -> list[str]:
    return [made.step.path] if made.step is not None and made.step.path else []


def _line(step: Step) -> str:
    # Where the caller is not the user's, the line that stands for it is that of the model's definition.
    is_call = bool(step.file) and not linecache.getline(step.file, step.line).lstrip().startswith(_DEFINES)
    return f" The loss is called at {step.file.rpartition('/')[2]}:{step.line}." if is_call else ""


_DEFINES = ("def ", "async def ", "class ", "@")


RULES = (
    softmax_twice,
    sigmoid_twice,
    no_sigmoid,
    no_log_softmax,
    softmax_over_one,
    softmax_over_wrong_axis,
    attention_over_queries,
    softmax_for_several,
)
