"""Where a loss goes: whether it falls, stays or cannot be told for noise."""

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
    """Where the loss was and is.

    Attributes:
        losses: how many finite losses this rests on.
        first, last: medians of the first and the last of them; NaN without any.
        error: the standard error of their difference, from the noise between neighbours.
        falls, rises: it did so, by more than its noise; a fall by more than a trifle.
        stalls: it did not fall, as far as a median can say. Where neither holds noise hides it, or there are too few.
        learned: it fell by so much that nothing can have hindered it.
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
        """The numbers, for a finding."""
        return {"losses": self.losses, "first_loss": self.first, "last_loss": self.last, "standard_error": self.error}


def progress(losses: Sequence[tuple[int, float]], settings: Settings) -> Progress:
    """Where the losses go, of pairs of step and loss."""
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
    # Where a fall of this share would be lost in the noise, as in reinforcement learning, its absence says nothing.
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
    """Whether the loss had stopped falling before this step, and has not risen since.

    What came about at the step is then not what keeps the loss where it is.

    Args:
        losses: pairs of step and loss.
        before: the step.
        settings: the thresholds.
        fewest: with fewer losses before the step one cannot say.
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
    """The standard deviation of a loss about its trend, from the differences of neighbours."""
    if len(losses) < 2:
        return math.inf
    steps = [after - before for before, after in pairwise(losses)]
    middle = median(steps)
    # 1.4826 makes a median deviation a standard deviation; a difference has twice the variance of its terms.
    return 1.4826 * median(abs(step - middle) for step in steps) / math.sqrt(2)
