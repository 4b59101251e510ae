"""`actlab compare` on several tasks as a user runs it, and `runs` and `report` of such a run."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import actlab
from actlab.study.plan_file import read_plans, task_of
from actlab.study.runner import LocalRunner
from actlab.study.store import Store
from command_line import Run, caller

FAST = ("--seeds", "2", "--budget", "1", "--epochs", "1", "--jobs", "1", "--quiet")
NAMED = ("first.csv:kind", "second.csv", "diabetes", "--target", "y", "--activations", "tanh,silu")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(0)
    for name, target in (("first", "kind"), ("second", "y")):
        table = pd.DataFrame(chance.normal(size=(100, 3)), columns=["a", "b", "c"])
        table[target] = np.where(table["a"] + chance.normal(size=100) > 0, "up", "down")
        table.to_csv(f"{name}.csv", index=False)
    return caller(capsys, monkeypatch)


@pytest.fixture
def ran(run: Run) -> Run:
    assert run("compare", *NAMED, *FAST).status == 0
    return run


def test_the_json_has_the_documented_keys(run: Run) -> None:
    said = run("compare", *NAMED, *FAST, "--no-report", "--json")
    assert said.status == 0, said.err
    assert said.err.startswith("3 tasks cannot decide: their smallest possible p is 0.25")
    found = said.json
    assert list(found) == [
        *("run", "control", "arms", "verdict", "recommended", "group", "scale", "alpha", "smallest_p", "tasks_needed"),
        *("can_decide", "matrix", "tasks", "notes", "seconds", "report"),
    ]
    assert (found["run"], found["control"], found["can_decide"], found["report"]) == ("S1", "relu", False, None)
    assert [arm["activation"] for arm in found["arms"]] == ["relu", "tanh", "silu"]
    assert found["arms"][1].keys() >= {"gain", "wins", "ties", "losses", "verdict", "difference"}
    assert found["arms"][1]["difference"].keys() >= {"mean", "low", "high", "p", "unadjusted_p"}
    assert len(found["matrix"]) == 6
    assert [(task["name"], task["study"]) for task in found["tasks"]] == [("first", 1), ("second", 2), ("diabetes", 3)]
    assert found["tasks"][2]["comparison"]["arms"][1]["activation"] == "tanh"
    seeds = [task["comparison"]["plan"]["seeds"] for task in found["tasks"]]
    assert seeds[0] == seeds[1] == seeds[2]


def test_a_stored_run_is_listed_and_reported_without_its_tasks(ran: Run, tmp_path: Path) -> None:
    for table in ("first.csv", "second.csv"):
        (tmp_path / table).unlink()
    rows = ran("runs", "--json").json
    assert [row["number"] for row in rows] == ["S1", 3, 2, 1]
    assert (rows[0]["studies"], rows[0]["done"], rows[0]["state"]) == ([1, 2, 3], rows[0]["planned"], "undecided")
    assert "S1   3 tasks: first, second," in ran("runs").out
    assert ran("compare", "--last").out.startswith("3 tasks, 3 activations")
    (tmp_path / "actlab-report.html").unlink()
    assert ran("report").out == "Written: actlab-report.html\n"
    assert "Which activation over 3 tasks?" in (tmp_path / "actlab-report.html").read_text()
    assert ran("report", "S1", "--format", "json").json["run"] == "S1"
    assert ran("report", "--format", "markdown").out.startswith("| Task | relu | tanh | silu |")
    assert "\\toprule" in ran("report", "--format", "latex").out
    assert ran("report", "--format", "bibtex").out.startswith("@misc{nair2010,")
    assert ran("report", "--format", "csv", "--out", "data").status == 0
    assert sorted(each.name for each in (tmp_path / "data").iterdir()) == [
        *("matrix.csv", "overall.csv", "replicates.csv", "tasks.csv")
    ]
    said = ran("report", "--format", "svg")
    assert (said.status, "such as `actlab report 1 --format svg`" in said.err) == (2, True)
    assert ran("report", "2", "--format", "markdown").out.startswith("| Activation |")
    assert "has no suite S4" in ran("report", "S4").err


def test_more_seeds_go_on_with_every_study(ran: Run) -> None:
    said = ran("compare", *NAMED, "--seeds", "3", *FAST[2:], "--resume", "--no-report", "--json")
    assert said.status == 0, said.err
    assert (said.json["run"], said.json["alpha"]) == ("S1", 0.005)
    assert [len(task["comparison"]["plan"]["seeds"]) for task in said.json["tasks"]] == [3, 3, 3]
    said = ran("compare", *NAMED, "--seeds", "3", "--budget", "2", *FAST[4:], "--resume")
    assert (said.status, "the stored study 'first' has another plan (points:" in said.err) == (2, True)


def test_an_interrupted_run_says_the_command_that_continues(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: LocalRunner, setting: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LocalRunner, "crew", interrupted)
        said = run("compare", *NAMED, *FAST, "--no-report")
    assert said.status == 130
    assert "To continue: actlab compare first.csv:kind second.csv diabetes --target y --activations" in said.err
    assert [row["state"] for row in run("runs", "--json").json] == ["unfinished"] * 4
    assert "suite S1 is not finished: 0 of 18 trials are done. Continue it with --resume." in run("report").err
    assert run("compare", *NAMED, *FAST, "--no-report", "--resume", "--json").json["run"] == "S1"


def test_a_plan_of_several_tasks_is_saved_edited_and_run(run: Run, tmp_path: Path) -> None:
    said = run("compare", *NAMED, *FAST, "--plan", "--save", "plan.toml", "--json")
    assert said.status == 0, said.err
    found = said.json
    assert (found["can_decide"], found["tasks_needed"], found["trials"], found["file"]) == (False, 7, 18, "plan.toml")
    assert [task["name"] for task in found["tasks"]] == ["first", "second", "diabetes"]
    assert all(task["expected_seconds"] > 0 for task in found["tasks"])
    assert not (tmp_path / "actlab-runs.db").exists()
    plan = tmp_path / "plan.toml"
    plan.write_text(
        plan.read_text().replace('["tanh", "silu"]', '["tanh"]').replace("lowest = 0.0003", "lowest = 0.001")
    )
    said = run("compare", "plan.toml", "--jobs", "1", "--quiet", "--no-report", "--json")
    assert said.status == 0, said.err
    assert [arm["activation"] for arm in said.json["arms"]] == ["relu", "tanh"]
    assert [task["name"] for task in said.json["tasks"]] == ["first", "second", "diabetes"]
    assert said.json["tasks"][0]["comparison"]["rates"] == [0.004472]  # the middle of .001 and .02
    said = run("compare", "plan.toml", "--seeds", "9")
    assert (said.status, "the plan 'plan.toml' fixes seeds" in said.err) == (2, True)
    (tmp_path / "first.csv").write_text((tmp_path / "second.csv").read_text().replace(",y", ",kind"))
    assert "belongs to another task, 'first': the data" in run("compare", "plan.toml").err


def test_python_compares_a_list_of_tasks(run: Run) -> None:
    answer = actlab.compare(["first.csv:kind", "second.csv:y"], ["tanh"], seeds=2, budget=1, epochs=1)
    assert answer.number is None
    assert [found.task for found in answer.comparisons] == ["first", "second"]
    assert answer.verdict.startswith("2 tasks cannot decide")
    found = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert [task["study"] for task in found["tasks"]] == [None, None]


def test_a_table_alone_may_be_named_with_its_target(run: Run) -> None:
    said = run("compare", "first.csv:kind", "--activations", "tanh", *FAST, "--no-report", "--json")
    assert (said.status, said.json["task"]) == (0, "first")
    assert "has no column 'kinds'. Did you mean 'kind'?" in run("compare", "first.csv:kinds").err
    assert run("sites", "first.csv:kind").out.endswith("2 sites.\n")


REFUSED = {
    "controls": (("digits", "diabetes"), "got sigmoid on digits and relu on diabetes. Name one with --against"),
    "twice": (("diabetes", "diabetes"), "every task must be named once; got diabetes twice"),
    "plan": (("plan.toml", "diabetes"), "plan files and tasks cannot be named together; got plan.toml"),
    "task": (("diabetes", "digit-relu"), "no built-in task is named 'digit-relu'. Did you mean 'digits-relu'?"),
    "target": (("diabetes", "first.csv"), "name the column to predict with --target"),
    "last": (("diabetes", "digits-relu", "--last"), "leave out diabetes digits-relu"),
    "kind": (("diabetes", "digits-relu", "--kind", "regression"), "--kind requires a table"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_bad_input_is_refused_before_anything_is_run_or_written(run: Run, tmp_path: Path, fault: str) -> None:
    words, message = REFUSED[fault]
    said = run("compare", *words)
    assert (said.status, said.out) == (2, "")
    assert message in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.csv", "second.csv"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ('[[tasks]]\nname = "first"', '[task]\nname = "x"\n\n[[tasks]]\nname = "first"'),
            "must have one [task], or several",
        ),
        (('built_in = "diabetes"', 'builtin = "diabetes"'), "unknown field 'task.builtin'"),
        (("highest = 0.01", "highest = -1.0"), "rates.highest must be at least rates.lowest"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(run: Run, tmp_path: Path, edit: tuple[str, str], message: str) -> None:
    run("compare", *NAMED, *FAST, "--plan", "--save", "plan.toml")
    plan = tmp_path / "plan.toml"
    changed = plan.read_text().replace(*edit)
    assert changed != plan.read_text()
    plan.write_text(changed)
    said = run("compare", "plan.toml")
    assert (said.status, message in said.err) == (2, True), said.err


def test_what_is_measured_beside_the_metric_is_measured_on_every_task(run: Run, tmp_path: Path) -> None:
    tables = ("first.csv:kind", "second.csv:y", "--activations", "tanh", *FAST, "--measure", "noise")
    said = run("compare", *tables, "--plan", "--save", "plan.toml")
    assert said.status == 0, said.err
    assert '[measuring]\nmeasures = ["noise"]' in (tmp_path / "plan.toml").read_text()
    said = run("compare", "plan.toml", "--jobs", "1", "--quiet", "--no-report", "--json")
    assert said.status == 0, said.err
    assert all(task["comparison"]["measured"] for task in said.json["tasks"])
    assert run("report", "--format", "csv", "--out", "data").status == 0
    measured = pd.read_csv(tmp_path / "data" / "measured.csv")
    assert set(measured["task"]) == {"first", "second"}


@pytest.mark.parametrize("from_file", [False, True])
def test_epochs_of_equal_seconds_are_those_of_the_run_that_is_resumed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_file: bool
) -> None:
    how = ("--jobs", "1", "--quiet", "--no-report", "--json")
    equal = ("--equal", "seconds", "--seeds", "2", "--budget", "1", "--epochs", "6")
    asked: tuple[str, ...] = ("first.csv:kind", "second.csv:y", "--activations", "tanh", *equal)
    if from_file:
        said = run("compare", *asked, *how[:2], "--quiet", "--plan", "--save", "p.toml")
        assert said.status == 0, said.err
        sections = (tmp_path / "p.toml").read_text().split("\n\n")
        kept = [each for each in sections if "[tasks.budget]" not in each]
        assert len(kept) == len(sections) - 2
        (tmp_path / "p.toml").write_text("\n\n".join(kept))
        asked = ("p.toml",)
    first = run("compare", *asked, *how)
    assert first.status == 0, first.err
    newer = run("compare", "second.csv:y", "--activations", "silu", *equal, *how)
    assert newer.status == 0, newer.err
    monkeypatch.delattr("actlab.study.compare.equally_long")  # nothing is measured anew
    resumed = run("compare", *asked, *how, "--resume")
    assert resumed.status == 0, resumed.err
    assert _budgets(resumed) == _budgets(first)


def _budgets(run: Run) -> list[object]:
    return [task["comparison"]["plan"]["budget"] for task in run.json["tasks"]]


@pytest.mark.parametrize("tasks", [("diabetes", "digits-relu"), ("first.csv:kind", "second.csv:y")])
def test_a_target_that_no_table_needs_is_refused(run: Run, tasks: tuple[str, ...]) -> None:
    said = run("compare", *tasks, "--target", "a", "--activations", "tanh", *FAST, "--no-report")
    assert said.status == 2
    assert f"target requires a table that is named without one; got {', '.join(tasks)}." in said.err


OWN = """
import actlab


