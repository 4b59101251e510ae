"""The preallocated tables in which measurements are added up, one set per device, without synchronization."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import final

import torch
from torch import Tensor

from actlab.kernels.statistics.fields import BINS, Field
from actlab.telemetry.observed_activation import Measured

# The columns of a point: one step at one site.
POINT = ("dead", "saturated", "zeros", "mean", "variance", "gradient", "positions")


# So many measured steps, or fewer if they hold more numbers than these, wait to be added up together: a dozen small
# operations cost the same for one step as for many.
MOST_STEPS = 16
_MOST_NUMBERS = 2**17


@final
class Table:
    """All units of all sites on one device, side by side.

    Attributes:
        total: the sums over all steps that were added up.
        shift: for every unit, the value that is subtracted from z before summing.
        histogram_total: the histograms of these steps, sites by bins.
        inside_total: for every unit, the squares of z about its mean in the same step, and the number of values.
        bad_step: for every site, the first step with a value that is not finite; -1 without.
        sites, units: the numbers of sites and of units.
        closed: the number of steps that have ended and are not added up yet.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._steps = self._zeros(MOST_STEPS, len(Field), 0)
        self._histograms = self._zeros(MOST_STEPS, 0, BINS)
        self.total = self._zeros(len(Field), 0)
        self.older, self.newer = self._zeros(len(Field), 0), self._zeros(len(Field), 0)
        self.shift, self.bound = self._zeros(0), self._zeros(0)
        self.saturates = torch.zeros(0, dtype=torch.bool, device=device)
        self._widths: list[int] = []
        self.histogram_total = self._zeros(0, BINS)
        self.histogram_older, self.histogram_newer = self._zeros(0, BINS), self._zeros(0, BINS)
        self.inside_total, self.inside_older, self.inside_newer = (self._zeros(2, 0) for _ in range(3))
        self.bad_step = self._zeros(0)
        self.sites = self.units = self.closed = 0

    @property
    def now(self) -> Tensor:
        """The current step: fields by units."""
        return self._steps[self.closed]

    @property
    def histogram_now(self) -> Tensor:
        """The current step: sites by bins."""
        return self._histograms[self.closed]

    @property
    def addresses(self) -> tuple[int, int, int]:
        """The addresses of `now`, `shift` and `histogram_now`."""
        at, size = self.closed, self.total.element_size()
        units = self._steps.data_ptr() + at * len(Field) * self.units * size
        return units, self.shift.data_ptr(), self._histograms.data_ptr() + at * self.sites * BINS * size

    @property
    def is_full(self) -> bool:
        """Whether the ended steps must be added up before the next one fits."""
        return self.closed == len(self._steps) - 1

    def grown(self, act: Measured, units: int) -> slice:
        """Add one more site and return the slice of its units. No ended step may wait to be added up."""
        assert self.closed == 0
        start = self.units
        self.units, self.sites = start + units, self.sites + 1
        steps = min(MOST_STEPS, max(2, _MOST_NUMBERS // (len(Field) * max(1, self.units))))
        step, histogram = self.now, self.histogram_now
        self._steps = self._zeros(steps, len(Field), self.units)
        self._histograms = self._zeros(steps, self.sites, BINS)
        self.now[:, :start], self.histogram_now[:-1] = step, histogram
        for name in ("total", "older", "newer"):
            setattr(self, name, torch.cat([getattr(self, name), self._zeros(len(Field), units)], dim=1))
            name = f"histogram_{name}"
            setattr(self, name, torch.cat([getattr(self, name), self._zeros(1, BINS)]))
        for name in ("inside_total", "inside_older", "inside_newer"):
            setattr(self, name, torch.cat([getattr(self, name), self._zeros(2, units)], dim=1))
        self.shift = torch.cat([self.shift, self._zeros(units)])
        self.bound = torch.cat([self.bound, self._zeros(units) + act.bound])
        self.saturates = torch.cat([self.saturates, torch.full((units,), act.saturates, device=self.device)])
        self._widths.append(units)
        self.bad_step = torch.cat([self.bad_step, self._zeros(1) - 1])
        return slice(start, start + units)

    def close(self) -> None:
        """End the current step and begin the next."""
        assert not self.is_full
        self.closed += 1

    def added_up(
        self, steps: Sequence[int], *, several: Sequence[bool], gradients: Tensor, saturated_floor: float
    ) -> Tensor:
        """Add up the ended steps and return their points, with the columns of `POINT`.

        Args:
            steps: the numbers of the steps.
            several: whether each step had more than one example; a single one has no variance.
            gradients: for every step and site, the sum of squares of the gradients.
            saturated_floor: a mean derivative below this share of the bound is saturation.
        """
        over = self._steps[: self.closed]
        finite = over[:, Field.POSITIONS] - over[:, Field.NON_FINITE]
        sums = self._by_site(over, finite, saturated_floor=saturated_floor)
        self._note_bad(steps, sums[7] > 0)
        self._look_inside(over, finite, several)
        self._fold(over)
        units, dead, saturated, count, zeros, total, squares, bad = sums
        mean = total / count
        variance = (squares / count - mean * mean).clamp(min=0)
        columns = [dead / units, saturated / units, zeros / count, mean, variance, gradients, count + bad]
        return torch.stack(columns, dim=2)

    def _note_bad(self, steps: Sequence[int], is_bad: Tensor) -> None:
        numbers = torch.tensor(steps, dtype=torch.float64, device=self.device)[:, None]
        first = torch.where(is_bad, numbers, inf).amin(0)
        self.bad_step = torch.where((self.bad_step < 0) & is_bad.any(0), first, self.bad_step)

    def _by_site(self, over: Tensor, finite: Tensor, *, saturated_floor: float) -> Tensor:
        """Return sums over the units of every site, steps by sites.

        They are the numbers of units, of dead and of saturated ones, and of finite values; of the outputs the number of
        zeros, the sum and the sum of squares; and the number of values that are not finite.
        """
        seen = finite > 0
        dead = (over[:, Field.FIRED] == 0) & seen
        saturated = (over[:, Field.SLOPE_SUM] < saturated_floor * self.bound * finite) & self.saturates
        counted = torch.stack([seen, dead, saturated]).double()
        summed = over[:, [Field.Y_ZEROS, Field.Y_SUM, Field.Y_SQUARES, Field.NON_FINITE]].movedim(1, 0)
        columns = torch.cat([counted, finite[None], summed])
        return torch.stack([part.sum(2) for part in torch.split(columns, self._widths, dim=2)], dim=2)

    def _look_inside(self, over: Tensor, finite: Tensor, several: Sequence[bool]) -> None:
        if not all(several):
            picked = torch.tensor(several, device=self.device)
            over, finite = over[picked], finite[picked]
        moved = over[:, Field.SHIFTED]
        squares = (over[:, Field.SQUARES] - moved * moved / finite.clamp(min=1)).clamp(min=0)
        brought = torch.stack([squares.sum(0), finite.sum(0)])
        self.inside_total += brought
        self.inside_newer += brought

    def _fold(self, over: Tensor) -> None:
        """Add the ended steps to the totals and move the current step to the first place."""
        together, largest = over.sum(0), over[:, Field.SLOPE_MAX].amax(0)
        together[Field.SLOPE_MAX] = largest
        histogram = self._histograms[: self.closed].sum(0)
        for kept in (self.total, self.newer):
            _add(kept, together)
        self.histogram_total += histogram
        self.histogram_newer += histogram
        step, histogram = self.now.clone(), self.histogram_now.clone()
        self._steps[: self.closed + 1].zero_()
        self._histograms[: self.closed + 1].zero_()
        self.closed = 0
        self.now.copy_(step)
        self.histogram_now.copy_(histogram)

    def turned(self) -> None:
        """Make the newer half of the recent steps the older one, and move the shifts to the current means."""
        self.older, self.newer = self.newer, torch.zeros_like(self.newer)
        self.inside_older, self.inside_newer = self.inside_newer, torch.zeros_like(self.inside_newer)
        self.histogram_older, self.histogram_newer = self.histogram_newer, torch.zeros_like(self.histogram_newer)
        count = self.older[Field.POSITIONS] - self.older[Field.NON_FINITE]
        by = torch.where(count > 0, self.older[Field.SHIFTED] / count.clamp(min=1), 0.0)
        by = (self.shift + by).float().double() - self.shift  # kernels count from it in float32
        self.shift += by
        for kept in (self.total, self.older):
            _moved(kept, by)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)


def _add(kept: Tensor, brought: Tensor) -> None:
    """Add sums; take the maximum of maxima."""
    largest = torch.maximum(kept[Field.SLOPE_MAX], brought[Field.SLOPE_MAX])
    kept += brought
    kept[Field.SLOPE_MAX] = largest


def added(one: Tensor, other: Tensor) -> Tensor:
    """Return the sum of two tables."""
    result = one.clone()
    _add(result, other)
    return result


def _moved(kept: Tensor, by: Tensor) -> None:
    """Convert the sums to another shift, by exact algebra."""
    count = kept[Field.POSITIONS] - kept[Field.NON_FINITE]
    kept[Field.SQUARES] += by * (count * by - 2 * kept[Field.SHIFTED])
    kept[Field.SHIFTED] -= count * by
