"""Record the activations of measured passes and add them up."""

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
from actlab.sites.trace.readable import is_in_transform, numbers_of, unreadable_kind
from actlab.sites.trace.trace import Trace
from actlab.telemetry.accumulator import Adder
from actlab.telemetry.close_look import Key, key_of
from actlab.telemetry.distinct_examples import Shown
from actlab.telemetry.merge import statistics
from actlab.telemetry.observed_activation import measured
from actlab.telemetry.quantities import FirstNonFinite, Point, SiteQuantities
from actlab.telemetry.settings import Settings
from actlab.telemetry.table import MOST_STEPS, Table, added
from actlab.telemetry.torch_statistics import by_unit

# The recent statistics cover at least this many examples and at most twice as many: 3/512 bounds a dead unit's rate.
RECENT = 512
MOST_POINTS = 512
# The largest number of gradient norms that wait to be added up.
_MOST_NORMS = 4096


@final
class Row:
    """A site's place in the tables, and its counts.

    Attributes:
        site: the site.
        adder: adds its passes to its place in the device's table.
        now, total, newer, older: examples in this step, in all, and in the two halves of the recent steps.
        gradient_numbers: the number of gradient elements in this step.
        last_pass: the number of the last pass that was added; -1 before.
    """

    def __init__(self, site: Site, adder: Adder) -> None:
        self.site, self.adder = site, adder
        self.act, self.table, self.units, self.at = adder.act, adder.table, adder.units, adder.at
        self.now = self.total = self.newer = self.older = 0
        self.gradient_numbers = 0
        self.last_pass = -1


@final
@dataclass(frozen=True, eq=False)
class Moment:
    """One measured step: the points of every site of every table, still on the device."""

    step: int
    points: Mapping[torch.device, Tensor]
    gradients: Mapping[int, tuple[int, int]] = field(repr=False)
    scale: Tensor | float | None


@final
@dataclass(frozen=True, eq=False)
class _Over:
    """A measured step that has ended and is not added up yet: a `Moment` without its points."""

    step: int
    several: bool
    gradients: Mapping[int, tuple[int, int]]
    scale: Tensor | float | None


