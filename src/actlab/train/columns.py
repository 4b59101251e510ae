"""Choose the columns of a table to learn from, and convert them to numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from actlab.errors import BadTable, shortened

MAX_LEVELS = 20
"""Levels of a categorical column with one input each; rarer levels share one."""

SHARE_OF_NAMES = 0.5
"""A text column with more distinct values than this share of the rows is an identifier."""

FEWEST_NUMBERED = 20
"""In fewer rows, integers may all differ by chance."""

LARGEST_GAP = 1.05
"""Identifiers in any order leave out at most this share, as after rows have been dropped."""

_IDENTIFIER = re.compile(r"(?i:(.*[_\s.-])?(id|index|idx|row|unnamed: ?\d+)|row[_\s]?(id|no|num|number|nr)?)|.*[a-z]ID")


@dataclass(frozen=True)
class Columns:
    """The columns to learn from."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of columns."""
        return len(self.numeric) + len(self.categorical)


def sorted_columns(table: pd.DataFrame, *, notes: list[str]) -> Columns:
    """Return the numeric and the categorical columns; append to `notes` which are left out, and why.

    Raises:
        BadTable: no column is left.
    """
    left_out = {name: fault for name in table.columns if (fault := _fault(table[name]))}
    for fault in dict.fromkeys(left_out.values()):
        names = [name for name, reason in left_out.items() if reason == fault]
        notes.append(f"left out: {shortened(', '.join(names), limit=200)} ({fault}).")
    kept = [name for name in table.columns if name not in left_out]
    if not kept:
        found = "; ".join(f"{name}: {fault}" for name, fault in left_out.items()) or "it has no other column"
        raise BadTable(
            f"the table must have a column to learn from; got none that can be used ({shortened(found, limit=200)})."
        )
    missing = int(table[kept].isna().any(axis=1).sum())
    if missing:
        rows = "1 row has" if missing == 1 else f"{missing:,} rows have"
        notes.append(f"{rows} missing values: filled with the column's median, or treated as a level of their own.")
    numeric = tuple(name for name in kept if _is_number(table[name]))
    return Columns(numeric, tuple(name for name in kept if name not in numeric))


def transformer(columns: Columns, levels: Levels) -> Any:
    """Return an unfitted scikit-learn transformer that converts these columns to numbers, always as many."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    # A column that is missing in the whole training part becomes zeros, so that all parts have one shape.
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    one_hot = OneHotEncoder(categories=[levels[name] for name in columns.categorical], sparse_output=False)
    return ColumnTransformer(
        [("numeric", numbers, list(columns.numeric)), ("categorical", one_hot, list(columns.categorical))]
    )


Levels = dict[str, list[str]]
"""The levels of each categorical column, one input each."""


def with_named_levels(table: pd.DataFrame, columns: Columns) -> tuple[pd.DataFrame, Levels]:
    """Convert every categorical value to text, and return the levels, which are the same for every split.

    A missing value becomes the level "(missing)"; beyond `MAX_LEVELS`, the rarest levels become "(other)".
    """
    texts = {name: table[name].map(str).where(table[name].notna(), "(missing)") for name in columns.categorical}
    for name, column in texts.items():
        counts = column.value_counts()
        if len(counts) > MAX_LEVELS:
            # Equally frequent levels in alphabetical order, so that the order of the rows does not matter.
            frequent = sorted(counts.index, key=lambda level: (-counts[level], level))[: MAX_LEVELS - 1]
            texts[name] = column.where(column.isin(frequent), "(other)")
    return table.assign(**texts), {name: sorted(set(column)) for name, column in texts.items()}


def _fault(column: pd.Series) -> str:
    """Return why a column cannot be learned from, or an empty text."""
    if column.isna().all():
        return "missing in every row"
    values = column.nunique()
    if values == 1 and not column.isna().any():
        return "the same in every row"
    if not _is_number(column) and values > max(MAX_LEVELS, SHARE_OF_NAMES * len(column)):
        return "text that differs from row to row"
    if _is_number(column) and _numbers_rows(column):
        return "integers that only number the rows"
    return ""


def _numbers_rows(column: pd.Series) -> bool:
    """Return whether a column holds another integer in each row, with hardly a gap, or is named as an identifier."""
    values = column.to_numpy(float)
    if len(values) < FEWEST_NUMBERED or not ((values == values.round()).all() and column.is_unique):
        return False
    is_named = _IDENTIFIER.fullmatch(str(column.name).strip()) is not None
    span = values.max() - values.min() + 1
    in_order = column.is_monotonic_increasing or column.is_monotonic_decreasing
    return bool(is_named or span <= LARGEST_GAP * len(values) or (in_order and span <= 2 * len(values)))


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
