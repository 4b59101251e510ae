"""Recognize losses that are written out, as steps of PyTorch's own loss functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from actlab.rules.dataflow import is_move, sole, upstream
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.trace.trace import Step, Trace

# They average, scale or move their input.
_SCALES = frozenset({"mean", "sum", "neg", "mul", "div"}) | MOVES
_SQUASHES = frozenset({"sigmoid", "logsigmoid", "softplus"})
PICKS = frozenset({"gather", "getitem", "take_along_dim"})


def written_losses(trace: Trace, numbers: Mapping[int, Tensor]) -> tuple[Step, ...]:
    """Return for each written-out loss a step with the function's name that reads the output and then the targets.

    Args:
        trace: the pass with its loss.
        numbers: by value, the tensors that the loss reads.
    """
    steps = [step for step in trace.steps if step.part == "loss"] if trace.loss is not None else []
    return (*_binary(trace, steps), *_of_logits(trace, steps), *_picked(trace, numbers))


def _binary(trace: Trace, steps: list[Step]) -> Iterator[Step]:
    """Yield `-(t log p + (1 - t) log(1 - p))`, which takes probabilities."""
    logs = [(step, _bare(trace, step.inputs[0])) for step in steps if step.function == "log" and step.inputs]
    others = {_bare(trace, rest) for _, value in logs if (rest := _rest_of_one(trace, value)) is not None}
    for step, value in logs:
        if value in others:
            targets = _times(trace, step.outputs[0])
            yield step._replace(function="binary_cross_entropy", inputs=(value, *targets))


def _of_logits(trace: Trace, steps: list[Step]) -> Iterator[Step]:
    """Yield a sigmoid, its logarithm or a softplus of the output or its negative, which takes logits."""
    for step in steps:
        argument = step.inputs[0] if step.function in _SQUASHES and step.inputs else _of_softplus(trace, step)
        if argument is not None:
            value = _bare(trace, argument)
            maker = trace.maker(value)
            while maker is not None and maker.function in {"neg", "abs"}:
                value = _bare(trace, maker.inputs[0])
                maker = trace.maker(value)
            yield step._replace(function="binary_cross_entropy_with_logits", inputs=(value,))


def _of_softplus(trace: Trace, step: Step) -> int | None:
    """Return x if the step is log(1 + exp(x)), log1p(exp(x)) or logaddexp(0, x)."""
    if step.function == "logaddexp" and len(step.inputs) == 2:
        learned = [value for value in step.inputs if trace.values[value].requires_grad]
        return learned[0] if len(learned) == 1 else None
    inner = trace.maker(step.inputs[0]) if step.function in {"log", "log1p"} and step.inputs else None
    if inner is not None and step.function == "log":
        adds_1 = inner.function == "add" and len(inner.inputs) == 1 and 1 in inner.arguments.values()
        inner = trace.maker(inner.inputs[0]) if adds_1 else None
    return inner.inputs[0] if inner is not None and inner.function == "exp" else None


def _picked(trace: Trace, numbers: Mapping[int, Tensor]) -> Iterator[Step]:
    """Yield `-z[y]` or `-(one_hot * z)`, which takes log-probabilities.

    The mean probability of the correct class is left out: it is a loss that some intend.
    """
    step, negatives = (None if trace.loss is None else trace.maker(trace.loss)), 0
    while step is not None and step.part == "loss" and step.function in _SCALES and step.function not in PICKS:
        if len(step.inputs) > 1:
            yield from _one_hot(trace, step, numbers, is_negative=negatives % 2 == 1)
            return
        constants = [value for value in step.arguments.values() if isinstance(value, int | float)]
        negatives += step.function == "neg" or (step.function == "mul" and min(constants, default=1) < 0)
        step = trace.maker(step.inputs[0])
    if step is None or step.part != "loss" or step.function not in PICKS or negatives % 2 == 0:
        return
    targets = [value for value in step.inputs[1:] if _is_of_targets(trace, value)]
    if targets and sole(trace, step.inputs[0]).name != "softmax":
        yield step._replace(function="nll_loss", inputs=(step.inputs[0], targets[-1]))


def _one_hot(trace: Trace, step: Step, numbers: Mapping[int, Tensor], *, is_negative: bool) -> Iterator[Step]:
    if step.function != "mul" or not is_negative:
        return
    for targets, answer in (step.inputs, step.inputs[::-1]):
        held = numbers.get(targets)
        if held is None or held.dim() < 2 or not _is_of_targets(trace, targets):
            continue
        marks = bool(((held == 0) | (held == 1)).all()) and bool((held.sum(1) == 1).all())
        if marks and sole(trace, answer).name != "softmax":
            yield step._replace(function="nll_loss", inputs=(answer, targets))


def _rest_of_one(trace: Trace, value: int) -> int | None:
    """Return p if the value is 1 - p."""
    step = trace.maker(value)
    if step is None or step.function not in {"rsub", "sub"} or not step.inputs:
        return None
    if len(step.inputs) == 1:
        is_rest = step.function == "rsub" and 1 in step.arguments.values()
        return step.inputs[0] if is_rest else None
    return None


def _times(trace: Trace, value: int) -> tuple[int, ...]:
    """Return the targets by which the value is multiplied."""
    for reader in trace.readers(value):
        if reader.function == "mul":
            found = [each for each in reader.inputs if each != value and _is_of_targets(trace, each)]
            return tuple(_positive(trace, each) for each in found[:1])
    return ()


def _positive(trace: Trace, value: int) -> int:
    """Return the value without a negation."""
    step = trace.maker(value)
    return step.inputs[0] if step is not None and step.function == "neg" else value


def _is_of_targets(trace: Trace, value: int) -> bool:
    """Return whether the value is the targets or computed from them, without a gradient."""
    if trace.values[value].requires_grad:
        return False
    if trace.values[value].origin == "target":
        return True
    steps = (trace.steps[place] for place in upstream(trace, value))
    return any(trace.values[each].origin == "target" for step in steps for each in step.inputs)


def _bare(trace: Trace, value: int) -> int:
    """Return the value before moves and guards."""
    step = trace.maker(value)
    while step is not None and is_move(step) and step.inputs:
        value = step.inputs[0]
        step = trace.maker(value)
    return value
