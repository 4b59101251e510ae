"""The chart of the signal over depth: its numbers, its words, and its place in a report."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from actlab.diagnosis.report import Report
from actlab.report.charts import signal as chart
from actlab.report.diagnosis_page import diagnosis_page
from actlab.telemetry.signal.answer import Signal
from actlab.telemetry.signal.measure import signal


@pytest.fixture(scope="module")
def followed() -> Signal:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.ELU(), nn.Sigmoid(), nn.Linear(64, 2))
    return signal(net, torch.randn(16, 8))


def test_a_band_of_two_standard_errors_surrounds_the_prediction(followed: Signal) -> None:
    squares, correlations = chart.facts(followed).lines
    for at, site in enumerate(followed.sites):
        assert squares.measured[at] == site.square.measured
        assert correlations.measured[at] == site.correlation.measured
    first = followed.sites[0].square
    assert squares.low[0] == pytest.approx(first.predicted - 2 * first.error)
    assert squares.high[0] == pytest.approx(first.predicted + 2 * first.error)
    assert squares.predicted[2] is None  # a sigmoid of an ELU's output is not predicted


def test_notes_name_the_sites_that_they_are_about(followed: Signal) -> None:
    notes = chart.facts(followed).notes
    assert any(note.startswith("Site 3: not predicted: its input") for note in notes)


def test_the_report_shows_the_chart_and_describes_it(followed: Signal) -> None:
    page = diagnosis_page(Report(()), title="net", root=Path.cwd(), signal=followed)
    assert "Signal over depth" in page
    assert "Mean square at every site from input to output; measured: " in page
    assert "Signal over depth" not in diagnosis_page(Report(()), title="net", root=Path.cwd())


def test_nothing_measured_draws_nothing() -> None:
    shown = chart.facts(Signal((), 4, ()))
    assert chart.CHART.draw(shown) == ()
    assert chart.alt_text(chart.Line("Mean square", "E f²", (1.0, None), (math.pi, None), (), ())).endswith(
        "measured: 1, none; predicted: 3.14, none."
    )
