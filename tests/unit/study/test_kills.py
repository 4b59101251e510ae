"""`kill -9` at any moment loses the running trial at most, and the report is the same."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


def test_a_lost_a_repeated_and_a_changed_trial_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    kills = import_module("kills")
    sound = kills.Killed(kills=3, trials=10, started=13, lost=0, repeated=0, is_same=True)
    assert kills.is_sound(sound)
    for fault in ({"lost": 1}, {"repeated": 1}, {"started": 14}, {"is_same": False}):
        assert not kills.is_sound(replace(sound, **fault))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_kills_lose_nothing_that_was_stored(tmp_path: Path) -> None:
    command = [sys.executable, BENCH / "kills.py", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "kills.csv").open() as rows:
        note = next(csv.DictReader(rows))["note"]
    kills, studies = map(int, re.match(r"(\d+) kills in (\d+) studies", note).groups())
    assert kills >= 200
    assert note.endswith(f"0 stored trials lost, 0 run twice, {studies} reports the same")
