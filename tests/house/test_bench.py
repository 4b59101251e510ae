"""Every benchmark runs, and the harness measures what it says."""

from __future__ import annotations

import csv
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
SCRIPTS = sorted(path for path in BENCH.glob("*.py") if path.name != "harness.py")


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    return import_module("harness")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_script_runs(script, tmp_path):
    command = [sys.executable, script, "--quick", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("*.csv")
    with written.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    assert all(float(row["p20"]) <= float(row["median"]) <= float(row["p80"]) for row in rows)


def test_percentiles_by_hand(harness):
    found = harness.percentiles_of([5.0, 1.0, 4.0, 2.0, 3.0, 6.0])
    assert (found.p20, found.median, found.p80) == (2.0, 3.5, 5.0)
    assert harness.percentiles_of([7.0]).p20 == 7.0


def test_warm_up_is_not_counted_and_calls_are_averaged(harness):
    times = iter([0.0, 4.0, 10.0, 14.0])
    called = []
    found = harness.seconds_of(lambda: called.append(1), warm_up=3, repeats=2, calls=2, clock=lambda: next(times))
    assert len(called) == 3 + 2 * 2
    assert found.median == 2.0


def test_peak_bytes_counts_what_is_held_together(harness):
    torch = pytest.importorskip("torch")
    one = torch.ones(1 << 20)  # 4 MiB

    def two_at_a_time():
        first = one + 1
        return first + 1

    assert harness.peak_bytes(two_at_a_time) == pytest.approx(2 * 4 * 2**20, rel=0.01)
    assert harness.peak_bytes(lambda: one.add_(1)) < 2**16


def test_rows_are_appended_below_one_header(harness, tmp_path):
    row = harness.row("question", "one", unit="s", measured=harness.Percentiles(1.0, 2.0, 3.0))
    asked = harness.Options(quick=False, results=tmp_path)
    harness.record("answers", [row], asked=asked)
    harness.record("answers", [row, row], asked=asked)
    lines = (tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("question,contender,device,dtype,shape,unit,p20,median,p80")


def test_rows_of_another_shape_are_not_mixed(harness, tmp_path):
    (tmp_path / "answers.csv").write_text("question,seconds\n", encoding="utf-8")
    row = harness.row("question", "one", unit="s", measured=harness.Percentiles(1.0, 2.0, 3.0))
    with pytest.raises(SystemExit, match="do not fit"):
        harness.append(tmp_path / "answers.csv", [row])


def test_a_quick_run_keeps_nothing(harness):
    assert harness.options("", ["--quick"]).results is None
    assert harness.options("", []).results == BENCH / "results"
