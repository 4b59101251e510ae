"""`actlab compare`, `runs` and `report` as a user runs them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import actlab
from actlab.cli.next_command import resumed
from actlab.study.again import HINT
from actlab.study.runner import LocalRunner
from command_line import Run, caller

TASK = """
import torch
from torch import nn
from actlab import Task

def model(activation):
    return nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 2))

def make_task():
    inputs = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    return Task("signs", model, train=(inputs, (inputs[:, 0] > 0).long()), epochs=2, kind="classification")
"""
FAST = ("--seeds", "2", "--budget", "1", "--jobs", "1", "--quiet", "--no-report")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_task.py").write_text(TASK)

    return caller(capsys, monkeypatch)


def test_the_json_has_the_documented_keys(run: Run) -> None:
    said = run("compare", "my_task.py", "--activations", "relu,silu", "--against", "tanh", *FAST, "--json")
    assert said.status == 0, said.err
    found = said.json
    assert found.keys() >= {
        "arms",
        "verdict",
        "report",
        "plan",
        "group",
        "recommended",
        "error_rate",
        "seeds_to_settle",
    }
    assert [arm["activation"] for arm in found["arms"]] == ["tanh", "relu", "silu"]
    assert found["arms"][0]["difference"] is None
    assert found["arms"][1]["difference"].keys() >= {"mean", "low", "high", "p"}
    assert found["error_rate"] == {
        "total": 0.04,
        "looks": [{"seeds": 2, "alpha": 0.04}],
        "comparisons": 2,
        "correction": "Holm",
    }
    assert found["diagnosis"] is None
    assert found["report"] is None


def test_python_runs_the_same_plan(run: Run) -> None:
    typed = run("compare", "my_task.py", "--activations", "silu", *FAST, "--json").json
    called = actlab.compare("my_task.py", ["silu"], seeds=2, budget=1)
    assert json.loads(json.dumps(called.to_json()["plan"])) == typed["plan"]


def test_advise_takes_another_control_and_shows_what_is_usual(run: Run) -> None:
    said = run("advise", "my_task.py", "--activations", "relu", "--against", "tanh", *FAST, "--no-diagnose", "--json")
    assert [arm["activation"] for arm in said.json["arms"]] == ["tanh", "relu"]
    assert {hint["layer"] for hint in said.json["guide"]} == {"hidden", "output"}
    assert {"activation", "reason", "source"} <= said.json["guide"][0].keys()


def test_a_plan_is_saved_edited_and_run(run: Run, tmp_path: Path) -> None:
    said = run("compare", "my_task.py", "--activations", "silu,SiLU", *FAST, "--plan", "--save", "plan.toml", "--json")
    assert said.status == 0, said.err
    assert (said.json["can_decide"], said.json["trials"], said.json["file"]) == (False, 4, "plan.toml")
    assert "at least 6 seeds are needed" in said.json["verdict"]
    assert said.json["notes"] == ["SiLU and silu are the same activation; it is compared once, as silu.", HINT]
    assert not (tmp_path / "actlab-runs.db").exists()
    plan = tmp_path / "plan.toml"
    plan.write_text(plan.read_text().replace("seeds = 2", "seeds = 3").replace('["silu", "SiLU"]', '["silu", "tanh"]'))
    said = run("compare", "plan.toml", "--jobs", "1", "--quiet", "--no-report", "--json")
    assert said.status == 0, said.err
    assert [arm["activation"] for arm in said.json["arms"]] == ["relu", "silu", "tanh"]
    assert len(said.json["plan"]["seeds"]) == 3
    more = run("compare", "plan.toml", "--jobs", "1", "--quiet", "--no-report", "--json", "--resume", "--seeds", "4")
    assert [look["seeds"] for look in more.json["error_rate"]["looks"]] == [3, 4]
    said = run("compare", "plan.toml", "--seeds", "9", "--activations", "elu")
    assert (said.status, said.out) == (2, "")
    assert (
        "the plan 'plan.toml' fixes activations, seeds: edit the file, or leave out --activations --seeds" in said.err
    )


def test_a_plan_of_another_task_is_refused(run: Run, tmp_path: Path) -> None:
    run("compare", "my_task.py", "--activations", "silu", *FAST, "--plan", "--save", "plan.toml")
    (tmp_path / "my_task.py").write_text(TASK.replace("manual_seed(0)", "manual_seed(1)"))
    said = run("compare", "plan.toml", "--quiet", "--no-report")
    assert said.status == 2
    assert "belongs to another task, 'signs': the data" in said.err


@pytest.fixture
def stored(run: Run) -> Run:
    assert run("compare", "my_task.py", "--activations", "silu", *FAST).status == 0
    return run


def test_a_stored_comparison_is_reported_without_its_task(stored: Run, tmp_path: Path) -> None:
    (tmp_path / "my_task.py").unlink()
    (row,) = stored("runs", "--json").json
    assert row.keys() >= {"number", "name", "attempt", "created", "done", "planned", "state", "verdict"}
    assert (row["number"], row["name"], row["done"]) == (1, "signs", row["planned"])
    assert "signs" in stored("runs").out
    assert stored("compare", "--last").out.startswith("signs: signs")
    assert stored("report").out == "Written: actlab-report.html\n"
    assert "Which activation for signs?" in (tmp_path / "actlab-report.html").read_text()
    assert stored("report", "signs", "--format", "json").json["task"] == "signs"
    assert "\\toprule" in stored("report", "1", "--format", "latex").out
    assert stored("report", "--format", "markdown").out.startswith("| Activation |")
    assert stored("report", "--format", "bibtex").out.startswith("@misc{nair2010,")
    assert stored("report", "--format", "csv", "--out", "data").status == 0
    assert sorted(each.name for each in (tmp_path / "data").iterdir()) == ["arms.csv", "replicates.csv"]
    assert stored("report", "--format", "png", "--out", "data").out.count("Written: data") >= 6
    assert stored("report", "--format", "latex", "--out", "table.tex").out == "Written: table.tex\n"


REFUSED = {
    "jobs": (("compare", "my_task.py", "--jobs", "0"), "jobs must be at least 1; got 0"),
    "no seeds": (("compare", "my_task.py", "--seeds", "0"), "seeds must be at least 2; got 0"),
    "one seed": (("compare", "my_task.py", "--seeds", "1"), "seeds must be at least 2; got 1"),
    "one arm": (("compare", "my_task.py", "--activations", "relu"), "other than the control, relu; got none"),
    "save": (("compare", "my_task.py", "--save", "p.toml"), "--save requires --plan"),
    "last": (("compare", "my_task.py", "--last"), "--last shows a stored comparison; leave out my_task.py"),
    "task": (("compare", "digit-relu"), "no built-in task is named 'digit-relu'. Did you mean 'digits-relu'?"),
    "object": (("compare", "my_task.py", "--plan", "--save", "no/p.toml"), "there is no folder 'no'"),
    "store": (("runs", "--store", "none.db"), "there is no store 'none.db'"),
    "report": (("report", "--store", "none.db"), "there is no store 'none.db'"),
    "format": (("report", "--format", "pdf"), "format must be one of html, json, csv"),
    "plan": (("compare", "none.toml"), "the plan 'none.toml' cannot be read"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_bad_input_is_refused_before_anything_is_run_or_written(run: Run, tmp_path: Path, fault: str) -> None:
    words, message = REFUSED[fault]
    said = run(*words)
    assert (said.status, said.out) == (2, "")
    assert message in said.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["my_task.py"]


def test_a_folder_is_not_written_over_a_file(stored: Run, tmp_path: Path) -> None:
    said = stored("report", "--format", "csv", "--out", "my_task.py")
    assert (said.status, "it is a file; choose a folder" in said.err) == (2, True)
    assert (tmp_path / "my_task.py").read_text() == TASK


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("advise --task digits-relu --activations silu", "advise --task digits-relu --activations silu --seeds 27"),
        ("compare a.csv --seeds=9 --target 'my y' --resume", "compare a.csv --target 'my y' --seeds 27"),
        ("compare a.py --seeds 9 --store sqlite:///a.db", "compare a.py --store sqlite:///a.db --seeds 27"),
        ("compare a.py --store postgresql://me:x@h/db", "compare a.py --store 'postgresql://me:***@h/db' --seeds 27"),
        ("compare a.py --activations 'x*tanh(x),silu'", "compare a.py --activations 'x*tanh(x),silu' --seeds 27"),
    ],
)
def test_the_next_command_is_the_typed_one_with_more_seeds(typed: str, expected: str) -> None:
    assert resumed(shlex.split(typed), seeds=27) == f"actlab {expected} --resume"


def test_to_continue_the_number_of_seeds_stays() -> None:
    assert resumed(["compare", "a.py", "--seeds", "9"]) == "actlab compare a.py --seeds 9 --resume"


def test_an_interrupted_run_says_the_command_that_continues(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: LocalRunner, setting: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalRunner, "crew", interrupted)
    said = run("compare", "my_task.py", "--activations", "silu", *FAST)
    assert said.status == 130
    assert (
        "Finished runs are stored in actlab-runs.db. To continue: actlab compare my_task.py --activations silu"
        " --seeds 2 --budget 1 --jobs 1 --quiet --no-report --resume"
    ) in said.err
    said = run("compare", "my_task.py", "--activations", "silu", *FAST, "--plan")
    assert (said.status, "Nothing of the study was run" in said.err) == (130, True)


def test_an_undecided_run_ends_with_the_exact_command(run: Run) -> None:
    typed = ("compare", "my_task.py", "--activations", "tanh", "--epochs", "10", *FAST[2:])
    said = run(*typed, "--seeds", "7")
    found = run("compare", "--last", "--json").json
    seeds = found["seeds_to_settle"]
    assert found["arms"][1]["verdict"] == "undecided"
    line = f"actlab {' '.join(typed)} --seeds {seeds} --resume\n"
    assert said.err.endswith(f"To settle what is undecided: {line}")
    assert found["next_step"] == f"The same call with the same store, seeds={seeds} and resume=True."
