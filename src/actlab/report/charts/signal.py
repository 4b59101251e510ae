"""The mean square of the signal and the correlation of two inputs over depth, measured and predicted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import final

from actlab.report.chart import Chart, Key, Picture
from actlab.report.depth_lines import PANEL, PANEL_TEXT, powers, whole_numbers
from actlab.report.style import COLORS, INK, axes, image, look
from actlab.telemetry.signal.answer import Compared, Signal, SiteSignal, note_text

_ERRORS = 2.0
"""The band shows so many standard errors on both sides."""


@final
@dataclass(frozen=True)
class Line:
    """One quantity over depth; None for a number that does not exist.

    Attributes:
        name, label: of the picture, and of its vertical axis.
        measured, predicted: by site.
        low, high: two standard errors below and above the prediction.
        is_logarithmic: whether the axis is.
    """

    name: str
    label: str
    measured: tuple[float | None, ...]
    predicted: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    is_logarithmic: bool = False


@final
@dataclass(frozen=True)
class SignalFacts:
    """What the pictures show, and why measurement and theory part."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def facts(signal: Signal) -> SignalFacts:
    """Return the numbers of the pictures."""
    shown = [each for each in signal.sites if each.is_measured]
    if not shown:
        return SignalFacts((), ())
    lines = (
        _line("Mean square", "E f²", shown, lambda each: each.square, is_logarithmic=True),
        _line("Correlation of two inputs", "before the activation", shown, lambda each: each.correlation),
    )
    sites: dict[str, list[str]] = {}
    for number, each in enumerate(shown, start=1):
        text = note_text(each)
        if text:
            sites.setdefault(text, []).append(str(number))
    notes = tuple(f"Site{'s' * (len(at) > 1)} {', '.join(at)}: {text}." for text, at in sites.items())
    return SignalFacts(lines, notes)


def _line(
    name: str,
    label: str,
    shown: Sequence[SiteSignal],
    of: Callable[[SiteSignal], Compared],
    *,
    is_logarithmic: bool = False,
) -> Line:
    numbers = [of(each) for each in shown]
    spread = [_ERRORS * each.error for each in numbers]
    return Line(
        name,
        label,
        _known(each.measured for each in numbers),
        _known(each.predicted for each in numbers),
        _known(each.predicted - error for each, error in zip(numbers, spread, strict=True)),
        _known(each.predicted + error for each, error in zip(numbers, spread, strict=True)),
        is_logarithmic,
    )


def _known(values: Iterable[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values)


def svg(line: Line) -> bytes:
    """Draw the measured numbers as points, and the predicted ones as a line with a band."""

    def numbers(values: Sequence[float | None]) -> list[float]:
        least = 0.0 if line.is_logarithmic else -math.inf
        return [math.nan if value is None or value <= least else value for value in values]

    with look(points=PANEL_TEXT, text_as="none"):
        figure, ax = axes(*PANEL)
        depth = range(1, len(line.measured) + 1)
        low, high = numbers(line.low), numbers(line.high)
        if line.is_logarithmic and any(value == value for value in numbers(line.measured)):
            ax.set_yscale("log")
        ax.plot(depth, numbers(line.predicted), color=COLORS["better"], linestyle="--")
        ax.fill_between(depth, low, high, color=COLORS["better"], alpha=0.2, linewidth=0)
        ax.plot(depth, numbers(line.measured), color=INK, marker="o", markersize=3.5, linestyle="none")
        if line.is_logarithmic and ax.get_yscale() == "log":
            powers(ax)
        ax.set_xlabel("site, from input to output")
        ax.set_ylabel(line.label)
        whole_numbers(ax, sites=len(line.measured))
        return image(figure, "svg")


def alt_text(line: Line) -> str:
    """Describe a picture in words."""

    def words(values: Sequence[float | None]) -> str:
        return ", ".join("none" if value is None else f"{value:.3g}" for value in values)

    numbers = f"measured: {words(line.measured)}; predicted: {words(line.predicted)}"
    return f"{line.name} at every site from input to output; {numbers}."


LEGEND = (Key("point", "measured"), Key("predicted", "predicted, with two standard errors of a finite width"))

CHART = Chart(
    name="signal",
    title="Signal over depth",
    caption="beside what the theory of wide networks predicts from the weights",
    order=10,
    page="signal",
    facts=facts,
    draw=lambda shown: tuple(Picture(svg(line), alt_text(line), name=line.name) for line in shown.lines),
    legend=lambda shown: LEGEND,
    notes=lambda shown: shown.notes,
)
