"""Options that say how a task is read and trained, as typed on the command line and passed in Python."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actlab.cli import main
from actlab.errors import BadTask
from actlab.train.adjusted import adjusted
from actlab.train.load import directions_to
from actlab.train.options import TaskOptions
from actlab.verbs.task_lookup import task_named

SMALL = ("--activations", "relu,tanh", "--seeds", "2", "--budget", "1", "--jobs", "1", "--no-diagnose", "--no-report")


def flowers(folder: Path) -> Path:
    """Write a table without names of columns: a size, a word with an escape, and a class."""
    chance = np.random.default_rng(0)
    kind = np.arange(60) % 2
    table = pd.DataFrame({"size": chance.normal(5, 0.5, 60) + kind, "\x1b[31mred": 1, "kind": kind})
    table.to_csv(folder / "named.csv", index=False)
    table.to_csv(folder / "data.csv", index=False, header=False)
    return folder / "data.csv"


def call(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["actlab", *args])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_options_reach_the_task(tmp_path: Path) -> None:
    options = TaskOptions(epochs=3, rates=(1e-3, 1e-2), header=False, without=("column_2",), kind="regression")
    task = task_named(flowers(tmp_path), target="column_3", task=None, verb="advise", options=options)
    assert (task.epochs, task.rates, task.kind.name, task.train.inputs.shape[1]) == (3, (1e-3, 1e-2), "regression", 1)
    built_in = task_named(None, target=None, task="diabetes", verb="advise", options=TaskOptions(epochs=3))
    assert (built_in.name, built_in.epochs, built_in.origin) == ("diabetes", 3, ("builtin", "diabetes"))
    assert adjusted(built_in) is built_in
    by_mae = task_named(None, target=None, task="diabetes", verb="advise", options=TaskOptions(metric="mae"))
    assert by_mae.metric.name == "mean absolute error"
    assert directions_to(by_mae).followed().metric == by_mae.metric
    with pytest.raises(BadTask, match="epochs must be a positive integer; got 0"):
        adjusted(built_in, epochs=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TaskOptions(kind="regression"), "--kind requires a table"),
        (TaskOptions(header=False), "--no-header requires a table"),
        (TaskOptions(without=("a",)), "--without requires a table"),
    ],
)
def test_options_of_tables_are_refused_for_other_tasks(options: TaskOptions, message: str) -> None:
    with pytest.raises(BadTask, match=message):
        task_named(None, target=None, task="diabetes", verb="advise", options=options)


def test_a_study_runs_with_all_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, store = str(flowers(tmp_path)), str(tmp_path / "s.db")
    about = ("--target", "column_3", "--no-header", "--without", "column_2", "--epochs", "2", "--rates", "1e-3,1e-2")
    assert call(monkeypatch, "advise", path, *about, *SMALL, "--store", store, "-q") == 0
    assert "left out: column_2 (as requested)" in " ".join(capsys.readouterr().out.split())


def test_a_table_without_names_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "advise", str(flowers(tmp_path)), "--target", "kind", "-q") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a row that looks like data" in said
    assert "--no-header" in said


def test_no_control_character_of_a_file_reaches_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flowers(tmp_path)
    named, store = str(tmp_path / "named.csv"), str(tmp_path / "s.db")
    assert call(monkeypatch, "advise", named, "--target", "\x1b[31mred", "-q") == 2
    about = (named, "--target", "kind", "--epochs", "1", *SMALL, "--store", store)
    assert call(monkeypatch, "advise", *about) == 0
    assert (
        call(monkeypatch, "advise", named, "--target", "kind", "--epochs", "1", *SMALL, "--store", store, "--json") == 0
    )
    said = capsys.readouterr()
    assert "\x1b[31m" not in said.out + said.err
    assert "u001b[31mred" in said.out
    assert "u001b[31mred" in said.err


@pytest.mark.parametrize("typed", ["fast", "1,2,3", "1e-3;1e-2", ","])
def test_rates_have_one_form(typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "advise", "--rates", typed, "-q") == 2
    assert "--rates must be LOW,HIGH, such as 1e-4,1e-2; got" in capsys.readouterr().err


def test_names_of_columns_may_hold_commas() -> None:
    from actlab.cli.options import columns_of

    assert columns_of('id,"size, in cm",name') == ["id", "size, in cm", "name"]
    assert columns_of(None) == []
