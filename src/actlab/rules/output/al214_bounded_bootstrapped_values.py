"""AL214: an activation of limited range on values whose targets add rewards to values."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.rules.bounds import Bounds, range_of
from actlab.rules.context import Context
from actlab.rules.finding import Severity
from actlab.rules.output.comparisons import comparisons
from actlab.rules.output.losses import confined, last_source
from actlab.rules.rule import Found, found, rule


@rule(
    "AL214",
    title="bounded activation on bootstrapped values",
    severity="error",
    remedies=("linear-output", "scale-targets"),
)
def bounded_bootstrapped_values(
    context: Context, *, past_range: float = 0.05, targets_outside: float = 0.1
) -> Iterator[Found]:
    """The targets are rewards plus discounted values of the model itself and leave the range of its activation.

    Why it matters:
        A value is a sum of future rewards. Behind a sigmoid it cannot exceed 1, behind a tanh it stays within -1 ... 1,
        behind a ReLU it cannot be negative, but its target, reward plus discounted next value, can. The values then
        stick to the end of the range and say nothing about which action is better.

    How it is detected:
        By data flow and by value: the targets of a regression are computed from data and from the output of an
        activation of limited range, without a gradient. They are reported if the value that follows from the mean
        reward of the batch, reward / (1 - discount), lies outside the range; or, for a range with two ends, if targets
        of the batch do, or a single reward fills the range although the episode continues.
        Rewards that come only at the end of an episode, with the next value masked there, stay inside.

    Thresholds:
        past_range: values count as outside if they pass the range by this share of it.
        targets_outside: this share of the batch's targets must lie outside.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        batch = torch.randn(32, 4), torch.rand(32, 1)
        loss = lambda value, reward: F.mse_loss(value, reward + 0.99 * value.roll(-1, 0).detach())

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        batch = torch.randn(32, 4), torch.rand(32, 1)
        loss = lambda value, reward: F.mse_loss(value, reward + 0.99 * value.roll(-1, 0).detach())

    References:
        Sutton and Barto 2018, section 6.1
    """
    reported: set[int] = set()
    for step, output, target in comparisons(context):
        known, aim = confined(context, step.inputs[output]), context.bounds(step.inputs[target])
        targets = context.tensor(step, target)
        if known is None or aim is None or not aim.sources or targets is None or targets.numel() == 0:
            continue
        made = last_source(known)
        severity, leads = _judge(known, aim, targets.double(), past_range, targets_outside)
        if severity is None or made.value in reported:
            continue
        reported.add(made.value)
        outside = float(_outside(targets.double(), known, past_range).double().mean())
        yield found(
            f"{made.name} confines the values to {known.least:.3g} ... {known.most:.3g}, but their targets add rewards"
            f" to discounted values: {100 * outside:.0f} % of {targets.numel()} targets lie outside, and the mean"
            f" reward of this batch leads to {leads}.",
            site=made.spot,
            severity=severity,
            range=[known.least, known.most],
            outside=outside,
            numbers=targets.numel(),
            loss=step.function,
        )


def _judge(known: Bounds, aim: Bounds, targets: Tensor, reach: float, share: float) -> tuple[Severity | None, str]:
    """Return how sure it is that the targets leave the range, and to which value the rewards lead, in words."""
    low, high = _ends(aim)
    if not math.isfinite(high):  # a half-line: a mean reward below it leads to a negative value
        reward = float(aim.low.mean()) - low
        is_below = math.isfinite(low) and reward < 0 and known.least >= 0 and known.most == math.inf
        return ("error" if is_below else None), "a negative value"
    if not math.isfinite(low) or high <= low or not math.isfinite(known.most - known.least):
        return None, ""
    factors = (aim.high - aim.low) / (high - low)
    rewards = aim.low - factors * low
    factor, reward = float(factors.mean()), float(rewards.mean())
    leads = reward / (1 - factor) if factor < 1 else math.copysign(math.inf, reward) if reward else 0.0
    if bool(_outside(torch.tensor(leads, dtype=torch.double), known, reach)):
        return "error", f"{leads:.3g}"
    is_outside = _outside(targets, known, reach)
    # one reward takes up the range, and more of them follow
    fills = ((rewards - (1 - factors) * (high + low) / 2).abs() > _FILLS * (high - low) / 2) & (factors > _FOLLOWS)
    many = max(float(is_outside.double().mean()), float(fills.double().mean())) >= share
    return ("warning" if many else None), f"{leads:.3g}"


_FILLS, _FOLLOWS = 0.9, 0.5


def _ends(aim: Bounds) -> tuple[float, float]:
    """Return the range of the activation from which the targets are computed."""
    ranges = [limits for made in aim.sources if (limits := range_of(made)) is not None]
    if not ranges:
        return -math.inf, math.inf
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _outside(values: Tensor, known: Bounds, reach: float) -> Tensor:
    margin = reach * (known.most - known.least) if math.isfinite(known.most - known.least) else reach
    return (values < known.least - margin) | (values > known.most + margin)
