"""Findings about the range of an output activation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.rules.composite_losses import PICKS
from actlab.rules.context import REGRESSIONS, Context, finding
from actlab.rules.dataflow import Made, parameters_of, sole, upstream
from actlab.rules.finding import Finding, Severity
from actlab.rules.output_rules import is_multi_label
from actlab.sites.trace.trace import Step
from actlab.theory.properties import properties

_HALF_LINE = frozenset({"relu", "relu6", "relu2", "threshold", "softplus", "squareplus"})
_EVEN = frozenset({"pow", "square", "abs", "norm", "smooth_l1_loss"})


def cannot_reach(context: Context) -> Iterator[Finding]:
    """AL208: targets outside the range of the activation that makes the answer."""
    told: set[int] = set()
    for step, answer, targets in _compared(context):
        made = sole(context.trace, answer)
        bounds = range_of(made)
        if bounds is None or made.value in told or targets.numel() == 0:
            continue
        found = _outside(targets.double(), bounds, context.settings.reach)
        if found:
            told.add(made.value)
            yield _unreached(made, step, targets, bounds, found)


def _unreached(
    made: Made, step: Step, targets: Tensor, bounds: tuple[float, float], outside: int, *, how: str = ""
) -> Finding:
    count, low, high = targets.numel(), float(targets.min()), float(targets.max())
    return finding(
        "AL208",
        f"{made.name}{how} gives numbers from {bounds[0]:.3g} to {bounds[1]:.3g}, and {outside} of {count} targets lie"
        f" outside, from {low:.3g} to {high:.3g}: they are never reached, and the activation is driven to its end.",
        site=made.site,
        severity=_severity(outside / count),
        range=list(bounds),
        targets=[low, high],
        outside=outside,
        numbers=count,
        loss=step.function,
    )


def _severity(share: float) -> Severity:
    """By how much of the targets is lost: a few may be noise."""
    if share >= 0.1:
        return "error"
    return "warning" if share >= 0.01 else "information"


def _compared(context: Context) -> Iterator[tuple[Step, int, Tensor]]:
    """Every comparison of an answer with targets that do not learn: a loss, or the size of a difference."""
    for step in context.trace.steps:
        if step.place not in context.to_loss or len(step.inputs) < 2:
            continue
        by_hand = step.function in {"sub", "rsub"} and any(
            reader.function in _EVEN or (reader.function == "mul" and reader.inputs == (step.outputs[0],) * 2)
            for reader in context.trace.readers(step.outputs[0])
        )
        if step.function in REGRESSIONS or by_hand:
            for answer, target in ((0, 1), (1, 0)):
                held = context.tensor(step, target)
                if held is not None and _are_answer_and_targets(context, step, answer, target):
                    yield step, step.inputs[answer], held


def _are_answer_and_targets(context: Context, step: Step, answer: int, target: int) -> bool:
    values = context.trace.values
    given, wanted = values[step.inputs[answer]], values[step.inputs[target]]
    apart = given.requires_grad and not wanted.requires_grad and len(wanted.shape) > 0 and given.shape == wanted.shape
    return apart and _is_data(context, wanted.number)


def _is_data(context: Context, value: int) -> bool:
    """Whether no weights had a part in it: what a network gives as a target moves with it."""
    steps = [context.trace.steps[place] for place in upstream(context.trace, value)]
    return not any(parameters_of(context.trace, step) for step in steps)


def _outside(targets: Tensor, bounds: tuple[float, float], reach: float) -> int:
    spread = float(targets.max() - targets.min()) or float(targets.abs().max())
    margin = reach * spread
    outside = (targets < bounds[0] - margin) | (targets > bounds[1] + margin)
    marks_missing = _kinds(targets[outside]) == 1 < _kinds(targets[~outside])
    return 0 if marks_missing else int(outside.sum())


def _kinds(targets: Tensor) -> int:
    return len(set(targets.flatten().tolist()))


def cannot_sum(context: Context) -> Iterator[Finding]:
    """AL208: a softmax for targets that do not sum to 1 along its axis."""
    for step in context.losses("binary_cross_entropy", *REGRESSIONS):
        made, targets = sole(context.trace, step.inputs[0]), context.tensor(step, 1)
        if made.name != "softmax" or made.dim is None or targets is None or not targets.is_floating_point():
            continue
        if (
            is_multi_label(context, step)
            or tuple(targets.shape) != context.trace.values[made.value].shape
            or targets.shape[made.dim] < 2
        ):
            continue
        sums = targets.double().sum(made.dim)
        off, rows = int(((sums - 1).abs() > _SUM).sum()), sums.numel()
        if off > rows / 2:
            yield finding(
                "AL208",
                f"softmax gives shares that sum to 1, and in {off} of {rows} rows the targets sum to something else, in"
                f" the mean {float(sums.mean()):.3g}: they are never reached.",
                site=made.site,
                remedies=("use-sigmoid", "linear-output"),
                rows=rows,
                off=off,
                mean_sum=float(sums.mean()),
            )


_SUM = 0.1
"""How far from 1 targets may sum and still be shares: smoothing and rounding stay within it."""


def range_of(made: Made) -> tuple[float, float] | None:
    """The least and the greatest value that the activation can give; None where it is none, or unknown."""
    if made.name in {"softmax", "sigmoid"}:
        return 0.0, 1.0
    if not isinstance(made.activation, Activation) or made.name == "gated" or len(made.activation.inputs) != 1:
        return None
    try:
        found = properties(made.activation).range
    except ActlabError:
        return None
    low, high = found.lower, found.upper
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return None


def logits_cannot_reach(context: Context) -> Iterator[Finding]:
    """AL208: logits between bounds, so that no class can be given nearly all of the probability."""
    told: set[int] = set()
    for step, value in _class_logits(context):
        made, bounds = sole(context.trace, value), range_of(sole(context.trace, value))
        classes = context.trace.values[value].shape[1:2]
        is_open = bounds is None or not all(map(math.isfinite, bounds))
        if is_open or made.name == "softmax" or made.value in told or not classes or classes[0] < 2:
            continue
        assert bounds is not None
        floor, chance = math.log1p((classes[0] - 1) * math.exp(bounds[0] - bounds[1])), math.log(classes[0])
        if floor > context.settings.lost_share * chance:
            told.add(made.value)
            yield finding(
                "AL208",
                f"{made.name} gives the logits, from {bounds[0]:.3g} to {bounds[1]:.3g}, and {step.function} applies"
                f" softmax to them: over {classes[0]} classes the loss cannot fall below {floor:.2f}, where guessing"
                f" gives {chance:.2f}.",
                site=made.spot,
                severity="error" if floor > 3 * context.settings.lost_share * chance else "warning",
                remedies=("remove-output-activation",),
                range=list(bounds),
                classes=classes[0],
                lowest_loss=floor,
                loss=step.function,
            )


def _class_logits(context: Context) -> Iterator[tuple[Step, int]]:
    """What is softmaxed for a loss of classes, of targets that are one of them."""
    for step in context.losses("cross_entropy"):
        targets = context.tensor(step, 1)
        if targets is not None and not targets.is_floating_point():
            yield step, step.inputs[0]
    for step in context.losses("nll_loss"):
        made = sole(context.trace, step.inputs[0])
        if made.name == "log_softmax" and made.source is not None:
            yield step, made.source


def rate_cannot_reach(context: Context) -> Iterator[Finding]:
    """AL208: the logarithm of a rate from a function that bounds it, so that small counts are never reached."""
    for step in context.losses("poisson_nll_loss"):
        made, targets = sole(context.trace, step.inputs[0]), context.tensor(step, 1)
        bounds = range_of(made)
        if targets is None or bounds is None or step.arguments.get("log_input", True) is not True:
            continue
        rates = (_exp(bounds[0]), _exp(bounds[1]))
        outside = int(((targets >= 0) & ((targets < rates[0]) | (targets > rates[1]))).sum())
        if outside:  # noughts too, which are no mark of what is missing here
            yield _unreached(
                made, step, targets, rates, outside, how=", whose exponential the loss takes for the rate,"
            )


def _exp(bound: float) -> float:
    return math.exp(bound) if bound < _OVERFLOWS else math.inf


_OVERFLOWS = 700.0


def half_line_on_logits(context: Context) -> Iterator[Finding]:
    """AL209: an activation that gives no negative number makes the logits."""
    told: set[int] = set()
    for step, value in _logits(context):
        made = sole(context.trace, value)
        if made.name in _HALF_LINE and made.value not in told:
            told.add(made.value)
            yield finding(
                "AL209",
                f"{made.name} is applied to the logits before {step.function}: no logit is negative, so that the model"
                " cannot say that a class is unlikely, and where all are 0 no gradient passes.",
                site=made.site,
                loss=step.function,
            )


def _logits(context: Context) -> Iterator[tuple[Step, int]]:
    """What losses, and the softmax or sigmoid before them, take for logits."""
    for step in context.losses("cross_entropy", "binary_cross_entropy_with_logits"):
        yield step, step.inputs[0]
    for step in context.losses("nll_loss", "binary_cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        if made.name in {"log_softmax", "softmax", "sigmoid"} and made.source is not None:
            yield step, made.source
    for step in context.losses("logsumexp"):
        if any(reader.function in PICKS for reader in context.trace.readers(step.inputs[0])):
            yield step, step.inputs[0]  # cross-entropy that is written out


RULES = (cannot_reach, cannot_sum, logits_cannot_reach, rate_cannot_reach, half_line_on_logits)
