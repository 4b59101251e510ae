"""Fit the trend of a quantity from site to site: a robust line through its logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from actlab.telemetry.settings import Settings


@final
@dataclass(frozen=True)
class Course:
    """The trend of the logarithm of a size over depth.

    Attributes:
        layers: the number of sites.
        slope: the change per layer, in powers of e (Theil-Sen estimate: the median over all pairs).
        ratio: the last size over the first.
        steady: the share of the steps from site to site with the sign of the slope.
        jump: the share of the whole change that the largest step takes.
        back: the largest step against the slope, as a share of the whole change: large where a branch begins anew.
    """

    layers: int
    slope: float
    ratio: float
    steady: float
    jump: float
    back: float = 0.0

    def is_geometric(self, least: float, settings: Settings) -> bool:
        """Return whether the size changes by the factor `least` or more, steadily and not by one jump."""
        return (
            self.layers >= settings.fewest_layers
            and abs(self.slope) >= settings.slope_per_layer
            and abs(self.slope) * (self.layers - 1) >= math.log(least)
            and max(self.ratio, 1 / max(self.ratio, 1e-300)) >= least
            and self.slope * math.log(max(self.ratio, 1e-300)) > 0
            and self.steady >= settings.steady_share
            and self.jump <= settings.largest_jump
            and self.back <= _LARGEST_RETURN
        )

    def evidence(self) -> dict[str, Any]:
        """Return the numbers for a finding."""
        return {"layers": self.layers, "slope_per_layer": self.slope, "last_over_first": self.ratio}


_LARGEST_RETURN = 0.5
"""A step back over half of the way, as to the input of the next residual branch, leaves no trend of the whole."""

_MOST_PLACES = 200
"""The slope is that between at most so many sites, evenly spaced."""


def _median_slope(places: np.ndarray[Any, Any], logs: np.ndarray[Any, Any]) -> float:
    """Return the median of the slopes between all pairs of at least two places."""
    one, other = np.triu_indices(len(places), 1)
    with np.errstate(invalid="ignore"):  # between two infinite sizes
        slopes = np.sort((logs[other] - logs[one]) / (places[other] - places[one]))
    middle = len(slopes) // 2
    return float(slopes[middle]) if len(slopes) % 2 else float(slopes[middle - 1] + slopes[middle]) / 2


def course(sizes: Sequence[float]) -> Course | None:
    """Return the trend of positive sizes; None for fewer than two."""
    if len(sizes) < 2:
        return None
    logs = [math.log(size) for size in sizes]
    places = range(0, len(logs), -(-len(logs) // _MOST_PLACES))  # the number of pairs grows with the square
    slope = _median_slope(np.array(places), np.array([logs[at] for at in places]))
    steps = [after - before for before, after in pairwise(logs)]
    along = [step for step in steps if step * slope > 0]
    way = abs(logs[-1] - logs[0])
    jump = max((abs(step) for step in along), default=0.0) / way if way else 0.0
    back = max((abs(step) for step in steps if step * slope < 0), default=0.0) / way if way else 0.0
    return Course(len(sizes), slope, math.exp(min(logs[-1] - logs[0], 700.0)), len(along) / len(steps), jump, back)