@final
class Recording:
    """Adds up the inputs, outputs and gradients of the activations of measured passes.

    Attributes:
        rows: the sites in the order of their first pass.
        moments: the measured steps that were added up, at most 512, thinned evenly.
        unseen: the parts of the model that the traced pass could not inspect.
        opaque: the sites whose values cannot be read.
        passes, number: the number of passes in this step, and in all steps.
        shown: the fingerprints of the examples.
        hooked, arrived: the number of gradients expected and received in this step.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows: dict[Key, Row] = {}
        self.moments: list[Moment] = []
        self.unseen: tuple[Unseen, ...] = ()
        self.opaque: dict[Key, Unseen] = {}
        self.hooked, self.arrived = 0, 0
        self.examples = 1
        self.shown = Shown()
        self.passes = 0
        self.number = 0
        self._tables: dict[torch.device, Table] = {}
        self._handles: list[Any] = []
        self._over: list[_Over] = []
        # for each gradient: the number of ended steps before it, the row of the site, and the norm
        self._norms: dict[torch.device, list[tuple[int, int, Tensor]]] = {}
        self._latest: Moment | None = None
        self._every = 1
        self._closed = 0

    def add(self, site: Site, z: Tensor) -> None:
        """Add the input of one application."""
        found = numbers_of(z)
        if found is None:
            self._cannot_read(site, z)
            return
        z = found
        row = self._row(site, z)
        if row is None:
            return
        if row.last_pass != self.number:
            row.last_pass = self.number
            row.now += self.examples
        row.adder.add(z, axis=_axis(site, z))

    def _cannot_read(self, site: Site, z: Tensor) -> None:
        """Name a site whose input holds no numbers that can be read; on the meta device there are none."""
        kind = unreadable_kind([z])
        if not z.is_meta:
            why = f"its values {kind} cannot be read" if kind.startswith("inside") else f"its input is {kind}"
            self.opaque[key_of(site)] = Unseen(site.path, site.spelling, why)

    def hook(self, site: Site, y: Tensor) -> None:
        """Register a gradient hook on the output."""
        row = self.rows.get(key_of(site))
        if row is None or is_in_transform(y) or not y.requires_grad:
            return
        self.hooked += 1
        self._handles.append(y.register_hook(partial(self._gradient, row)))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    def until_the_end_of_the_step(self, handle: Any) -> None:
        """Remove the hook when the step ends."""
        self._handles.append(handle)

    def _gradient(self, row: Row, given: Tensor) -> None:
        self.arrived += 1
        gradient = numbers_of(given)
        if gradient is None:
            return
        row.gradient_numbers += gradient.numel()
        norm = torch.linalg.vector_norm(gradient, dtype=torch.promote_types(gradient.dtype, torch.float32))
        self._norms.setdefault(row.table.device, []).append((len(self._over), row.at, norm))

    def _gradients(self, table: Table) -> Tensor:
        """Return the sums of squares of the gradients in the steps that have ended: steps by sites."""
        steps, came = len(self._over), self._norms.pop(table.device, [])
        self._norms[table.device] = [(step - steps, at, norm) for step, at, norm in came if step >= steps]
        found = torch.zeros(steps * table.sites, dtype=torch.float64, device=table.device)
        places = [step * table.sites + at for step, at, _ in came if step < steps]
        if places:
            norms = torch.stack([norm.double() for step, _, norm in came if step < steps])
            found.index_add_(0, torch.tensor(places, device=table.device), norms.square())
        return found.view(steps, table.sites)

    def _row(self, site: Site, z: Tensor) -> Row | None:
        key = key_of(site)
        row = self.rows.get(key)
        units = 1 if z.dim() == 0 else z.shape[_axis(site, z)]
        if row is None:
            if not isinstance(site.measured, Activation) or len(site.measured.inputs) != 1 or z.numel() == 0:
                return None
            self.add_up()  # a table grows only when no ended step waits
            table = self._tables.setdefault(z.device, Table(z.device))
            act = measured(site.measured)
            columns = table.grown(act, units)
            floor = self.settings.dead_floor * act.bound if act.levels_off else 0.0
            adder = Adder(act, table, columns, table.sites - 1, floor=floor)
            row = self.rows[key] = Row(site, adder)
            first = by_unit(z.detach(), axis=_axis(site, z))[0].double()
            table.shift[columns] = torch.where(torch.isfinite(first), first, 0.0)
        fits = z.device == row.table.device and row.units.stop - row.units.start == units and z.numel() > 0
        return row if fits else None

    def close(self, step: int, *, scale: Tensor | float | None) -> None:
        """End the measured step."""
        self.unhook()
        gradients = {}
        for number, row in enumerate(self.rows.values()):
            gradients[number] = (row.gradient_numbers, row.now)
            row.total += row.now
            row.newer += row.now
            row.now, row.gradient_numbers = 0, 0
        self._over.append(_Over(step, self.examples > 1, gradients, scale))
        for table in self._tables.values():
            table.close()
        turns = any(row.newer >= RECENT for row in self.rows.values())
        if turns or self._waits_for_room():
            self.add_up()
        if turns:
            self._turn()
        self.hooked = self.arrived = 0

    def _waits_for_room(self) -> bool:
        came = sum(map(len, self._norms.values()))
        return (
            len(self._over) >= MOST_STEPS or came > _MOST_NORMS or any(each.is_full for each in self._tables.values())
        )

    def add_up(self) -> None:
        """Add up the steps that have ended: many at a time, and before anything is read."""
        if not self._over:
            return
        steps, several = [each.step for each in self._over], [each.several for each in self._over]
        floor = self.settings.saturated_floor
        found = {
            device: table.added_up(steps, several=several, gradients=self._gradients(table), saturated_floor=floor)
            for device, table in self._tables.items()
        }
        for at, over in enumerate(self._over):
            points = {device: each[at] for device, each in found.items()}
            self._keep(Moment(over.step, points, over.gradients, over.scale))
        self._over.clear()

    def _keep(self, moment: Moment) -> None:
        self._latest = moment
        if self._closed % self._every == 0:
            self.moments.append(moment)
        self._closed += 1
        if len(self.moments) > MOST_POINTS:
            self.moments = self.moments[::2]
            self._every *= 2

    def _turn(self) -> None:
        self.shown.turned()
        for table in self._tables.values():
            table.turned()
        for row in self.rows.values():
            row.older, row.newer = row.newer, 0

    def unhook(self) -> None:
        """Remove every hook from the tensors."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def quantities(self) -> tuple[SiteQuantities, ...]:
        """Return the measurements of every site, copied from the device."""
        self.add_up()
        points: dict[int, list[Point]] = {number: [] for number in range(len(self.rows))}
        for moment in self.moments:
            for number, point in self.points(moment).items():
                points[number].append(point)
        return tuple(_site(row, points[number]) for number, row in enumerate(self.rows.values()) if row.total)

    def points(self, moment: Moment) -> dict[int, Point]:
        """Return the points of one step by the number of the site; a site that was not reached has none."""
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
                rms = nan  # the loss scaler was probing for the largest scale
            found[number] = Point(moment.step, dead, saturated, zeros, mean, variance, rms)
        return found

    def latest(self) -> dict[Key, Point]:
        """Return the points of the last measured step by site; this copies them from the device."""
        self.add_up()
        if self._latest is None:
            return {}
        keys = tuple(self.rows)
        return {keys[number]: point for number, point in self.points(self._latest).items()}

    def first_non_finite(self) -> FirstNonFinite | None:
        """Return the first step with a value that is not finite, and the first site of that step."""
        self.add_up()
        found = [(int(row.table.bad_step[row.at]), number, row.site) for number, row in enumerate(self.rows.values())]
        bad = sorted((step, number) for step, number, _ in found if step >= 0)
        return FirstNonFinite(found[bad[0][1]][2], bad[0][0]) if bad else None

    def learned(self, trace: Trace) -> None:
        """Take over what a traced pass could not inspect."""
        self.unseen = tuple(dict.fromkeys((*self.unseen, *trace.unseen)))


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


def _axis(site: Site, z: Tensor) -> int:
    return site.channel_axis if -z.dim() <= site.channel_axis < z.dim() else -1
