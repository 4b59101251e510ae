"""AL208: targets outside the range of the output activation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, parameters_of, sole, upstream
from actlab.rules.finding import Severity
from actlab.rules.observed import REGRESSIONS
from actlab.rules.output.losses import is_multi_label
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step
from actlab.theory.properties import properties

Bounds = tuple[float, float]

_EVEN = frozenset({"pow", "square", "abs", "norm", "smooth_l1_loss"})
_OVERFLOWS = 700.0
_SUM = 0.1
"""How far from 1 the sum of targets may be if they are shares: more than label smoothing and rounding need."""


@rule(
    "AL208",
    title="targets outside the range of the output activation",
    severity="error",
    remedies=("linear-output", "scale-targets"),
)
def output_cannot_reach_targets(context: Context, *, reach: float = 0.01, lost_share: float = 0.1) -> Iterator[Found]:
    """Part of the targets lies outside the range of the output activation, so that the model cannot predict it.

    Why it matters:
        Outputs lie in the range of the last activation: between 0 and 1 for a sigmoid, from 0 upwards for a ReLU.
        Targets outside are never reached, the loss stays above a bound, and the activation is driven into saturation.
        Likewise bounded logits, such as tanh before `cross_entropy`, bound the loss from below, and a Poisson rate
        whose logarithm is bounded never reaches small counts.

    How it is detected:
        The range is computed from the formula of the activation and compared with the targets of the batch. If
        all targets outside have one value, such as -1 for missing, they are not reported. The finding is a warning if
        less than 10 % of the targets lie outside, and information if less than 1 % do.

    Thresholds:
        reach: targets count as outside if they pass the range by more than this share of their own spread. Less is a
            target of 1.0 for a sigmoid, or rounding.
        lost_share: bounded logits are reported if the lowest possible loss exceeds this share of the loss of guessing.
            A tenth is what a well-trained classifier has left; from three times that on it is an error.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        x = torch.randn(32, 4)
        batch = x, 3 * x[:, :1]
        loss = nn.MSELoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        x = torch.randn(32, 4)
        batch = x, 3 * x[:, :1]
        loss = nn.MSELoss()

    References:
        the range of the activation (`actlab show NAME`)
    """
    yield from _regression(context, reach)
    yield from _shares(context)
    yield from _logits(context, lost_share)
    yield from _rates(context)


def _regression(context: Context, reach: float) -> Iterator[Found]:
    reported: set[int] = set()
    for step, output, targets in _comparisons(context):
        made = sole(context.trace, output)
        bounds = _range(made)
        if bounds is None or made.value in reported or targets.numel() == 0:
            continue
        outside = _outside(targets.double(), bounds, reach)
        if outside:
            reported.add(made.value)
            yield _unreached(f"the output of {made.name} lies", made, step, targets, bounds, outside)


def _unreached(subject: str, made: Made, step: Step, targets: Tensor, bounds: Bounds, outside: int) -> Found:
    count, low, high = targets.numel(), float(targets.min()), float(targets.max())
    return found(
        f"{subject} between {bounds[0]:.3g} and {bounds[1]:.3g}, but {outside} of {count} targets lie outside (targets"
        f" range from {low:.3g} to {high:.3g}): they are never reached, and the activation is driven to the end of its"
        " range.",
        site=made.site,
        severity=_severity(outside / count),
        range=list(bounds),
        targets=[low, high],
        outside=outside,
        numbers=count,
        loss=step.function,
    )


def _severity(share: float) -> Severity:
    """Return the severity by the share of targets that cannot be reached: a few may be noise."""
    if share >= 0.1:
        return "error"
    return "warning" if share >= 0.01 else "information"


def _comparisons(context: Context) -> Iterator[tuple[Step, int, Tensor]]:
    """Yield each comparison of an output with fixed targets: a loss, or the size of a difference."""
    for step in context.trace.steps:
        if step.place not in context.to_loss or len(step.inputs) < 2:
            continue
        is_composite = step.function in {"sub", "rsub"} and any(
            reader.function in _EVEN or (reader.function == "mul" and reader.inputs == (step.outputs[0],) * 2)
            for reader in context.trace.readers(step.outputs[0])
        )
        if step.function in REGRESSIONS or is_composite:
            for output, target in ((0, 1), (1, 0)):
                targets = context.tensor(step, target)
                if targets is not None and _are_output_and_targets(context, step, output, target):
                    yield step, step.inputs[output], targets


def _are_output_and_targets(context: Context, step: Step, output: int, target: int) -> bool:
    values = context.trace.values
    one, other = values[step.inputs[output]], values[step.inputs[target]]
    learns = one.requires_grad and not other.requires_grad
    return learns and len(other.shape) > 0 and one.shape == other.shape and _is_data(context, other.number)


def _is_data(context: Context, value: int) -> bool:
    """Return whether no weights took part: targets that a network computes move with it."""
    steps = [context.trace.steps[place] for place in upstream(context.trace, value)]
    return not any(parameters_of(context.trace, step) for step in steps)


def _outside(targets: Tensor, bounds: Bounds, reach: float) -> int:
    spread = float(targets.max() - targets.min()) or float(targets.abs().max())
    margin = reach * spread
    outside = (targets < bounds[0] - margin) | (targets > bounds[1] + margin)
    marks_missing = _distinct(targets[outside]) == 1 < _distinct(targets[~outside])
    return 0 if marks_missing else int(outside.sum())


def _distinct(targets: Tensor) -> int:
    return len(set(targets.flatten().tolist()))


def _shares(context: Context) -> Iterator[Found]:
    """Report a softmax for targets that do not sum to 1 along its axis."""
    for step in context.losses("binary_cross_entropy", *REGRESSIONS):
        made, targets = sole(context.trace, step.inputs[0]), context.tensor(step, 1)
        if made.name != "softmax" or made.dim is None or targets is None or not targets.is_floating_point():
            continue
        has_same_shape = tuple(targets.shape) == context.trace.values[made.value].shape
        if is_multi_label(context, step) or not has_same_shape or targets.shape[made.dim] < 2:
            continue
        sums = targets.double().sum(made.dim)
        off, rows = int(((sums - 1).abs() > _SUM).sum()), sums.numel()
        if off > rows / 2:
            yield found(
                f"softmax outputs sum to 1, but in {off} of {rows} rows the targets do not (their mean sum is"
                f" {float(sums.mean()):.3g}): they are never reached.",
                site=made.site,
                remedies=("use-sigmoid", "linear-output"),
                rows=rows,
                off=off,
                mean_sum=float(sums.mean()),
            )


def _logits(context: Context, lost_share: float) -> Iterator[Found]:
    """Report bounded logits, with which no class can get nearly all of the probability."""
    reported: set[int] = set()
    for step, value in _class_logits(context):
        made = sole(context.trace, value)
        bounds = _range(made)
        classes = context.trace.values[value].shape[1:2]
        is_open = bounds is None or not all(map(math.isfinite, bounds))
        if is_open or made.name == "softmax" or made.value in reported or not classes or classes[0] < 2:
            continue
        assert bounds is not None
        lowest, chance = math.log1p((classes[0] - 1) * math.exp(bounds[0] - bounds[1])), math.log(classes[0])
        if lowest > lost_share * chance:
            reported.add(made.value)
            yield found(
                f"{made.name} bounds the logits to {bounds[0]:.3g} ... {bounds[1]:.3g}, and {step.function} applies"
                f" softmax to them: over {classes[0]} classes the loss cannot fall below {lowest:.2f} (guessing gives"
                f" {chance:.2f}).",
                site=made.spot,
                severity="error" if lowest > 3 * lost_share * chance else "warning",
                remedies=("remove-output-activation",),
                range=list(bounds),
                classes=classes[0],
                lowest_loss=lowest,
                loss=step.function,
            )


def _class_logits(context: Context) -> Iterator[tuple[Step, int]]:
    """Yield the logits of losses whose targets are class indices."""
    for step in context.losses("cross_entropy"):
        targets = context.tensor(step, 1)
        if targets is not None and not targets.is_floating_point():
            yield step, step.inputs[0]
    for step in context.losses("nll_loss"):
        made = sole(context.trace, step.inputs[0])
        if made.name == "log_softmax" and made.source is not None:
            yield step, made.source


def _rates(context: Context) -> Iterator[Found]:
    """Report the logarithm of a Poisson rate from an activation with bounds, which small counts lie below."""
    for step in context.losses("poisson_nll_loss"):
        made, targets = sole(context.trace, step.inputs[0]), context.tensor(step, 1)
        bounds = _range(made)
        if targets is None or bounds is None or step.arguments.get("log_input", True) is not True:
            continue
        rates = (_exp(bounds[0]), _exp(bounds[1]))
        outside = int(((targets >= 0) & ((targets < rates[0]) | (targets > rates[1]))).sum())
        if outside:  # zeros count here: in a list of counts they do not mark what is missing
            subject = f"{made.name} computes the logarithm of the rate, so the rate lies"
            yield _unreached(subject, made, step, targets, rates, outside)


def _exp(bound: float) -> float:
    return math.exp(bound) if bound < _OVERFLOWS else math.inf


def _range(made: Made) -> Bounds | None:
    """Return the bounds of the activation's outputs; None if they are unknown."""
    if made.name in {"softmax", "sigmoid"}:
        return 0.0, 1.0
    if not isinstance(made.activation, Activation) or made.name == "gated" or len(made.activation.inputs) != 1:
        return None
    try:
        known = properties(made.activation).range
    except ActlabError:
        return None
    low, high = known.lower, known.upper
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return None
