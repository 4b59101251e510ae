"""The options that measure more than the metric, as typed on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from interfaces.test_task_options import SMALL, call

ABOUT = ("digits-relu", *SMALL[:-1], "--epochs", "1", "-q")


def test_everything_is_measured_stored_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    measures = ("--measure", "all", "--noise-levels", "0.5,2", "--label-noise", "0.1", "--target-metric", "50")
    arguments = [each for each in ABOUT if each != "--no-diagnose"]
    assert call(monkeypatch, "compare", *arguments, "--no-report", *measures, "--watts", "65", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plan"]["measuring"]["noise_levels"] == [0.5, 2.0]
    assert [each["level"] for each in found["measured"]] == [0.0, 0.5, 2.0, None, None, None]
    assert found["target"] == 50.0
    assert {each["step"]["kind"] for each in found["cost"]["energy"]} <= {"measured", "estimated"}
    assert set(found["cost"]["fronts"]) == {"step time", "operations"}
    assert call(monkeypatch, "report", "--format", "csv", "--out", "tables") == 0
    with (tmp_path / "tables" / "measured.csv").open(encoding="utf-8") as file:
        assert {row["measure"] for row in csv.DictReader(file)} == {"noise", "calibration", "cost", "energy"}
    assert call(monkeypatch, "compare", "--last") == 0
    assert "Noise in the inputs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--measure", "speed"), "measure must be of noise, calibration, cost, energy, or all; got 'speed'"),
        (("--noise-levels", "much"), "--noise-levels must be numbers, such as 0.1,0.3,1; got 'much'"),
        (("--label-noise", "1.5"), "label noise must be at least 0 and below 1; got 1.5"),
        (("--watts", "-3"), "watts must be positive; got -3"),
        (("--metric", "ece"), "Judge by log loss or brier"),
    ],
)
def test_bad_values_end_with_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [each for each in ABOUT if each != "--no-diagnose"]
    assert call(monkeypatch, "compare", *arguments, "--no-report", *options) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
