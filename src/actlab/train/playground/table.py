"""A table that a user uploads: two of its columns are the plane, a third is the target."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pandas as pd

from actlab.errors import BadTable, shortened
from actlab.train.read_csv import read_csv

MOST_BYTES, MOST_ROWS, MOST_COLUMNS = 4 * 2**20, 50_000, 200


@final
@dataclass(frozen=True, eq=False)
class Table:
    """A table with at least two numeric columns.

    Attributes:
        name: the file's name.
        digest: identifies its content.
        rows: the cells; missing values are NaN.
    """

    name: str
    digest: str
    rows: pd.DataFrame

    @property
    def numeric(self) -> tuple[str, ...]:
        """The names of the columns of numbers."""
        return tuple(name for name in self.rows.columns if is_number(self.rows[name]))

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the columns that can be learned: numbers, or any two values."""
        return tuple(name for name in self.rows.columns if name in self.numeric or self.rows[name].nunique() == 2)


def read_table(content: bytes, *, name: str) -> Table:
    """Read an uploaded CSV file.

    Raises:
        BadTable: it is too large, cannot be read, or has fewer than two numeric columns.
    """
    name = re.sub(r"[^\w. -]", "_", Path(name).name)[:80] or "table.csv"
    if len(content) > MOST_BYTES:
        raise BadTable(f"'{name}' must have {MOST_BYTES // 2**20} MiB at most; got {len(content) / 2**20:.1f} MiB.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            rows = read_csv(path)
        except BadTable as error:
            raise BadTable(str(error).replace(str(path), name)) from error
    if len(rows) > MOST_ROWS or rows.shape[1] > MOST_COLUMNS:
        raise BadTable(
            f"'{name}' must have {MOST_ROWS:,} rows and {MOST_COLUMNS} columns at most; "
            f"got {len(rows):,} rows and {rows.shape[1]:,} columns."
        )
    found = Table(name, hashlib.sha256(content).hexdigest()[:16], rows)
    if len(found.numeric) < 2:
        got = ", ".join(found.numeric) or "none"
        raise BadTable(f"'{name}' must have two columns of numbers for the plane; got {shortened(got)}.")
    if len(found.targets) < 3:
        raise BadTable(
            f"'{name}' must have a third column to learn, of numbers or of two values; "
            f"got {shortened(', '.join(map(str, rows.columns)), limit=120)}."
        )
    return found


def is_number(column: pd.Series) -> bool:
    """Return whether a column holds numbers."""
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))
