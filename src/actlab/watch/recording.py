"""What a watched network's activations are told to, and where that is added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf, nan, sqrt
from typing import Any, final

import torch
from torch import Tensor

from actlab.formula.activation import Activation
from actlab.sites.site import Site, Unseen
from actlab.sites.trace import Trace
from actlab.watch.measured import Measured, measured
from actlab.watch.merge import statistics
from actlab.watch.pass_statistics import add_pass
from actlab.watch.plain_statistics import by_unit
from actlab.watch.quantities import FirstNonFinite, Point, SiteQuantities
from actlab.watch.settings import Settings
from actlab.watch.table import Table, added

# What is recent covers at least this many examples and at most twice as many: 3/512 bounds a dead unit's rate.
RECENT = 512
MOST_POINTS = 512

Key = tuple[str, str, int, int, str]


@final
class Row:
    """A site's place in the tables, and what is counted of it on the way.

    Attributes:
        site, act: what is measured.
        table: the device's.
        units: its columns.
        at: its row.
        now, total, newer, older: examples in this step, in all, and in both halves of what is recent.
        gradient_numbers: how many numbers of gradients came in this step.
        told: the last step at which its numbers were told; -1 before.
    """

    def __init__(self, site: Site, act: Measured, *, table: Table, units: slice, at: int) -> None:
        self.site, self.act, self.table, self.units, self.at = site, act, table, units, at
        self.now = self.total = self.newer = self.older = 0
        self.gradient_numbers = 0
        self.told = -1


@final
@dataclass(frozen=True, eq=False)
class Moment:
    """One measured step: the points of every site of every table, not read back yet."""

    step: int
    points: Mapping[torch.device, Tensor]
    gradients: Mapping[int, tuple[int, int]] = field(repr=False)
    scale: Tensor | float | None


@final
class Recording:
    """Adds up what the activations of measured passes are.

    Attributes:
        rows: the sites in the order in which they were seen.
        moments: the measured steps; thinned evenly where there would be too many.
        unseen: what the pass that was followed could not look into.
        passes, number: how many passes this step has had, and all steps.
        hooked, arrived: how many gradients were waited for and how many came, in this step.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows: dict[Key, Row] = {}
        self.moments: list[Moment] = []
        self.unseen: tuple[Unseen, ...] = ()
        self.hooked, self.arrived = 0, 0
        self.examples = 1
        self.passes = 0
        self.number = 0
        self._tables: dict[torch.device, Table] = {}
        self._handles: list[Any] = []
        self._every = 1
        self._closed = 0

    def add(self, site: Site, z: Tensor) -> None:
        """The input of one application."""
        row = self._row(site, z)
        if row is None:
            return
        if row.told != self.number:
            row.told = self.number
            row.now += self.examples
        with torch.no_grad():
            add_pass(row.act, z.detach(), row.table, row.units, row.at, axis=_axis(site, z),
                     floor=self.settings.dead_floor * row.act.bound)  # fmt: skip

    def hook(self, site: Site, y: Tensor) -> None:
        """Its output: be told of the gradient by it."""
        row = self.rows.get(_key(site))
        if row is None or not y.requires_grad:
            return
        self.hooked += 1
        self._handles.append(y.register_hook(partial(self._gradient, row)))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    def _gradient(self, row: Row, gradient: Tensor) -> None:
        self.arrived += 1
        row.gradient_numbers += gradient.numel()
        wide = torch.promote_types(gradient.dtype, torch.float32)
        row.table.gradients[row.at] += torch.linalg.vector_norm(gradient, dtype=wide).double().square()

    def _row(self, site: Site, z: Tensor) -> Row | None:
        key = _key(site)
        row = self.rows.get(key)
        units = 1 if z.dim() == 0 else z.shape[_axis(site, z)]
        if row is None:
            if not isinstance(site.measured, Activation) or len(site.measured.inputs) != 1 or z.numel() == 0:
                return None
            table = self._tables.setdefault(z.device, Table(z.device))
            act = measured(site.measured)
            columns = table.grown(act, units)
            row = self.rows[key] = Row(site, act, table=table, units=columns, at=table.sites - 1)
            first = by_unit(z.detach(), axis=_axis(site, z))[0].double()
            table.shift[columns] = torch.where(torch.isfinite(first), first, 0.0)
        fits = z.device == row.table.device and row.units.stop - row.units.start == units and z.numel() > 0
        return row if fits else None

    def close(self, step: int, *, scale: Tensor | float | None) -> None:
        """The measured step is over."""
        self.unhook()
        points = {
            device: table.closed(step, saturated_floor=self.settings.saturated_floor, several=self.examples > 1)
            for device, table in self._tables.items()
        }
        gradients = {}
        for number, row in enumerate(self.rows.values()):
            gradients[number] = (row.gradient_numbers, row.now)
            row.total += row.now
            row.newer += row.now
            row.now, row.gradient_numbers = 0, 0
        if any(row.newer >= RECENT for row in self.rows.values()):
            self._turn()
        if self._closed % self._every == 0:
            self.moments.append(Moment(step, points, gradients, scale))
        self._closed += 1
        if len(self.moments) > MOST_POINTS:
            self.moments = self.moments[::2]
            self._every *= 2
        self.hooked = self.arrived = 0

    def _turn(self) -> None:
        for table in self._tables.values():
            table.turned()
        for row in self.rows.values():
            row.older, row.newer = row.newer, 0

    def unhook(self) -> None:
        """Take every hook off the tensors."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def quantities(self) -> tuple[SiteQuantities, ...]:
        """What was measured at every site; here numbers are read back."""
        points: dict[int, list[Point]] = {number: [] for number in range(len(self.rows))}
        for moment in self.moments:
            for number, point in self.points(moment).items():
                points[number].append(point)
        return tuple(_site(row, points[number]) for number, row in enumerate(self.rows.values()) if row.total)

    def points(self, moment: Moment) -> dict[int, Point]:
        """The points of one step by the number of the site; none for a site that it did not come by."""
        read = {device: points.cpu() for device, points in moment.points.items()}
        scale = 1.0 if moment.scale is None else float(moment.scale)
        found = {}
        for number, row in enumerate(self.rows.values()):
            table = read.get(row.table.device)
            if table is None or row.at >= table.shape[0] or not table[row.at, -1] > 0:
                continue
            dead, saturated, zeros, mean, variance, squares, _ = table[row.at].tolist()
            count, examples = moment.gradients[number]
            rms = sqrt(squares / count) * examples / scale if count and squares == squares else nan
            if rms == inf and moment.scale is not None:
                rms = nan  # the scaler itself was trying out how far it may go
            found[number] = Point(moment.step, dead, saturated, zeros, mean, variance, rms)
        return found

    def first_non_finite(self) -> FirstNonFinite | None:
        """The first step with a number that is not finite, and the first site of that step."""
        found = [(int(row.table.bad_step[row.at]), number, row.site) for number, row in enumerate(self.rows.values())]
        bad = sorted((step, number) for step, number, _ in found if step >= 0)
        return FirstNonFinite(found[bad[0][1]][2], bad[0][0]) if bad else None

    def learned(self, trace: Trace) -> None:
        """A pass was followed from end to end."""
        self.unseen = trace.unseen


def _site(row: Row, points: list[Point]) -> SiteQuantities:
    table, units = row.table, row.units
    recent = added(table.older[:, units], table.newer[:, units])
    histogram = table.histogram_older[row.at] + table.histogram_newer[row.at]
    shift, inside = table.shift[units], table.inside_older + table.inside_newer
    return SiteQuantities(
        site=row.site,
        slope_bound=row.act.bound,
        total=statistics(
            table.total[:, units],
            shift,
            table.histogram_total[row.at],
            table.inside_total[:, units],
            examples=row.total,
        ),
        recent=statistics(recent, shift, histogram, inside[:, units], examples=row.older + row.newer),
        points=tuple(points),
    )


def _key(site: Site) -> Key:
    return (site.path, site.file, site.line, site.index, site.spelling)


def _axis(site: Site, z: Tensor) -> int:
    return site.channel_axis if -z.dim() <= site.channel_axis < z.dim() else -1
