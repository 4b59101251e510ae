"""What the lessons quote from the studies and the benchmarks, stored in the package."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from actlab.errors import BadInput

FILE = Path(__file__).parent / "measured.json"

_NUMBER = re.compile(r"[-−+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")


@lru_cache(maxsize=1)
def measured() -> dict[str, Any]:
    """Return the content of the file that `generate` writes."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def cell(study: str, table: int, row: str, column: str) -> str:
    """Return one cell of a study's tables.

    Args:
        study: the name of its page in docs/studies.
        table: the number of the table on the page, from 1 on.
        row: the first cell of the row.
        column: the head of the column.

    Raises:
        BadInput: there is no such cell.
    """
    tables = measured()["studies"].get(study, [])
    if not 1 <= table <= len(tables):
        raise BadInput(f"the study '{study}' has {len(tables)} tables; got table {table}.")
    columns, *others = tables[table - 1]
    found = [cells for cells in others if cells[0] == row]
    if column not in columns or len(found) != 1:
        raise BadInput(f"table {table} of the study '{study}' has no cell in row '{row}' and column '{column}'.")
    text: str = found[0][columns.index(column)]
    return text


def head(study: str, table: int) -> list[str]:
    """Return the heads of the columns of a study's table, from 1 on."""
    found: list[str] = measured()["studies"][study][table - 1][0]
    return found


def rows(study: str, table: int) -> list[str]:
    """Return the first cell of each row of a study's table, from 1 on."""
    return [cells[0] for cells in measured()["studies"][study][table - 1][1:]]


def leading_number(text: str) -> float:
    """Return the number that a cell begins with.

    Raises:
        BadInput: it begins with none.
    """
    found = _NUMBER.match(text)
    if found is None:
        raise BadInput(f"the cell '{text}' does not begin with a number.")
    return float(found[0].replace(",", "").replace("−", "-"))


def seconds(name: str, direction: str, contender: str) -> float:
    """Return the median time of an activation over a million float32 values.

    Args:
        name: an activation.
        direction: forward, backward or both.
        contender: eager (PyTorch's own), compile, actlab or actlab-fast.

    Raises:
        BadInput: no such row was measured.
    """
    try:
        return float(measured()["speed"]["seconds"][name][contender][direction])
    except KeyError as error:
        raise BadInput(f"no time was measured for {name}, {contender}, {direction}.") from error
