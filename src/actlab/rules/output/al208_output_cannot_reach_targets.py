"""AL208: targets outside the range of the output activation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.rules.bounds import Bounds, range_of
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, sole
from actlab.rules.finding import Severity
from actlab.rules.observed import REGRESSIONS
from actlab.rules.output.comparisons import comparisons, is_data, is_policy
from actlab.rules.output.losses import are_shares, confined, is_in_unit_interval, is_multi_label, last_source
from actlab.rules.output.masks import is_masked
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

Range = tuple[float, float]

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
        The range is computed from the formula of the activation and of the arithmetic after it, and compared with the
        targets of the batch. If the loss is masked and all targets outside have one value, such as -1 for missing, they
        are not reported. The finding is a warning if less than 10 % of the targets lie outside, and information if less
        than 1 % do. Bounded logits are judged by the lowest loss that the targets of the batch admit, which may be
        class indices or probabilities.

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
    yield from _binary(context, lost_share)
    yield from _rates(context)


def _regression(context: Context, reach: float) -> Iterator[Found]:
    reported: set[int] = set()
    for step, output, target in comparisons(context):
        targets = context.tensor(step, target)
        if targets is None or not is_data(context, step.inputs[target]):
            continue
        known = confined(context, step.inputs[output])
        if known is None or targets.numel() == 0 or is_policy(context, step):
            continue
        made = last_source(known)
        if made.step is not None and made.step.function == "clamp" and made.step.part == "loss":
            continue  # the loss clips on purpose
        outside = _outside(targets.double(), known, reach, may_miss=is_masked(context, step))
        if outside and made.value not in reported:
            reported.add(made.value)
            is_direct = sole(context.trace, step.inputs[output]).value == made.value
            subject = f"the output of {made.name} lies" if is_direct else f"the output, computed from {made.name}, lies"
            yield _unreached(subject, made, step, targets, (known.least, known.most), outside, _inner(context, made))


def _inner(context: Context, made: Made) -> str:
    """Return which activation bounds the input of this one; nothing if none does."""
    known = None if made.source is None else confined(context, made.source)
    limits = range_of(made)
    if known is None or limits is None or context.bounds(made.value) is None:
        return ""
    here = context.bounds(made.value)
    is_narrower = here is not None and (here.least > limits[0] or here.most < limits[1])
    inner = last_source(known)
    place = f" at {inner.site.name}" if inner.site is not None else ""
    return f", since {inner.name}{place} bounds its input," if is_narrower else ""


def _unreached(
    subject: str, made: Made, step: Step, targets: Tensor, bounds: Range, outside: int, inner: str = ""
) -> Found:
    count, low, high = targets.numel(), float(targets.min()), float(targets.max())
    return found(
        f"{subject} between {bounds[0]:.3g} and {bounds[1]:.3g}{inner or ','} but {outside} of {count} targets lie"
        f" outside (targets range from {low:.3g} to {high:.3g}): they are never reached, and the activation is driven"
        " to the end of its range.",
        site=made.spot,
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


def _outside(targets: Tensor, known: Bounds, reach: float, *, may_miss: bool) -> int:
    """Return the number of targets outside the bounds, without those that the loss may leave out as missing."""
    spread = float(targets.max() - targets.min()) or float(targets.abs().max())
    margin = reach * spread
    low, high = known.low, known.high
    if not (_fits(low, targets) and _fits(high, targets)):
        low, high = low.min(), high.max()
    is_fixed = (low == high) & (low.dim() > 0)  # such as the outputs that a mask makes 0
    outside = ((targets < low - margin) | (targets > high + margin)) & ~is_fixed
    marks_missing = may_miss and _distinct(targets[outside]) == 1 < _distinct(targets[~outside])
    return 0 if marks_missing else int(outside.sum())


def _fits(bound: Tensor, targets: Tensor) -> bool:
    """Return whether the bound is one for each target, or one for several."""
    sizes = zip(reversed(bound.shape), reversed(targets.shape), strict=False)
    return bound.dim() <= targets.dim() and all(size in {1, other} for size, other in sizes)


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
                site=made.spot,
                remedies=("use-sigmoid", "linear-output"),
                rows=rows,
                off=off,
                mean_sum=float(sums.mean()),
            )


def _logits(context: Context, lost_share: float) -> Iterator[Found]:
    """Report bounded logits, with which no class can get nearly all of the probability."""
    reported: set[int] = set()
    for step, value in _class_logits(context):
        known = confined(context, value)
        classes = context.trace.values[value].shape[1:2]
        if known is None or not _are_bounded(known) or not classes or classes[0] < 2:
            continue
        made = last_source(known)
        if made.value in reported or sole(context.trace, value).name == "softmax" or are_shares(context, step, value):
            continue
        lowest, chance = _lowest(context, step, known, classes[0]), math.log(classes[0])
        if lowest > lost_share * chance:
            reported.add(made.value)
            yield found(
                f"{made.name} bounds the logits to {known.least:.3g} ... {known.most:.3g}, and {step.function} applies"
                f" softmax to them: over {classes[0]} classes the loss cannot fall below {lowest:.2f} (guessing gives"
                f" {chance:.2f}).",
                site=made.spot,
                severity="error" if lowest > 3 * lost_share * chance else "warning",
                remedies=("remove-output-activation",),
                range=[known.least, known.most],
                classes=classes[0],
                lowest_loss=lowest,
                loss=step.function,
            )


def _are_bounded(known: Bounds) -> bool:
    """Return whether the activations themselves bound the logits, not a normalization after them."""
    ends = [end for made in known.sources for end in range_of(made) or (math.inf,)]
    return all(map(math.isfinite, (*ends, known.least, known.most)))


def _lowest(context: Context, step: Step, known: Bounds, classes: int) -> float:
    """Return the lowest loss with the bounded logits, beyond the entropy of the targets."""
    targets = context.tensor(step, 1)
    if step.function != "cross_entropy" or targets is None or not targets.is_floating_point() or targets.dim() < 2:
        return math.log1p((classes - 1) * math.exp(known.least - known.most))
    rows = targets.double().movedim(1, -1).reshape(-1, classes)[:_ROWS]
    if bool((rows < 0).any()) or bool(((rows.sum(1) - 1).abs() > _SUM).any()):
        return 0.0
    # the best logits are log(target) + c within the bounds, for some c
    entropy = -torch.special.xlogy(rows, rows).sum(1)
    tried = known.least + (known.most - known.least + 20) * torch.linspace(0, 1, 100, dtype=torch.double)
    best = (rows.clamp(min=1e-30).log() + tried[:, None, None]).clamp(known.least, known.most)
    losses = -(rows * best.log_softmax(-1)).sum(-1)
    return float((losses.amin(0) - entropy).mean())


def _class_logits(context: Context) -> Iterator[tuple[Step, int]]:
    """Yield the logits of losses that apply softmax to them, or whose softmax is a step before."""
    for step in context.losses("cross_entropy"):
        yield step, step.inputs[0]
    for step in context.losses("nll_loss"):
        made = sole(context.trace, step.inputs[0])
        if made.name == "log_softmax" and made.source is not None:
            yield step, made.source


def _binary(context: Context, lost_share: float) -> Iterator[Found]:
    """Report bounded logits of a binary loss, other than probabilities and non-negative ones.

    Of logits that are never positive one bound suffices: no probability exceeds one half.
    """
    yield from _probabilities(context, lost_share)
    for step in context.losses("binary_cross_entropy_with_logits"):
        targets = context.tensor(step, 1)
        known = confined(context, step.inputs[0])
        if known is None or targets is None or not (_are_bounded(known) or known.most <= 0):
            continue
        if is_in_unit_interval(known) or known.least >= 0 or bool(((targets < 0) | (targets > 1)).any()):
            continue
        sure = targets.double()
        best = torch.logit(sure).clamp(max(known.least, -_OVERFLOWS), known.most)
        lowest = float((torch.nn.functional.softplus(best) - sure * best - _entropy(sure)).mean())
        if lowest > 3 * lost_share * math.log(2):
            made = last_source(known)
            yield found(
                f"{made.name} bounds the logits to {known.least:.3g} ... {known.most:.3g}, and {step.function} applies"
                f" a sigmoid to them: the loss cannot fall below {lowest:.2f} (guessing gives 0.69).",
                site=made.spot,
                severity="warning",
                remedies=("remove-output-activation",),
                range=[known.least, known.most],
                lowest_loss=lowest,
                loss=step.function,
            )


def _probabilities(context: Context, lost_share: float) -> Iterator[Found]:
    """Report probabilities that another activation before the sigmoid keeps away from 0 and 1 on both sides."""
    for step in context.losses("binary_cross_entropy"):
        targets, known = context.tensor(step, 1), confined(context, step.inputs[0])
        made = None if known is None else last_source(known)
        if targets is None or known is None or made is None or not (0 < known.least <= known.most < 1):
            continue
        inner = _inner(context, made)
        sure = targets.double()
        if not inner or is_masked(context, step) or bool(((sure < 0) | (sure > 1)).any()):
            continue
        best = sure.clamp(known.least, known.most)
        cross = -(sure * best.log() + (1 - sure) * (1 - best).log())
        lowest = float((cross - _entropy(sure)).mean())
        if lowest > 3 * lost_share * math.log(2) and not is_in_unit_interval(
            Bounds(known.low, known.high, _before(context, made))
        ):
            yield found(
                f"{made.name} gives probabilities between {known.least:.3g} and {known.most:.3g}{inner} so that"
                f" {step.function} cannot fall below {lowest:.2f} (guessing gives 0.69).",
                site=made.spot,
                severity="warning",
                remedies=("remove-output-activation",),
                range=[known.least, known.most],
                lowest_loss=lowest,
                loss=step.function,
            )


def _entropy(targets: Tensor) -> Tensor:
    """Return the least binary cross-entropy that soft targets allow."""
    entropy: Tensor = -(torch.special.xlogy(targets, targets) + torch.special.xlogy(1 - targets, 1 - targets))
    return entropy


def _before(context: Context, made: Made) -> tuple[Made, ...]:
    """Return the activations that bound the input of this one."""
    known = None if made.source is None else confined(context, made.source)
    return () if known is None else known.sources


_ROWS = 256
"""Enough rows of targets to know how sharp they are."""


def _rates(context: Context) -> Iterator[Found]:
    """Report the logarithm of a Poisson rate from an activation with bounds, which small counts lie below."""
    for step in context.losses("poisson_nll_loss"):
        made, targets = sole(context.trace, step.inputs[0]), context.tensor(step, 1)
        bounds = range_of(made)
        if targets is None or bounds is None or step.arguments.get("log_input", True) is not True:
            continue
        rates = (_exp(bounds[0]), _exp(bounds[1]))
        outside = int(((targets >= 0) & ((targets < rates[0]) | (targets > rates[1]))).sum())
        if outside:  # zeros count here: in a list of counts they do not mark what is missing
            subject = f"{made.name} computes the logarithm of the rate, so the rate lies"
            yield _unreached(subject, made, step, targets, rates, outside)


def _exp(bound: float) -> float:
    return math.exp(bound) if bound < _OVERFLOWS else math.inf
