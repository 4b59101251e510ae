"""The size of updates relative to the weights, over a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, final

from actlab.rules.run import Run
from actlab.telemetry.settings import Settings


@final
@dataclass(frozen=True)
class Pace:
    """The usual ratio of an update to its weights, for every parameter that has one."""

    ratios: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median over the parameters."""
        return median(self.ratios)

    def share(self, *, below: float = math.inf, above: float = -math.inf) -> float:
        """Return the share of the parameters whose ratio lies between."""
        return sum(above < ratio < below for ratio in self.ratios) / len(self.ratios)


def pace(run: Run) -> Pace | None:
    """Return the usual ratios; None if no parameter has a steady one. Biases begin at 0 and have any ratio."""
    found = [_usual(each.updates) for each in run.quantities.parameters if has_size(each, run.settings)]
    ratios = tuple(ratio for ratio in found if ratio is not None)
    return Pace(ratios) if ratios else None


def pace_evidence(run: Run, found: Pace) -> dict[str, Any]:
    """Return the numbers for a finding."""
    return {
        "parameters": len(found.ratios),
        "median_ratio": found.middle,
        "steps": run.quantities.measured,
        **run.loss.evidence(),
    }


def has_size(parameter: Any, settings: Settings) -> bool:
    """Return whether a parameter's updates tell something: measured often enough, and not a bias."""
    return len(parameter.updates) >= settings.fewest_steps and parameter.name.rpartition(".")[2] != "bias"


def _usual(pairs: Sequence[tuple[int, float]]) -> float | None:
    """Return the usual ratio once training runs; None if it still rises or falls, as under a schedule."""
    late = [ratio for _, ratio in pairs[len(pairs) // 3 :] if not math.isnan(ratio)]
    half = len(late) // 2
    if not half:
        return None
    before, after = median(late[:half]), median(late[half:])
    if before == after == 0:
        return 0.0  # every step rounds to nothing
    # A factor of 2 within the last two thirds: a weight that began at 0, a warm-up or a decay, not the usual pace.
    if not (before > 0 and after > 0 and 0.5 <= after / before <= 2):
        return None
    return median(late)
