"""Make a task from a table: a CSV file with a target column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from actlab.errors import BadTable, shortened
from actlab.train.columns import Columns, Levels, sorted_columns, transformer, with_named_levels
from actlab.train.examples import Examples
from actlab.train.mlp import mlp
from actlab.train.read_csv import read_csv
from actlab.train.split import Parts, divided
from actlab.train.task import Task

MIN_ROWS = 50
"""Fewer rows leave fewer than ten for the test part."""

MAX_ROWS = 40_000
"""Of more rows, a sample of this many is used, so that a comparison takes minutes."""

MIN_CLASS_ROWS = 5
"""A class with fewer rows cannot be in all three parts."""

MAX_CLASSES = 50
STEPS = 900
"""The number of epochs is chosen for about this many training steps per trial."""

HIDDEN = (64, 64)


def table_task(path: str, *, target: str) -> Task:
    """Make the task of predicting one column of a CSV file from the others.

    A target of text, booleans or a few distinct integers is a classification, one of other numbers a regression. Rows
    without a target are dropped; missing inputs are filled in. The task's `notes` list these choices.

    Raises:
        BadTable: the file cannot be read, or no task can be made of it.
    """
    table = read_csv(Path(path))
    notes: list[str] = []
    if target not in table.columns:
        raise BadTable(_no_target(path, target, columns=list(table.columns)))
    table = _with_target(table, target=target, notes=notes)
    is_regression = _is_regression(table[target])
    notes.append(_kind_note(table[target], is_regression=is_regression))
    _check_rows(table, path=path, target=target)  # before the classes, none of which is frequent in a few rows
    if not is_regression:
        table = _frequent_classes(table, target=target, notes=notes)
    _check_rows(table, path=path, target=target)
    columns = sorted_columns(table.drop(columns=target), notes=notes)
    table = _sampled(table, target=target if not is_regression else None, notes=notes)
    division = _division(table, target, columns=columns, is_regression=is_regression)
    return _task(path, target, division=division, notes=notes)


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


def _task(path: str, target: str, *, division: TableDivision, notes: list[str]) -> Task:
    data = divided(division, 0)
    rows, width = data["train"].inputs.shape
    outputs = 1 if division.is_regression else int(division.answers.max()) + 1
    batch = _batch_size(rows)
    columns = division.columns.count
    return Task(
        Path(path).stem,
        partial(mlp, nn.ReLU, sizes=(width, *HIDDEN, outputs)),
        **data,
        kind="regression" if division.is_regression else "classification",
        sentence=f"{Path(path).name}: {target} from {columns} columns, on a ReLU network of two hidden layers.",
        epochs=max(5, min(60, STEPS * batch // rows)),
        batch_size=batch,
        rates=(3e-4, 2e-2),
        notes=tuple(notes),
        origin=("table", str(Path(path).resolve()), target),
    )


def _no_target(path: str, target: str, *, columns: list[str]) -> str:
    near = get_close_matches(target, columns, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'?" if near else f"It has {shortened(', '.join(columns), limit=120)}."
    return f"'{path}' has no column '{shortened(target)}'. {hint}"


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


def _kind_note(target: pd.Series, *, is_regression: bool) -> str:
    values = target.nunique()
    if is_regression:
        return f"'{target.name}' has {values} distinct values, so this is regression."
    return f"'{target.name}' has {values} distinct values, so this is classification."


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
