"""A plan file: it holds the study, and says what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlab.errors import BadStudy
from actlab.study.advise import study_of
from actlab.study.compare import Study
from actlab.study.options import AdviseOptions
from actlab.study.plan import Look
from actlab.study.plan_file import _section, check_task, read_plan, settled, task_of, write_plan
from actlab.train.adjusted import adjusted
from actlab.train.builtin import builtin_task
from actlab.train.task import Task
from unit.study.small_task import ring

OPTIONS = AdviseOptions(activations=("tanh", "x*sigmoid(b*x)"), seeds=7, budget=3, seed=4)


def study(task: Task) -> Study:
    return study_of(task, AdviseOptions(activations=("tanh", "silu"), seeds=7, budget=3, seed=4))


def written(folder: Path, task: Task | None = None) -> Path:
    path = folder / "plan.toml"
    text = write_plan(
        study(task or adjusted(builtin_task("diabetes"), epochs=3)),
        control="relu",
        candidates=("tanh", "silu"),
        parameters={"b": 1.5},
        folder=folder,
    )
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_gives_the_same_study_back(tmp_path: Path) -> None:
    path = written(tmp_path)
    plan = read_plan(path)
    assert (plan.arms.control, plan.arms.candidates, dict(plan.arms.parameters)) == (
        "relu",
        ("tanh", "silu"),
        {"b": 1.5},
    )
    assert plan.looks == (Look(7, 0.04),)
    task = task_of(plan, path)
    assert (task.name, task.epochs, task.rates) == ("diabetes", 3, (1e-4, 1e-2))
    again = study_of(
        task,
        AdviseOptions(activations=plan.arms.candidates, budget=plan.rates.count, seed=plan.replicates.seed),
        looks=plan.looks,
    )
    check_task(plan, again, path)
    assert again.plan == study(adjusted(builtin_task("diabetes"), epochs=3)).plan


def test_what_the_plan_decides_stands_in_its_comments(tmp_path: Path) -> None:
    comments = " ".join(line[2:] for line in written(tmp_path).read_text().splitlines() if line.startswith("#"))
    for sentence in study(builtin_task("diabetes")).plan.sentences():
        assert " ".join(sentence.split()) in " ".join(comments.split())


def test_epochs_and_rates_may_be_edited(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("epochs = 3", "epochs = 4").replace("highest = 0.01", "highest = 0.1"))
    plan = read_plan(path)
    task = task_of(plan, path)
    assert (task.epochs, task.rates) == (4, (1e-4, 1e-1))
    check_task(plan, study(task), path)


def test_a_plan_of_another_task_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = written(tmp_path, ring())
    plan = read_plan(path)
    check_task(plan, study(settled(plan, ring())), path)
    with pytest.raises(
        BadStudy,
        match=r"another task, 'ring': the data, the model's first outputs differ\. Plan this",
    ):
        check_task(plan, study(settled(plan, ring(seed=1))), path)
    with pytest.raises(BadStudy, match="the task's settings"):
        check_task(plan, study(settled(plan, ring(batch_size=12))), path)


def test_a_task_that_was_built_in_python_is_run_there(tmp_path: Path) -> None:
    path = written(tmp_path, ring())
    with pytest.raises(BadStudy, match=r"was built in Python\. Run the plan there: actlab\.compare\(task, plan="):
        task_of(read_plan(path), path)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    data = tmp_path / "data" / "my table.csv"
    data.parent.mkdir()
    data.write_text("a,b,y\n" + "".join(f"{n % 7},{n % 5},{'ab'[n % 2]}\n" for n in range(90)))
    from actlab.train.table import table_task

    folder = tmp_path / "plans"
    folder.mkdir()
    path = written(folder, table_task(str(data), target="y", without=("b",)))
    assert 'table = "../data/my table.csv"' in path.read_text()
    plan = read_plan(path)
    assert (plan.task.target, plan.task.without) == ("y", ("b",))
    assert task_of(plan, path).fingerprint() == table_task(str(data), target="y", without=("b",)).fingerprint()


FAULTS = {
    "count = 3": ('count = "3"', "rates.count must be an integer; got '3'"),
    "lowest = 0.0001": ("lowest = -1", "rates.lowest must be above 0; got -1.0"),
    "highest = 0.01": ("highest = 0.00001", "rates.highest must be at least rates.lowest; got 1e-05"),
    "seed = 4": ("seed = -4", "replicates.seed must be at least 0; got -4"),
    'splits = "per-seed"\n': ('splits = "per-row"\n', "replicates.splits must be per-seed or fixed; got 'per-row'"),
    'init = "as-is"\n': ("init = true\n", "replicates.init must be a text; got True"),
    "seeds = 7": ("seeds = 1", "looks.seeds must be increasing numbers from 2"),
    "alpha = 0.04": ("alpha = 0.0", "looks.alpha must be above 0"),
    "alpha = 0.04\n": ("alpha = 0.04\nadded = true\n", "unknown field 'looks.0.added'; choose from seeds, alpha"),
    "epochs = 3": ("epochs = 0", "task.epochs must be at least 1; got 0"),
    'built_in = "diabetes"': (
        'built_in = "diabetes"\nfile = "x.py:y"',
        "task must be one of built_in, file, table, text, images and arrays",
    ),
    'candidates = ["tanh", "silu"]': ("candidates = []", "arms.candidates must be one activation or more"),
    "format = 1": ("format = 2", "has format 2; this actlab reads 1"),
    "[rates]": ("[rats]", "unknown field 'rats'; choose from format, task, arms, rates"),
    "[arms]\n": ("[arms]\ncontrl = 1\n", "unknown field 'arms.contrl'; choose from control, candidates, parameters"),
    'control = "relu"\n': ("", "the plan.arms must have 'control'; it is missing"),
    "[task]": ("[task", "must be a TOML file"),
}


@pytest.mark.parametrize("line", FAULTS)
def test_every_field_is_checked(tmp_path: Path, line: str) -> None:
    path = written(tmp_path)
    text = path.read_text()
    assert text.count(line) >= 1, line
    path.write_text(text.replace(line, FAULTS[line][0], 1))
    with pytest.raises(BadStudy) as refused:
        read_plan(path)
    assert FAULTS[line][1] in str(refused.value)
    assert "plan.toml" in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadStudy, match="cannot be read: No such file"):
        read_plan(tmp_path / "no.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(BadStudy, match="must be a TOML file"):
        read_plan(tmp_path / "latin.toml")


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(), st.text() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False))
)
def test_any_text_and_number_survives_the_file(values: dict[str, object]) -> None:
    def whole(value: object) -> object:
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

    expected = {whole(key): whole(value) for key, value in values.items()}
    assert tomllib.loads(_section("part", expected))["part"] == expected
