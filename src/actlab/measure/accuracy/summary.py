"""A certificate as text: a small table, then the bounds that it misses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from actlab.display.answer import Displayed
from actlab.display.picture import Picture, Series
from actlab.display.table import Table
from actlab.measure.accuracy.record import Certificate, Measured, Place, Worst
from actlab.measure.columns import aligned

_MOST_FAULTS = 12
_HEADING = ("", "max ULP", "at", "bound", "in [-20, 20]", "near a root")


@final
@dataclass(frozen=True)
class Certified(Displayed):
    """A certificate and whether it meets its bounds."""

    certificate: Certificate

    @property
    def is_well(self) -> bool:
        """Whether every bound is met."""
        return not self.certificate.faults

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name; infinite numbers are strings."""
        return self.certificate.to_json()

    def table(self) -> Table:
        """Return a row for each direction of each implementation."""
        found = self.certificate
        rows = (
            (label, worst.max_ulp, place_text(worst.at), worst.bound, worst.within_20) for label, worst in self._all()
        )
        title = f"{found.formula} in {found.dtype}, {found.mode} mode"
        return Table(title, ("direction", *_HEADING[1:5]), tuple(rows), tuple(_sentences(found)))

    def picture(self) -> Picture:
        """Return the largest errors; an infinite one is left out."""
        errors = [worst.max_ulp if math.isfinite(worst.max_ulp) else math.nan for _, worst in self._all()]
        title = f"{self.certificate.formula} in {self.certificate.dtype}, {self.certificate.mode} mode"
        names = tuple(label for label, _ in self._all())
        return Picture(title, (Series("", errors, kind="bar"),), y_label="maximum error in ULP", names=names)

    def _all(self) -> list[tuple[str, Worst]]:
        found = self.certificate
        others = [(f"{other.name}: {label}", worst) for other in found.others for label, worst in _directions(other)]
        return [*_directions(found.measured), *others]

    def lines(self) -> list[str]:
        """Write a row for each direction, then where gradients end, then every fault."""
        found = self.certificate
        rows = [_HEADING, *_rows(found.measured, "")]
        for other in found.others:
            rows += _rows(other, f"{other.name}: ")
        points = found.measured.forward.points
        head = f"{found.formula} in {found.dtype}, {found.mode} mode, kernels {found.kernels}: {points} points"
        return [head, "", *aligned(rows, right=range(1, 5)), "", *_sentences(found)]


@final
@dataclass(frozen=True)
class CertifiedAll:
    """The certificates of the catalog.

    Attributes:
        path: the file that holds them now.
        count: the number of certificates.
        seconds: the time for measuring them.
        faults: the bounds that are missed: activation, dtype, mode, and a sentence.
    """

    path: str
    count: int
    seconds: float
    faults: tuple[tuple[str, str, str, str], ...]

    @property
    def is_well(self) -> bool:
        """Whether every bound is met."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Return the file, the count, the time and the faults."""
        names = ("formula", "dtype", "mode", "fault")
        faults = [dict(zip(names, fault, strict=True)) for fault in self.faults]
        return {"path": self.path, "certificates": self.count, "seconds": self.seconds, "faults": faults}

    def lines(self) -> list[str]:
        """Write every fault, then the totals."""
        faults = [f"{formula} in {dtype}, {mode} mode: {fault}" for formula, dtype, mode, fault in self.faults]
        return [
            *faults,
            f"{self.count} certificates in {self.seconds:.0f} s, {len(faults)} faults; written to {self.path}",
        ]


def _rows(measured: Measured, before: str) -> list[tuple[str, ...]]:
    return [_row(before + label, worst) for label, worst in _directions(measured)]


def _directions(measured: Measured) -> list[tuple[str, Worst]]:
    return [("forward", measured.forward), *((f"backward ({name})", worst) for name, worst in measured.gradients)]


def _row(label: str, worst: Worst) -> tuple[str, ...]:
    near = "" if worst.near_root_at is None else f"{_short(worst.near_root)} of the larger operand"
    bound = "none" if worst.bound is None else f"{worst.bound:g}"
    return label, _short(worst.max_ulp), place_text(worst.at), bound, _short(worst.within_20), near


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.1e}" if value < float("inf") else "infinite"


def place_text(place: Place | None) -> str:
    """Write a point with eight digits."""
    if place is None:
        return "nowhere"
    each = place if isinstance(place, tuple) else (place,)
    return ", ".join(f"{one:.8g}" for one in each)


def _sentences(certificate: Certificate) -> Iterator[str]:
    zero = certificate.zero_gradient
    for side, place in (("left", zero.left), ("right", zero.right)):
        if place is not None:
            early = ", where the true one is not 0" if (side, place) in zero.too_early else ""
            yield f"On the {side} the gradient is exactly 0 from |x| = {place:.8g} on{early}."
    if certificate.rounding is not None and not certificate.rounding.forward + certificate.rounding.backward:
        yield "Every 16-bit result is the float32 one rounded once."
    if not certificate.layouts and not certificate.threads:
        yield "The same bits in every memory layout and with any number of threads."
    if not certificate.faults:
        yield (
            "All bounds are met."
            if certificate.measured.forward.bound is not None
            else "No fault was found; no bound is guaranteed."
        )
    for fault in certificate.faults[:_MOST_FAULTS]:
        yield f"Fault: {fault}."
    if len(certificate.faults) > _MOST_FAULTS:
        yield f"… and {len(certificate.faults) - _MOST_FAULTS} more; --json has them all."
