"""The preallocated tables in which everything is added up, one set a device: nothing is read back unasked."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import final

import torch
from torch import Tensor

from actlab.kernels.statistics.fields import BINS, Field
from actlab.telemetry.observed_activation import Measured

# Columns of a point: what one step says of a site.
POINT = ("dead", "saturated", "zeros", "mean", "variance", "gradient", "positions")


# So many measured steps are kept apart, unless their numbers are more than these, before they are added up together: a
# dozen small operations cost the same for one step as for many.
MOST_STEPS = 16
_MOST_NUMBERS = 2**17


@final
class Table:
    """All units of all sites on one device, side by side.

    Attributes:
        total: all steps that were added up.
        shift: for every unit the number from which z is counted.
        histogram_total: of these steps, sites by bins.
        inside_total: for every unit the squares of z about its mean in the same step, and of how many numbers.
        bad_step: for every site the first step with a number that is not finite; -1 without.
        sites, units: how many there are.
        closed: how many steps are over and not added up yet.
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
        """The step that is being measured: fields by units."""
        return self._steps[self.closed]

    @property
    def histogram_now(self) -> Tensor:
        """The step that is being measured: sites by bins."""
        return self._histograms[self.closed]

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Where the numbers of `now`, `shift` and `histogram_now` begin."""
        at, size = self.closed, self.total.element_size()
        units = self._steps.data_ptr() + at * len(Field) * self.units * size
        return units, self.shift.data_ptr(), self._histograms.data_ptr() + at * self.sites * BINS * size

    @property
    def is_full(self) -> bool:
        """Whether the next step has no place unless those that are over are added up."""
        return self.closed == len(self._steps) - 1

    def grown(self, act: Measured, units: int) -> slice:
        """Room for one more site: where its units lie. No step that is over waits to be added up."""
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
        """The step that is being measured is over; the next one begins."""
        assert not self.is_full
        self.closed += 1

    def added_up(
        self, steps: Sequence[int], *, several: Sequence[bool], gradients: Tensor, saturated_floor: float
    ) -> Tensor:
        """What each step that is over says of every site, columns as in `POINT`; they are added to the rest.

        Args:
            steps: their numbers.
            several: whether each had more than one example; a single one says nothing of how examples differ.
            gradients: for every step and site the sum of squares of its gradients.
            saturated_floor: a mean slope below this share of the bound is saturation.
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
        """Sums over the units of every site, of steps by sites: how many units were seen, dead and saturated, how many
        numbers were finite, and of the outputs the zeros, the sum and the squares; how many numbers were not finite."""
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
        """Into the rest; the step that is being measured moves to the first place."""
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
        """The newer half of what is recent becomes the older one, and shifts move to where the means are now."""
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
    """Sums are added, maxima compared."""
    largest = torch.maximum(kept[Field.SLOPE_MAX], brought[Field.SLOPE_MAX])
    kept += brought
    kept[Field.SLOPE_MAX] = largest


def added(one: Tensor, other: Tensor) -> Tensor:
    """Two tables as one."""
    result = one.clone()
    _add(result, other)
    return result


def _moved(kept: Tensor, by: Tensor) -> None:
    """The sums counted from a shift that lies further on: exact algebra."""
    count = kept[Field.POSITIONS] - kept[Field.NON_FINITE]
    kept[Field.SQUARES] += by * (count * by - 2 * kept[Field.SHIFTED])
    kept[Field.SHIFTED] -= count * by
