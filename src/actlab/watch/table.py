"""The preallocated tables in which everything is added up, one set a device: nothing is read back unasked."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from actlab.kernels.unit_fields import BINS, Field
from actlab.watch.measured import Measured

# Columns of a point: what one step says of a site.
POINT = ("dead", "saturated", "zeros", "mean", "variance", "gradient", "positions")


@final
class Table:
    """All units of all sites on one device, side by side.

    Attributes:
        now: the step that is being measured; fields by units.
        total: all steps before.
        shift: for every unit the number from which z is counted.
        histogram_now, histogram_total: sites by bins.
        inside_total: for every unit the squares of z about its mean in the same step, and of how many numbers.
        gradients: for every site the sum of squares of its gradients in this step.
        bad_step: for every site the first step with a number that is not finite; -1 without.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.now = self._zeros(len(Field), 0)
        self.total = self._zeros(len(Field), 0)
        self.older, self.newer = self._zeros(len(Field), 0), self._zeros(len(Field), 0)
        self.shift, self.bound = self._zeros(0), self._zeros(0)
        self.saturates = torch.zeros(0, dtype=torch.bool, device=device)
        self.owner = torch.zeros(0, dtype=torch.long, device=device)
        self.histogram_now, self.histogram_total = self._zeros(0, BINS), self._zeros(0, BINS)
        self.histogram_older, self.histogram_newer = self._zeros(0, BINS), self._zeros(0, BINS)
        self.inside_total, self.inside_older, self.inside_newer = (self._zeros(2, 0) for _ in range(3))
        self.gradients = self._zeros(0)
        self.bad_step = self._zeros(0)
        self.sites = 0

    def grown(self, act: Measured, units: int) -> slice:
        """Room for one more site: where its units lie."""
        start = self.now.shape[1]
        for name in ("now", "total", "older", "newer"):
            setattr(self, name, torch.cat([getattr(self, name), self._zeros(len(Field), units)], dim=1))
        for name in ("inside_total", "inside_older", "inside_newer"):
            setattr(self, name, torch.cat([getattr(self, name), self._zeros(2, units)], dim=1))
        self.shift = torch.cat([self.shift, self._zeros(units)])
        self.bound = torch.cat([self.bound, self._zeros(units) + act.bound])
        self.saturates = torch.cat([self.saturates, torch.full((units,), act.saturates, device=self.device)])
        self.owner = torch.cat([self.owner, torch.full((units,), self.sites, device=self.device)])
        for name in ("now", "total", "older", "newer"):
            name = f"histogram_{name}"
            setattr(self, name, torch.cat([getattr(self, name), self._zeros(1, BINS)]))
        self.gradients = torch.cat([self.gradients, self._zeros(1)])
        self.bad_step = torch.cat([self.bad_step, self._zeros(1) - 1])
        self.sites += 1
        return slice(start, start + units)

    def closed(self, step: int, *, saturated_floor: float, several: bool = True) -> Tensor:
        """What the step says of every site, columns as in `POINT`; the step is added to the rest and begins anew.

        Args:
            step: its number.
            saturated_floor: a mean slope below this share of the bound is saturation.
            several: whether it had more than one example; a single one says nothing of how examples differ.
        """
        now = self.now
        finite = now[Field.POSITIONS] - now[Field.NON_FINITE]
        seen = (finite > 0).double()
        dead = (now[Field.FIRED] == 0).double() * seen
        saturated = (now[Field.SLOPE_SUM] < saturated_floor * self.bound * finite) & self.saturates
        columns = [seen, dead, saturated.double(), finite, now[Field.Y_ZEROS], now[Field.Y_SUM], now[Field.Y_SQUARES]]
        columns.append(now[Field.NON_FINITE])
        sums = self._zeros(len(columns), self.sites).index_add_(1, self.owner, torch.stack(columns))
        units, count = sums[0], sums[3]
        mean = sums[5] / count
        variance = (sums[6] / count - mean * mean).clamp(min=0)
        point = torch.stack(
            [sums[1] / units, sums[2] / units, sums[4] / count, mean, variance, self.gradients, count + sums[7]]
        )
        self.bad_step = torch.where((self.bad_step < 0) & (sums[7] > 0), float(step), self.bad_step)
        if several:
            self._look_inside(finite)
        self._fold()
        return point.T

    def _look_inside(self, finite: Tensor) -> None:
        moved = self.now[Field.SHIFTED]
        squares = (self.now[Field.SQUARES] - moved * moved / finite.clamp(min=1)).clamp(min=0)
        brought = torch.stack([squares, finite])
        self.inside_total += brought
        self.inside_newer += brought

    def _fold(self) -> None:
        for kept in (self.total, self.newer):
            _add(kept, self.now)
        self.histogram_total += self.histogram_now
        self.histogram_newer += self.histogram_now
        self.now.zero_()
        self.histogram_now.zero_()
        self.gradients = torch.zeros_like(self.gradients)

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
