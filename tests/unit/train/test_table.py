"""Tasks from tables: what is decided is said, what cannot be used is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from actlab.errors import BadTable
from actlab.train import table as table_module
from actlab.train.load import directions_to
from actlab.train.table import table_task
from actlab.train.task import Task


def frame(rows: int = 100) -> pd.DataFrame:
    chance = np.random.default_rng(0)
    size = chance.normal(50, 10, rows)
    return pd.DataFrame(
        {
            "size": size,
            "colour": chance.choice(["red", "green", "blue"], rows),
            "good": chance.random(rows) > 0.5,
            "price": size * 3 + chance.normal(0, 1, rows),
            "label": np.where(size > 50, "yes", "no"),
        }
    )


def task_of(table: pd.DataFrame, folder: Path, *, target: str = "label", **to_csv: object) -> Task:
    path = folder / "data.csv"
    table.to_csv(path, index=False, **to_csv)
    return table_task(str(path), target=target)


def test_text_is_classified_and_real_numbers_are_a_regression(tmp_path: Path) -> None:
    classes = task_of(frame(), tmp_path)
    assert (classes.kind.name, classes.classes) == ("classification", 2)
    assert "'label' has 2 distinct values, so this is classification." in classes.notes
    numbers = task_of(frame(), tmp_path, target="price")
    assert (numbers.kind.name, numbers.classes) == ("regression", 0)
    assert "'price' has 100 distinct values, so this is regression." in numbers.notes


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1], "classification"),
        ([1.0, 2.0, 5.0], "classification"),
        ([True, False], "classification"),
        ([0.5, 1.5], "regression"),
    ],
)
def test_a_few_whole_numbers_are_classes(values: list[object], kind: str, tmp_path: Path) -> None:
    target = np.resize(np.array(values), 100)
    assert task_of(frame().assign(label=target), tmp_path).kind.name == kind


def test_many_whole_numbers_are_a_regression(tmp_path: Path) -> None:
    assert task_of(frame().assign(label=np.arange(100)), tmp_path).kind.name == "regression"


def test_scaling_is_learned_from_the_training_part_alone(tmp_path: Path) -> None:
    task = task_of(frame()[["size", "label"]], tmp_path)
    assert task.train.inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert task.train.inputs.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert abs(task.test.inputs.mean().item()) > 1e-3


def test_errors_of_a_regression_are_in_the_targets_own_units(tmp_path: Path) -> None:
    task = task_of(frame(), tmp_path, target="price")
    assert task.baseline(task.test) == pytest.approx(frame()["price"].std(), rel=0.4)
    assert task.train.targets.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("mark", ["?", "", "  ", "NA", "-"])
def test_missing_values_are_filled_however_they_are_written(mark: str, tmp_path: Path) -> None:
    table = frame().astype({"size": object, "colour": object})
    table.loc[:9, "size"] = mark
    table.loc[5:14, "colour"] = mark
    task = task_of(table[["size", "colour", "label"]], tmp_path)
    assert task.train.inputs.shape[1] == 1 + 4  # a number, three colours, and the missing one
    assert any(note.startswith("15 rows have missing values") for note in task.notes)


def test_infinite_numbers_are_missing_ones(tmp_path: Path) -> None:
    table = frame()
    table.loc[3, "size"] = np.inf
    assert torch.isfinite(task_of(table, tmp_path).train.inputs).all()


def test_rare_levels_share_an_input_and_unknown_ones_do_no_harm(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    city = np.where(chance.random(300) < 0.8, "big", np.char.add("village", chance.integers(0, 60, 300).astype(str)))
    task = task_of(frame(300)[["label"]].assign(city=city), tmp_path)
    assert task.train.inputs.shape[1] == 20


def test_rows_without_a_target_are_left_out_with_a_note(tmp_path: Path) -> None:
    table = frame()
    table.loc[:19, "label"] = None
    task = task_of(table, tmp_path)
    assert len(task.train) + len(task.valid) + len(task.test) == 80
    assert "20 rows without a value of 'label' are left out." in task.notes


def test_the_note_on_one_row_without_a_target_is_in_the_singular(tmp_path: Path) -> None:
    table = frame()
    table.loc[3, "label"] = None
    assert "1 row without a value of 'label' is left out." in task_of(table, tmp_path).notes


def test_columns_without_information_are_left_out_with_a_note(tmp_path: Path) -> None:
    table = frame().assign(same=7, gone=np.nan, name=[f"id-{row}" for row in range(100)])
    task = task_of(table, tmp_path)
    text = " ".join(task.notes)
    for part in ("same (the same in every row)", "gone (missing in every row)", "name (text that differs"):
        assert part in text
    assert task.train.inputs.shape[1] == 1 + 3 + 2 + 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", np.arange(100)),
        ("number", np.arange(1, 101)[::-1] * 1),
        ("shuffled", np.random.default_rng(0).permutation(100) + 1000),
        ("with gaps", np.arange(150)[np.arange(150) % 3 > 0]),
        ("customer_id", np.random.default_rng(0).choice(10**6, 100, replace=False)),
        ("Unnamed: 0", np.arange(0, 500, 5)),
    ],
)
def test_a_column_that_numbers_the_rows_is_left_out_with_a_note(name: str, values: np.ndarray, tmp_path: Path) -> None:
    task = task_of(frame().assign(**{name: values}), tmp_path)
    assert f"left out: {name} (integers that only number the rows)." in task.notes
    assert task.train.inputs.shape == task_of(frame(), tmp_path).train.inputs.shape


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price", np.random.default_rng(0).choice(10**5, 100, replace=False)),
        ("count", np.random.default_rng(0).integers(0, 100, 100)),
        ("id", np.arange(100) % 5),
        ("humid", np.arange(100) ** 2),
        ("paid", np.linspace(0, 1, 100)),
    ],
)
def test_other_integers_are_kept(name: str, values: np.ndarray, tmp_path: Path) -> None:
    task = task_of(frame().assign(**{name: values}), tmp_path)
    assert not any("number the rows" in note for note in task.notes)


def test_rare_classes_are_left_out_with_a_note(tmp_path: Path) -> None:
    table = frame()
    table.loc[:2, "label"] = "perhaps"
    task = task_of(table, tmp_path)
    assert task.classes == 2
    assert any("left out: 1 class of 'label' with fewer than 5 rows (3 rows in all)." in note for note in task.notes)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_detected(separator: str, tmp_path: Path) -> None:
    assert len(task_of(frame(), tmp_path, sep=separator).train) == 60


def test_a_separator_at_the_end_of_every_row_moves_no_value(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    header, *rows = frame().to_csv(index=False).splitlines()
    path.write_text("\n".join([header, *(f"{row}," for row in rows)]))
    task = table_task(str(path), target="price")
    assert task.kind.name == "regression"
    assert torch.equal(task.train.inputs, task_of(frame(), tmp_path, target="price").train.inputs)


def test_a_large_table_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_ROWS", 60)
    task = task_of(frame(), tmp_path)
    assert len(task.train) == 36
    assert "60 of 100 rows are used, drawn at random." in task.notes


def test_a_table_gives_the_same_task_again(tmp_path: Path) -> None:
    task = task_of(frame(), tmp_path)
    assert directions_to(task).followed().fingerprint() == task.fingerprint()


def test_the_error_for_an_unknown_target_suggests_the_nearest_column(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match=r"has no column 'lable'\. Did you mean 'label'\?"):
        task_of(frame(), tmp_path, target="lable")
    with pytest.raises(BadTable, match=r"has no column 'xyz'\. It has size, colour, good, price, label\."):
        task_of(frame(), tmp_path, target="xyz")


FAULTS = {
    "one class": (
        frame().assign(label="yes"),
        "the target 'label' must have two values or more; it is yes in every row",
    ),
    "all missing": (frame().assign(label=np.nan), "the target 'label' must have values; it is missing in every row"),
    "few rows": (frame(49), "must have at least 50 rows with a usable 'label'; got 49"),
    "a handful of rows": (frame(4), "must have at least 50 rows with a usable 'label'; got 4"),
    "nothing left": (
        frame()[["label"]].assign(same=1),
        "must have a column to learn from; got none that can be used (same: the same in every row)",
    ),
    "target alone": (
        frame()[["label"]],
        "must have a column to learn from; got none that can be used (it has no other column)",
    ),
    "names": (
        frame().assign(label=[f"n{row}" for row in range(100)]),
        "must have 2 to 50 classes with 5 rows or more; got 0 such classes of 100",
    ),
    "header": (frame(0), "must have rows; got a header only"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_without_a_possible_task_is_refused(fault: str, tmp_path: Path) -> None:
    table, message = FAULTS[fault]
    with pytest.raises(BadTable) as raised:
        task_of(table, tmp_path)
    assert message in str(raised.value)


FILES = {
    "missing": (None, "there is no file"),
    "empty": (b"", "is empty"),
    "row names": (b"a,b\nr1,1,2\nr2,3,4\n", "must have a name for every column; got rows with more cells"),
    "ragged": (b"a,b\n1,2\n1,2,3,4\n", "as CSV: "),
    "binary": (b"a,b\n\xff\xfe\x00,1\n", "is not UTF-8 text"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_is_not_a_table_is_refused(fault: str, tmp_path: Path) -> None:
    content, message = FILES[fault]
    path = tmp_path / "data.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadTable) as raised:
        table_task(str(path), target="b")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
