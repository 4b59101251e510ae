"""CSV files without names, with damaged content, and with text that would steer a terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actlab.errors import BadTable
from actlab.train.load import directions_to
from actlab.train.read_csv import first_row, looks_like_data, read_csv
from actlab.train.table import table_task


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def flowers(rows: int = 90) -> pd.DataFrame:
    chance = np.random.default_rng(0)
    kind = np.arange(rows) % 3
    sizes = chance.normal(5, 0.5, (rows, 2)) + kind[:, None]
    return pd.DataFrame(sizes).assign(kind=np.array(["setosa", "versicolor", "virginica"])[kind])


@pytest.mark.parametrize(
    ("text", "is_data"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n6.0,2.2,virginica\n", True),
        ("15.26,14.84,1\n14.88,14.57,1\n", True),
        ("M;0.455;15\nF;0.53;9\nM;0.35;7\n", True),
        ("5.1,?,setosa\n4.9,3.0,setosa\n", True),
        ("p,x,s\np,x,y\ne,x,s\np,s,y\n", True),
        ("length,width,kind\n4.9,3.0,setosa\n", False),
        ("0,1,2,label\n4.9,3.0,1.0,2\n", False),
        ("0,1,2\n4.9,3.0,1.0\n", False),
        ("country,2019,2020\nFrance,1.5,1.7\nSpain,1.2,1.1\n", False),
        ("country,2020,2010\nFrance,1.5,1.7\nSpain,1.2,1.1\n", False),
        ("1100.5,1102.5,octane\n0.1,0.2,88.5\n", False),
        ("cap,odor,class\nx,s,p\ny,s,e\n", False),
        ("value\n1\n2\n", False),
    ],
)
def test_a_first_row_that_looks_like_data_is_recognized(text: str, is_data: bool, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    assert looks_like_data(first_row(path), read_csv(path)) is is_data


def test_a_table_without_names_is_refused_and_accepted_on_request(tmp_path: Path) -> None:
    path = tmp_path / "iris.csv"
    flowers().to_csv(path, index=False, header=False)
    with pytest.raises(
        BadTable, match="must start with the names of the columns; got a row that looks like data"
    ) as no:
        table_task(str(path), target="kind")
    assert "--no-header" in str(no.value)
    task = table_task(str(path), target="column_3", header=False)
    assert (task.rows, task.classes, task.train.inputs.shape[1]) == (90, 3, 2)
    assert directions_to(task).followed().fingerprint() == task.fingerprint()
    with pytest.raises(BadTable, match=r"has no column 'kind'\. It has column_1 to column_3\."):
        table_task(str(path), target="kind", header=False)


def test_a_target_among_cells_that_look_like_data_is_believed_and_noted(tmp_path: Path) -> None:
    table = flowers().rename(columns={0: "5.5", 1: "4.5", "kind": "setosa"})
    path = tmp_path / "iris.csv"
    table.to_csv(path, index=False)
    task = table_task(str(path), target="setosa")
    assert task.rows == 90
    assert any("looks like data, but is read as names; --no-header" in note for note in task.notes)


def test_columns_are_left_out_on_request(tmp_path: Path) -> None:
    path = tmp_path / "iris.csv"
    flowers().assign(ward=np.arange(90) % 7, code="abc").to_csv(path, index=False)
    task = table_task(str(path), target="kind", without=("ward", "code"))
    assert task.train.inputs.shape[1] == 2
    assert "left out: ward, code (as requested)." in task.notes
    assert directions_to(task).followed().fingerprint() == task.fingerprint()
    with pytest.raises(BadTable, match=r"has no column 'wart'\. Did you mean 'ward'\?"):
        table_task(str(path), target="kind", without=("wart",))
    with pytest.raises(BadTable, match="the target 'kind' cannot be left out"):
        table_task(str(path), target="kind", without=("kind",))


def test_the_kind_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "iris.csv"
    flowers().assign(stars=np.arange(90) % 5).to_csv(path, index=False)
    guessed = table_task(str(path), target="stars")
    assert "'stars' has 5 distinct values, so this is classification (--kind regression predicts the number)." in (
        guessed.notes
    )
    task = table_task(str(path), target="stars", kind="regression")
    assert task.kind.name == "regression"
    assert "'stars' has 5 distinct values; this is regression, as requested." in task.notes
    assert directions_to(task).followed().fingerprint() == task.fingerprint()
    with pytest.raises(BadTable, match="the target 'kind' must hold numbers for a regression; got 'setosa'"):
        table_task(str(path), target="kind", kind="regression")
    with pytest.raises(BadTable, match="must be classification or regression; got 'ranking'"):
        table_task(str(path), target="kind", kind="ranking")


def test_no_text_of_a_table_can_steer_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b]0;title\x07.csv"
    table = flowers().rename(columns={0: "\x1b[31mred", "kind": "kind\u202e\nof"}).assign(**{"same\x9b2J": 1})
    table.to_csv(path, index=False)
    task = table_task(str(path), target="kind\u202e\nof")
    shown = [task.name, task.sentence, *task.notes]
    assert all(text.isprintable() for text in shown)
    assert "kind\\u202e\\nof" in task.sentence


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text"),
        ("größe,b\n1,2\n".encode("latin-1"), "is not UTF-8 text"),
        (b'a,b\n"1,2\n3,4\n', "cannot parse"),
        (b"a ,a,b\n1,2,3\n", "must have a different name for every column; got 'a' twice"),
        (b"\n\n\n", "is empty"),
        (b"", "is empty"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    for header in (True, False):
        with pytest.raises(BadTable) as raised:
            table_task(str(path), target="b", header=header)
        assert "\n" not in str(raised.value)
        if header:
            assert message in str(raised.value)
