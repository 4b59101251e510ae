"""The forecast of a comparison on several tasks, for reading in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from shutil import get_terminal_size
from textwrap import wrap

from actlab.report.suite_terminal import drawn, text_table
from actlab.report.wording import NOTHING, number_text, places_of, seconds_text
from actlab.sites.site_text import name_text
from actlab.study.forecast import Forecast
from actlab.study.suite import Suite

NAME = 24


def suite_forecast_lines(suite: Suite, forecasts: Sequence[Forecast], width: int | None = None) -> list[str]:
    """Return what each task will take and can decide, and what all will, by default as wide as the terminal."""
    wide = width or get_terminal_size().columns
    pilots = sum(each.pilot.trials for each in forecasts)
    took = seconds_text(sum(each.pilot.seconds for each in forecasts))
    whole = seconds_text(sum(each.expected_seconds for each in forecasts))
    rows = [_row(name, each) for name, each in zip(suite.names, forecasts, strict=True)]
    headings = ["task", "runs", "time", "region", "noise", "detectable", "seeds needed"]
    return [
        *wrap(
            f"Nothing of the {len(forecasts)} studies has been run. Pilots of {pilots} training runs took {took}.", wide
        ),
        "",
        *drawn(text_table(headings, rows, texts=(0,)), wide),
        *wrap(
            "Noise: standard deviation of the paired differences in the pilot. Detectable: the true difference that is"
            " proved on this task alone with 80 % power. Seeds needed: to prove a difference as large as the region"
            " there.",
            wide,
        ),
        "",
        *(line for sentence in suite.sentences() for line in wrap(sentence, wide)),
        *wrap(
            f"In all {suite.trials:,} training runs, about {whole}; more if a range of learning rates has to be"
            " extended.",
            wide,
        ),
        "",
    ]


def _row(name: str, found: Forecast) -> list[str]:
    places = places_of(found.metric, region=found.region)
    seeds = found.seeds_to_detect
    return [
        name_text(name, NAME),
        f"{found.plan.trials:,}",
        f"about {seconds_text(found.expected_seconds)}",
        number_text(found.region, places),
        number_text(found.pilot.deviation, places),
        NOTHING if found.detectable is None else number_text(found.detectable, places),
        "more than 200" if seeds is None else f"about {seeds}",
    ]
