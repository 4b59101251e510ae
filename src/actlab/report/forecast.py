"""The forecast of a comparison, for reading in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from shutil import get_terminal_size
from textwrap import wrap

from actlab.report.wording import number_text, places_of, seconds_text
from actlab.sites.site_text import name_text
from actlab.study.forecast import Forecast
from actlab.train.kinds import after_number

LABEL = 19


def forecast_lines(forecast: Forecast, width: int | None = None) -> list[str]:
    """Return what a comparison will take and what it can decide as plain lines, by default as wide as the terminal."""
    wide = width or get_terminal_size().columns
    pilot = forecast.pilot
    head = (
        f"{name_text(forecast.plan.task)}: nothing of the study has been run. A pilot of {pilot.trials} training runs"
        f" ({', '.join(map(name_text, pilot.arms))}; {pilot.seeds} seeds at the middle learning rate) took"
        f" {seconds_text(pilot.seconds)}."
    )
    lines = [*wrap(head, wide), ""]
    for label, text in forecast_rows(forecast):
        first, *others = wrap(text, max(wide - LABEL, 30), break_on_hyphens=False)
        lines += [f"{label:<{LABEL}}{first}", *(" " * LABEL + line for line in others)]
    return [*lines, "", *wrap(forecast.verdict, wide)]


def forecast_rows(forecast: Forecast) -> list[tuple[str, str]]:
    """Return what a comparison will take and what it can decide: labels and texts."""
    plan, metric, pilot = forecast.plan, forecast.metric, forecast.pilot
    places = places_of(metric, region=forecast.region)

    def size(value: float) -> str:
        return f"{number_text(value, places)}{after_number(metric.unit)}"

    arms = ", ".join(map(name_text, plan.arms[1:]))
    span = (
        f", from {plan.points[0]:.2g} to {plan.points[-1]:.2g}" if len(plan.points) > 1 else f": {plan.points[0]:.2g}"
    )
    at_once = f"{forecast.parallel:.2g} at a time" if forecast.parallel > 1 else "one at a time"
    return [
        ("arms", f"{len(plan.arms)}: {name_text(plan.control)} (the control), {arms}"),
        *(("", name_text(each, 200)) for each in plan.factors()),
        *([] if plan.budget is None else [("budget", name_text(plan.budget.sentence(plan.arms), 2000))]),
        ("learning rates", f"{len(plan.points)}{span}"),
        ("replicates", f"{len(plan.seeds)} seeds"),
        ("training runs", f"{plan.trials:,}"),
        *(("measured", sentence) for sentence in plan.measuring.sentences()),
        (
            "expected time",
            f"about {seconds_text(forecast.expected_seconds)}, {at_once}; more if the range of learning rates has to be"
            " extended",
        ),
        (
            "smallest p",
            f"{forecast.smallest_p:.2g}; up to {forecast.level:.2g} proves a difference, whatever the other arms show"
            if plan.can_decide()
            else f"{forecast.smallest_p:.2g}; the level is {forecast.level:.2g}",
        ),
        (
            "noise",
            f"paired differences vary by {size(pilot.deviation)} (standard deviation on validation data; 95 % interval"
            f" {number_text(pilot.low, places)} to {number_text(pilot.high, places)})",
        ),
        ("detectable", _detectable(forecast, size=size)),
        ("seeds needed", _needed(forecast, size=size)),
    ]


def _detectable(forecast: Forecast, *, size: Callable[[float], str]) -> str:
    if forecast.detectable is None:
        return "no difference, however large"
    return (
        f"a true difference of {size(forecast.detectable)} is proved with 80 % power, and one of"
        f" {size(forecast.detectable + forecast.region)} is shown to matter (simulated signed-rank tests of normally"
        " distributed differences)"
    )


def _needed(forecast: Forecast, *, size: Callable[[float], str]) -> str:
    def count(seeds: int | None) -> str:
        return "more than 200" if seeds is None else f"about {seeds}"

    return (
        f"{count(forecast.seeds_to_detect)} to prove a difference that just matters ({size(forecast.region)});"
        f" {count(forecast.seeds_for_equivalence)} to show that equal arms are equivalent; at least"
        f" {forecast.least_seeds} for any claim"
    )
