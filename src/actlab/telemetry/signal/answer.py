"""The signal at each site of a model, measured and predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

from actlab.jsonable import plain
from actlab.sites.site import Site, Unseen, with_known_line
from actlab.telemetry.signal.state import Parting, Reason

PARTS = 4.0
"""Measurement and theory part beyond so many standard errors: with a hundred comparisons, chance gives 0.6 %."""
LEAST = 0.01
"""A relative difference below this is never a parting."""
WORTH_A_WORD = 0.05
"""A relative difference that is explained, even if finite width suffices."""


@final
@dataclass(frozen=True)
class Compared:
    """A measured number beside the predicted one.

    Attributes:
        measured: the measured number; NaN if there is none.
        predicted: the predicted one; NaN if the theory predicts none.
        error: the standard error of measured minus predicted that finite width alone causes.
    """

    measured: float
    predicted: float = math.nan
    error: float = math.nan

    @property
    def errors_apart(self) -> float:
        """By how many standard errors measurement and theory differ; NaN if that is unknown."""
        difference = self.measured - self.predicted
        if self.error == 0:
            return 0.0 if difference == 0 else math.copysign(math.inf, difference)
        return difference / self.error

    @property
    def relative(self) -> float:
        """The difference as a share of the predicted number."""
        return (self.measured - self.predicted) / self.predicted if self.predicted else math.nan

    @property
    def parts(self) -> bool:
        """Whether the two part beyond chance."""
        return abs(self.errors_apart) > PARTS and not abs(self.relative) < LEAST

    def to_json(self) -> dict[str, Any]:
        """Return the numbers, and by how many standard errors they differ."""
        values = {"measured": self.measured, "predicted": self.predicted, "standard_error": self.error,
                  "errors_apart": self.errors_apart}  # fmt: skip
        return {name: None if math.isnan(value) else plain(value) for name, value in values.items()}


@final
@dataclass(frozen=True)
class SiteSignal:
    """The signal at one site.

    Attributes:
        site: the place.
        units: the number of its units.
        pre_square: the mean square of the pre-activation.
        square: the mean square of the output.
        mean: the mean of the output.
        chi: χ₁, the factor of squared derivatives through the layer and the activation.
        correlation: the correlation of two inputs, of the pre-activation.
        sigma_w, sigma_b: of the layer before, NaN if there is none: root of the inputs of a unit times the variance of
            its weights, and root mean square of its biases.
        reason: why measurement and theory part, or why nothing is predicted; None if they agree.
        sentence: the measurement that decided it.
        since: where the prediction starts, if not at the model's inputs.
    """

    site: Site
    units: int
    pre_square: Compared
    square: Compared
    mean: Compared
    chi: Compared
    correlation: Compared
    sigma_w: float = math.nan
    sigma_b: float = math.nan
    reason: Reason | None = None
    sentence: str = ""
    since: str = ""

    @property
    def is_predicted(self) -> bool:
        """Whether the theory predicts the mean square of the output."""
        return not math.isnan(self.square.predicted)

    @property
    def is_measured(self) -> bool:
        """Whether the mean square of the output could be measured."""
        return math.isfinite(self.square.measured)

    def to_json(self) -> dict[str, Any]:
        """Return the place and all numbers as plain values; None for a number that does not exist."""
        site = self.site
        place = {"path": site.path, "activation": site.activation, "file": site.file, "line": site.line}
        return {
            **with_known_line(place),
            "index": site.index,
            "units": self.units,
            "sigma_w": plain(self.sigma_w),
            "sigma_b": plain(self.sigma_b),
            "pre_square": self.pre_square.to_json(),
            "square": self.square.to_json(),
            "mean": self.mean.to_json(),
            "chi": self.chi.to_json(),
            "correlation": self.correlation.to_json(),
            "parts": self.pre_square.parts or self.square.parts,
            "reason": self.reason,
            "sentence": self.sentence,
            "since": self.since,
        }


@final
@dataclass(frozen=True)
class Signal:
    """The signal on its way through a model.

    Attributes:
        sites: in the order of the forward pass.
        examples: how many examples were followed.
        partings: the layers and sites where measurement and theory part, in order.
        unseen: parts of the model that could not be inspected.
    """

    sites: tuple[SiteSignal, ...]
    examples: int
    partings: tuple[Parting, ...]
    unseen: tuple[Unseen, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "examples": self.examples,
            "sites": [each.to_json() for each in self.sites],
            "partings": plain(self.partings),
            "unseen": plain(self.unseen),
        }

    def lines(self) -> list[str]:
        """Return one line for each site, measured beside predicted, and the reasons below."""
        return signal_lines(self)


def signal_lines(signal: Signal) -> list[str]:
    """Return the table of a signal, and why measurement and theory part."""
    if not signal.sites:
        return ["No element-wise activation was found."]
    heading = ("site", "activation", "q", "predicted", "E f²", "predicted", "SE apart", "χ₁", "predicted", "c",
               "predicted", "note")  # fmt: skip
    notes: dict[str, int] = {}
    rows = [heading]
    for each in signal.sites:
        text = note_text(each)
        note = f"[{notes.setdefault(text, len(notes) + 1)}]" if text else ""
        apart = each.square.errors_apart if each.is_predicted else each.pre_square.errors_apart
        rows.append(
            (
                each.site.name,
                each.site.activation,
                *_pair(each.pre_square),
                *_pair(each.square),
                "" if math.isnan(apart) else f"{apart:+.1f}",
                *_pair(each.chi),
                *_pair(each.correlation),
                note,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)  # two columns of words
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    legend = (
        f"q, E f²: mean square before and behind the activation, {signal.examples} examples; SE apart: standard errors"
        " between measured and predicted E f²; c: correlation of two inputs."
    )
    return [*table, "", *(f"[{number}] {text}" for text, number in notes.items()), *[""] * bool(notes), legend]


def note_text(each: SiteSignal) -> str:
    """Return why theory and measurement part at a site, or where its prediction starts; empty if they agree."""
    if each.reason is not None:
        return f"{each.reason}: {each.sentence}"
    return f"predicted from what was measured behind this: {each.since}" if each.since else ""


def _pair(compared: Compared) -> tuple[str, str]:
    return _text(compared.measured), _text(compared.predicted)


def _text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"
