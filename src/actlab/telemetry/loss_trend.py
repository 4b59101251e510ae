"""Fit the trend of a loss: whether it falls, stalls, or is too noisy to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, final

from actlab.telemetry.settings import Settings


@final
@dataclass(frozen=True)
class Progress:
    """The trend of a loss.

    Attributes:
        losses: the number of finite losses.
        first, last: the medians of the first and of the last of them; NaN without any.
        error: the standard error of their difference, from the noise between neighbors.
        falls, rises: whether the loss changed by more than its noise; a fall must also exceed `stalled_share`.
        stalls: whether it did not fall. If it neither falls nor stalls, it is too noisy or there are too few losses.
        learned: whether it fell so far that nothing can have hindered training.
    """

    losses: int
    first: float
    last: float
    error: float
    falls: bool
    rises: bool
    stalls: bool
    learned: bool

    def evidence(self) -> dict[str, Any]:
        """Return the numbers for a finding."""
        return {"losses": self.losses, "first_loss": self.first, "last_loss": self.last, "standard_error": self.error}


def progress(losses: Sequence[tuple[int, float]], settings: Settings) -> Progress:
    """Return the trend of pairs of step and loss."""
    finite = [loss for _, loss in losses if math.isfinite(loss)]
    if not finite:
        return Progress(0, math.nan, math.nan, math.nan, falls=False, rises=False, stalls=False, learned=False)
    early = max(3, len(finite) // 20)  # short: most of a fall may happen in the first steps
    late = max(3, len(finite) // 4)
    first, last = median(finite[:early]), median(finite[-late:])
    # 1.253 = sqrt(pi / 2): the standard error of a median over that of a mean.
    error = 1.253 * _noise(finite) * math.sqrt(1 / early + 1 / late)
    fall, size = first - last, max(abs(first), 1e-30)
    enough = len(finite) >= settings.fewest_losses
    # If the noise hides a fall of this share, as in reinforcement learning, its absence says nothing.
    telling = settings.sure_of_fall * error <= settings.noise_share * size
    sure = enough and fall > settings.sure_of_fall * error
    return Progress(
        len(finite),
        first,
        last,
        error,
        falls=sure and fall > settings.stalled_share * size,
        rises=enough and fall < -settings.sure_of_fall * error,
        stalls=enough and (fall < -settings.sure_of_fall * error or (telling and fall < settings.stalled_share * size)),
        learned=sure and fall > settings.learned_share * size,
    )


def was_at_rest(losses: Sequence[tuple[int, float]], before: int, settings: Settings, *, fewest: int) -> bool:
    """Return whether the loss had stopped falling before a step and has not risen since.

    An event at that step is then not the cause of the plateau.

    Args:
        losses: pairs of step and loss.
        before: the step.
        settings: the thresholds.
        fewest: the number of losses that are needed before the step.
    """
    early = [loss for step, loss in losses if step < before and math.isfinite(loss)]
    since = [loss for step, loss in losses if step >= before]
    if len(early) < fewest or len(since) < 3 or not all(map(math.isfinite, since)):
        return False
    third = max(3, len(early) // 3)  # the first one may hold the fall from the start
    middle, last, after = (median(part) for part in (early[-2 * third : -third], early[-third:], since))
    error = 1.253 * _noise(early) * math.sqrt(2 / third)
    trifle = max(settings.sure_of_fall * error, settings.stalled_share * abs(middle))
    telling = settings.sure_of_fall * error <= settings.noise_share * abs(middle)
    return telling and middle - last <= trifle and after - last <= trifle


def _noise(losses: Sequence[float]) -> float:
    """Estimate the standard deviation of a loss about its trend, from the differences of neighbors."""
    if len(losses) < 2:
        return math.inf
    steps = [after - before for before, after in pairwise(losses)]
    middle = median(steps)
    # 1.4826 makes a median deviation a standard deviation; a difference has twice the variance of its terms.
    return 1.4826 * median(abs(step - middle) for step in steps) / math.sqrt(2)
