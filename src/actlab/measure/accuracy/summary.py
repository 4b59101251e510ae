"""A certificate for reading: a small table, then what is not kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from actlab.measure.accuracy.record import Certificate, Measured, Place, Worst
from actlab.measure.columns import aligned

_MOST_FAULTS = 12
_HEADING = ("", "max ULP", "at", "bound", "in [-20, 20]", "near a root")


@final
@dataclass(frozen=True)
class Certified:
    """A certificate, and whether it is kept."""

    certificate: Certificate

    @property
    def is_well(self) -> bool:
        """Whether every bound is kept."""
        return not self.certificate.faults

    def to_json(self) -> dict[str, Any]:
        """The figures by name; infinite numbers are strings."""
        return self.certificate.to_json()

    def lines(self) -> list[str]:
        """A row a direction, then where gradients end, then every fault."""
        told = self.certificate
        rows = [_HEADING, *_rows(told.measured, "")]
        for other in told.others:
            rows += _rows(other, f"{other.name}: ")
        points = told.measured.forward.points
        head = f"{told.formula} in {told.dtype}, {told.mode} mode, kernels {told.kernels}: {points} points"
        return [head, "", *aligned(rows, right=range(1, 5)), "", *_sentences(told)]


@final
@dataclass(frozen=True)
class CertifiedAll:
    """The certificates of the catalog.

    Attributes:
        path: the file that holds them now.
        count: how many there are.
        seconds: how long measuring them took.
        faults: what is not kept: activation, dtype, mode, and a sentence.
    """

    path: str
    count: int
    seconds: float
    faults: tuple[tuple[str, str, str, str], ...]

    @property
    def is_well(self) -> bool:
        """Whether every bound is kept."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """The file, the count, the time and the faults."""
        names = ("formula", "dtype", "mode", "fault")
        faults = [dict(zip(names, fault, strict=True)) for fault in self.faults]
        return {"path": self.path, "certificates": self.count, "seconds": self.seconds, "faults": faults}

    def lines(self) -> list[str]:
        """Every fault, then the sum."""
        faults = [f"{formula} in {dtype}, {mode} mode: {fault}" for formula, dtype, mode, fault in self.faults]
        return [
            *faults,
            f"{self.count} certificates in {self.seconds:.0f} s, {len(faults)} faults; written to {self.path}",
        ]


def _rows(measured: Measured, before: str) -> list[tuple[str, ...]]:
    every = [("forward", measured.forward), *((f"backward ({name})", worst) for name, worst in measured.gradients)]
    return [_row(before + label, worst) for label, worst in every]


def _row(label: str, worst: Worst) -> tuple[str, ...]:
    near = "" if worst.near_root_at is None else f"{_short(worst.near_root)} of the larger operand"
    bound = "none" if worst.bound is None else f"{worst.bound:g}"
    return label, _short(worst.max_ulp), place_text(worst.at), bound, _short(worst.within_20), near


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.1e}" if value < float("inf") else "infinite"


def place_text(place: Place | None) -> str:
    """A point to eight digits."""
    if place is None:
        return "nowhere"
    each = place if isinstance(place, tuple) else (place,)
    return ", ".join(f"{one:.8g}" for one in each)


def _sentences(told: Certificate) -> Iterator[str]:
    zero = told.zero_gradient
    for side, place in (("left", zero.left), ("right", zero.right)):
        if place is not None:
            early = ", where the true one is not yet" if (side, place) in zero.too_early else ""
            yield f"On the {side} the gradient is exactly 0 from |x| = {place:.8g} on{early}."
    if told.rounding is not None and not told.rounding.forward + told.rounding.backward:
        yield "Every 16-bit result is the float32 one rounded once."
    if not told.layouts and not told.threads:
        yield "The same bits in every memory layout and with any number of threads."
    if not told.faults:
        yield (
            "All bounds are kept."
            if told.measured.forward.bound is not None
            else "No fault was found; no bound is promised."
        )
    for fault in told.faults[:_MOST_FAULTS]:
        yield f"Not kept: {fault}."
    if len(told.faults) > _MOST_FAULTS:
        yield f"… and {len(told.faults) - _MOST_FAULTS} more; --json has them all."
