"""Make a task from a table: a CSV file with a target column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from actlab.errors import BadTable, shortened, visible
from actlab.train.columns import Columns, Levels, sorted_columns, transformer, with_named_levels
from actlab.train.examples import Examples, Parts
from actlab.train.mlp import mlp
from actlab.train.read_csv import first_row, looks_like_data, read_csv
from actlab.train.size import MIN_CLASS_ROWS, MIN_ROWS, epochs_for
from actlab.train.split import divided
from actlab.train.task import Task

MAX_ROWS = 40_000
"""Of more rows, a sample of this many is used, so that a comparison takes minutes."""

MAX_CLASSES = 50
STEPS = 900
"""The number of epochs is chosen for about this many training steps per trial."""

HIDDEN = (64, 64)


def table_task(path: str, *, target: str, kind: str = "", header: bool = True, without: Sequence[str] = ()) -> Task:
    """Make the task of predicting one column of a CSV file from the others.

    A target of text, booleans or a few distinct integers is a classification, one of other numbers a regression. Rows
    without a target are dropped; missing inputs are filled in. The task's `notes` list these choices.

    Args:
        path: the file.
        target: the column to predict.
        kind: "classification" or "regression"; by default the values of the target decide.
        header: whether the first row holds the names of the columns; otherwise they are column_1, column_2 and so on.
        without: columns to leave out.

    Raises:
        BadTable: the file cannot be read, or no task can be made of it.
    """
    if kind not in ("", "classification", "regression"):
        raise BadTable(f"the kind of a table's task must be classification or regression; got '{shortened(kind)}'.")
    table = read_csv(Path(path), header=header)
    notes: list[str] = []
    if header and looks_like_data(first_row(Path(path)), table):
        notes.append(_no_names(path, target, columns=list(table.columns)))
    _check_named(path, [target], columns=list(table.columns), header=header)
    table = _left_out(path, without, table=table, target=target, notes=notes)
    table = _with_target(table, target=target, notes=notes)
    is_regression = _as_kind(table[target], kind=kind, notes=notes)
    _check_rows(table, path=path, target=target)  # before the classes, none of which is frequent in a few rows
    if not is_regression:
        table = _frequent_classes(table, target=target, notes=notes)
    _check_rows(table, path=path, target=target)
    columns = sorted_columns(table.drop(columns=target), notes=notes)
    table = _sampled(table, target=target if not is_regression else None, notes=notes)
    division = _division(table, target, columns=columns, is_regression=is_regression)
    origin = ("table", str(Path(path).resolve()), target, kind, "header" if header else "", *without)
    return _task(path, target, division=division, notes=notes, origin=origin)


@dataclass(frozen=True, eq=False)
class TableDivision:
    """Splits a table in three, one and one fifth; what scales it is fitted to the training rows of each split.

    Attributes:
        table: the rows, with categorical values as levels.
        answers: the targets: numbers, or classes from 0.
        columns: the columns to learn from.
        levels: the levels of each categorical column.
        is_regression: whether the targets are quantities.
    """

    table: pd.DataFrame
    answers: np.ndarray
    columns: Columns
    levels: Levels
    is_regression: bool

    @property
    def sentence(self) -> str:
        """Which rows a new split draws, and which noise that leaves out."""
        return "Each split draws the training, validation and test rows anew."

    def parts(self, number: int) -> Parts:
        """Return the three parts of this split."""
        from sklearn.model_selection import train_test_split

        strata, chance = None if self.is_regression else self.answers, number % 2**32
        train, rest = train_test_split(
            np.arange(len(self.answers)), train_size=0.6, random_state=chance, stratify=strata
        )
        valid, test = train_test_split(
            rest, train_size=0.5, random_state=chance, stratify=None if strata is None else strata[rest]
        )
        change = transformer(self.columns, self.levels).fit(self.table.iloc[train])
        center, unit = _scale_of(self.answers[train]) if self.is_regression else (0.0, 1.0)

        def part(index: np.ndarray) -> Examples:
            inputs = np.asarray(change.transform(self.table.iloc[index]), dtype=np.float32)
            targets = (self.answers[index] - center) / unit
            kind = torch.float32 if self.is_regression else torch.int64
            return Examples(torch.from_numpy(inputs), torch.tensor(targets, dtype=kind))

        return Parts(train=part(train), valid=part(valid), test=part(test), target_unit=unit)


def _division(table: pd.DataFrame, target: str, *, columns: Columns, is_regression: bool) -> TableDivision:
    answers = table[target].to_numpy(float) if is_regression else table[target].astype("category").cat.codes.to_numpy()
    named, levels = with_named_levels(table, columns)
    return TableDivision(named, answers, columns, levels, is_regression)


def _task(path: str, target: str, *, division: TableDivision, notes: list[str], origin: tuple[str, ...]) -> Task:
    data = divided(division, 0)
    rows, width = data["train"].inputs.shape
    outputs = 1 if division.is_regression else int(division.answers.max()) + 1
    batch = _batch_size(rows)
    columns = division.columns.count
    return Task(
        visible(Path(path).stem),
        partial(mlp, nn.ReLU, sizes=(width, *HIDDEN, outputs)),
        **data,
        kind="regression" if division.is_regression else "classification",
        sentence=visible(
            f"{Path(path).name}: {target} from {columns} columns, on a ReLU network of two hidden layers."
        ),
        epochs=epochs_for(rows, batch=batch, steps=STEPS),
        batch_size=batch,
        rates=(3e-4, 2e-2),
        notes=tuple(map(visible, notes)),
        origin=origin,
    )


def _no_names(path: str, target: str, *, columns: list[str]) -> str:
    """Return the note on a first row that looks like data.

    Raises:
        BadTable: the target is not among its cells, so they cannot be the names that the user knows.
    """
    cells = shortened(", ".join(columns), limit=80)
    if target in columns:
        return f"the first row ({cells}) looks like data, but is read as names; --no-header reads it as data."
    raise BadTable(
        f"'{path}' must start with the names of the columns; got a row that looks like data: {cells}. Add a"
        f" row of names, or --no-header to `actlab advise` (header=False in Python): column_1 to column_{len(columns)}."
    )


def _check_named(path: str, names: Sequence[str], *, columns: list[str], header: bool) -> None:
    for name in names:
        if name not in columns:
            near = get_close_matches(name, columns, n=1, cutoff=0.5) if header else []
            hint = f"Did you mean '{shortened(near[0])}'?" if near else f"It has {_listed(columns, header=header)}."
            raise BadTable(f"'{path}' has no column '{shortened(name)}'. {hint}")


def _listed(columns: list[str], *, header: bool) -> str:
    return shortened(", ".join(columns), limit=120) if header else f"column_1 to column_{len(columns)}"


def _left_out(path: str, without: Sequence[str], *, table: pd.DataFrame, target: str, notes: list[str]) -> pd.DataFrame:
    columns = list(table.columns)
    _check_named(path, without, columns=columns, header=True)
    if target in without:
        raise BadTable(f"the target '{shortened(target)}' cannot be left out; name other columns.")
    if without:
        notes.append(f"left out: {shortened(', '.join(without), limit=200)} (as requested).")
    return table.drop(columns=list(without))


def _with_target(table: pd.DataFrame, *, target: str, notes: list[str]) -> pd.DataFrame:
    missing = table[target].isna()
    if missing.all():
        raise BadTable(f"the target '{target}' must have values; it is missing in every row.")
    if missing.any():
        count = int(missing.sum())
        rows = "1 row without a value" if count == 1 else f"{count:,} rows without a value"
        notes.append(f"{rows} of '{target}' {'is' if count == 1 else 'are'} left out.")
    table = table[~missing].reset_index(drop=True)
    if table[target].nunique() == 1:
        raise BadTable(
            f"the target '{target}' must have two values or more; it is {table[target].iloc[0]!s} in every row."
        )
    return table


def _is_regression(target: pd.Series) -> bool:
    """Return whether a target is a quantity: numbers other than a few distinct integers."""
    if not pd.api.types.is_numeric_dtype(target) or pd.api.types.is_bool_dtype(target):
        return False
    whole = bool((target == target.round()).all())
    return not (whole and target.nunique() <= min(20, max(2, len(target) // 10)))


def _as_kind(target: pd.Series, *, kind: str, notes: list[str]) -> bool:
    """Return whether this is a regression, and note it.

    Raises:
        BadTable: a regression of a target that does not hold numbers.
    """
    is_number = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    if kind == "regression" and not is_number:
        raise BadTable(
            f"the target '{shortened(str(target.name))}' must hold numbers for a regression; got"
            f" '{shortened(str(target.iloc[0]))}'. Leave out the kind, or name another target."
        )
    is_regression = kind == "regression" if kind else _is_regression(target)
    values, found = target.nunique(), "regression" if is_regression else "classification"
    if kind:
        notes.append(f"'{target.name}' has {values} distinct values; this is {found}, as requested.")
        return is_regression
    other = "" if is_regression or not is_number or values == 2 else " (--kind regression predicts the number)"
    notes.append(f"'{target.name}' has {values} distinct values, so this is {found}{other}.")
    return is_regression


def _frequent_classes(table: pd.DataFrame, *, target: str, notes: list[str]) -> pd.DataFrame:
    rows = table[target].value_counts()
    frequent = rows[rows >= MIN_CLASS_ROWS].index
    if len(frequent) < 2 or len(frequent) > MAX_CLASSES:
        raise BadTable(
            f"the target '{target}' must have 2 to {MAX_CLASSES} classes with {MIN_CLASS_ROWS} rows or more; got"
            f" {len(frequent)} such classes of {len(rows)}. A column that identifies rows cannot be the target."
        )
    if len(frequent) == len(rows):
        return table
    kept = table[table[target].isin(frequent)].reset_index(drop=True)
    notes.append(
        f"left out: {_count(len(rows) - len(frequent), 'class', 'classes')} of '{target}' with fewer than"
        f" {MIN_CLASS_ROWS} rows ({_count(len(table) - len(kept), 'row', 'rows')} in all)."
    )
    return kept


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _check_rows(table: pd.DataFrame, *, path: str, target: str) -> None:
    if len(table) < MIN_ROWS:
        raise BadTable(f"'{path}' must have at least {MIN_ROWS} rows with a usable '{target}'; got {len(table)}.")


def _sampled(table: pd.DataFrame, *, target: str | None, notes: list[str]) -> pd.DataFrame:
    if len(table) <= MAX_ROWS:
        return table
    from sklearn.model_selection import train_test_split

    notes.append(f"{MAX_ROWS:,} of {len(table):,} rows are used, drawn at random.")
    strata = None if target is None else table[target]
    kept, _ = train_test_split(np.arange(len(table)), train_size=MAX_ROWS, random_state=0, stratify=strata)
    sample: pd.DataFrame = table.iloc[kept].reset_index(drop=True)
    return sample


def _scale_of(answers: np.ndarray) -> tuple[float, float]:
    """Return mean and deviation of the training targets; a deviation of 0 becomes 1, and Task refuses such targets."""
    return float(answers.mean()), float(answers.std()) or 1.0


def _batch_size(rows: int) -> int:
    """Return about a fiftieth of the number of rows, as a power of two from 16 to 256."""
    return 1 << min(8, max(4, round(math.log2(rows / 50))))