def train(activation, rate, seed, budget):
    return 0.5 + rate * (seed % 7)


def game():
    return actlab.Task.from_training("game", train, baseline=0.0, metric="return")
"""


@pytest.mark.parametrize("tasks", [("own.py:game",), ("own.py:game", "first.csv:kind")])
def test_the_plan_of_a_training_of_ones_own_can_be_run(run: Run, tmp_path: Path, tasks: tuple[str, ...]) -> None:
    (tmp_path / "own.py").write_text(OWN)
    planned = run("compare", *tasks, "--activations", "tanh", *FAST, "--plan", "--save", "p.toml")
    assert planned.status == 0, planned.err
    said = run("compare", "p.toml", *FAST[-3:], "--no-report", "--json")
    assert said.status == 0, said.err
    text = (tmp_path / "p.toml").read_text().replace('file = "own.py:game"', 'built_in = "diabetes"')
    (tmp_path / "p.toml").write_text(text)
    edited = run("compare", "p.toml", *FAST[-3:], "--no-report")
    assert (edited.status, "splits must be per-seed or fixed for task 'diabetes'; got 'own'" in edited.err) == (2, True)


def test_a_task_without_a_name_is_refused(run: Run) -> None:
    said = run("compare", "", "diabetes", "--activations", "tanh", *FAST, "--no-report")
    assert (said.status, said.err.startswith("BadTask: a task must have a name; got ''.")) == (2, True)


@pytest.mark.parametrize("stored", [False, True])
def test_an_interruption_says_whether_anything_is_stored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("actlab.verbs.compare"), "compare_tasks", interrupted)
    if stored:
        Store(tmp_path / "actlab-runs.db").close()
    said = run("compare", *NAMED, *FAST, "--no-report")
    assert said.status == 130
    assert ("Interrupted before the first run; nothing is stored." in said.err) != stored
    assert ("Finished runs are stored in actlab-runs.db. To continue: actlab compare" in said.err) == stored


def test_plans_of_texts_images_and_arrays_can_be_run(run: Run, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    (tmp_path / "book.txt").write_text("".join(chance.choice(list("abc "), size=5200)))
    np.savez(tmp_path / "rows.npz", inputs=chance.normal(size=(80, 3)), targets=np.arange(80) % 2)
    for number in range(60):
        folder = tmp_path / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = chance.integers(0, 255, size=(8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    for task in (("--text", "book.txt"), ("pictures", "rows.npz")):
        planned = run("compare", *task, "--activations", "tanh", *FAST, "--plan", "--save", "p.toml")
        assert planned.status == 0, planned.err
        assert "built in Python" not in (tmp_path / "p.toml").read_text()
        settings = read_plans(tmp_path / "p.toml")
        for plan in settings:
            assert task_of(plan, tmp_path / "p.toml").name == plan.task.name
    said = run("compare", "p.toml", *FAST[-3:], "--no-report")
    assert said.status == 0, said.err
