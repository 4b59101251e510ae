"""Read a CSV file with any common separator and any common mark for a missing value."""

from __future__ import annotations

import csv
import warnings
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pandas as pd

from actlab.errors import BadTable, shortened

MISSING = ("", "?", "-", "NA", "N/A", "n/a", "na", "nan", "NaN", "null", "NULL", "None", "none", "missing")
OTHER_FORMATS = (".parquet", ".feather", ".xlsx", ".xls", ".ods", ".arff", ".pkl", ".pickle", ".h5", ".zip")
SEPARATORS = ",;\t|"


def read_csv(path: Path, *, header: bool = True) -> pd.DataFrame:
    """Read a CSV file; blank cells, '?', the usual words and infinite numbers become missing values.

    Args:
        path: the file.
        header: whether the first row holds the names of the columns; otherwise they are column_1, column_2 and so on.

    Raises:
        BadTable: the file is missing or empty, or cannot be parsed.
    """
    if not path.is_file():
        raise BadTable(f"there is no file '{path}'; give the path of a CSV file.")
    if path.suffix.lower() in OTHER_FORMATS:
        raise BadTable(f"'{path}' must be a CSV file; got one of the kind {path.suffix}. Save it as UTF-8 CSV.")
    try:
        table = _parsed(path, header=header)
    except UnicodeDecodeError as error:
        raise BadTable(
            f"'{path}' is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8 CSV."
        ) from error
    except pd.errors.EmptyDataError as error:
        raise BadTable(f"'{path}' is empty; give a CSV file with a header row.") from error
    except pd.errors.ParserWarning as error:
        raise BadTable(
            f"'{path}' must have a name for every column; got rows with more cells than the header has names."
        ) from error
    except (pd.errors.ParserError, csv.Error, OverflowError) as error:
        raise BadTable(f"cannot parse '{path}' as CSV: {shortened(str(error), limit=160)}") from error
    except OSError as error:
        raise BadTable(f"cannot read '{path}': {error.strerror}.") from error
    if len(table) == 0:
        raise BadTable(f"'{path}' must have rows; got a header only.")
    table.columns = _names(table, header=header)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise BadTable(f"'{path}' must have a different name for every column; got '{shortened(twice[0])}' twice.")
    return table.map(_without_blanks).replace([float("inf"), float("-inf")], float("nan"))


def first_row(path: Path) -> list[str]:
    """Return the cells of the first row of a file that `read_csv` can read."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline()
        file.seek(0)
        with suppress(csv.Error):  # cells longer than the csv module reads
            return [
                cell.strip() for cell in next(csv.reader(file, delimiter=_separator(line), skipinitialspace=True), [])
            ]
    return []


def looks_like_data(first: list[str], table: pd.DataFrame) -> bool:
    """Return whether a row that was read as the names of a table looks like one more row of data.

    Each column of numbers then starts with a number, and a column of text with a text that occurs in it again. Numbers
    in order, such as 0, 1, 2 or 2019, 2020, are names.

    Example:
        >>> table = pd.DataFrame({"5.1": [4.9, 4.7], "0.2": [0.4, 0.2], "setosa": ["setosa", "other"]})
        >>> looks_like_data(["5.1", "0.2", "setosa"], table), looks_like_data(["a", "b", "kind"], table)
        (True, False)
    """
    if len(first) != table.shape[1]:
        return False
    columns = [table.iloc[:, place] for place in range(table.shape[1])]
    is_number = [pd.api.types.is_numeric_dtype(each) and not pd.api.types.is_bool_dtype(each) for each in columns]
    numbers = [_number(cell) for cell, number in zip(first, is_number, strict=True) if number]
    texts = [(cell, column) for cell, column, number in zip(first, columns, is_number, strict=True) if not number]
    if any(each is None for each in numbers) or (len(numbers) > 1 and _are_in_order([each or 0.0 for each in numbers])):
        return False
    again = [cell in set(column.dropna()) for cell, column in texts]
    return any(again) if numbers and texts else all(again) and len(first) > 1


def _number(cell: str) -> float | None:
    """Return the number that a cell holds, NaN for a missing value, or None for a text."""
    try:
        return float(cell)
    except ValueError:
        return float("nan") if cell in MISSING else None


def _are_in_order(numbers: list[float]) -> bool:
    return all(after == before + 1 for before, after in pairwise(numbers))


def _names(table: pd.DataFrame, *, header: bool) -> pd.Index:
    if header:
        return table.columns.astype(str).str.strip()
    return pd.Index([f"column_{number}" for number in range(1, table.shape[1] + 1)])


def _parsed(path: Path, *, header: bool) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        separator = _separator(file.readline())
    with warnings.catch_warnings():
        # Otherwise values without a column name would be dropped with only this warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            sep=separator,
            header=0 if header else None,
            # Otherwise a surplus cell turns the first into a row label, and every value moves to the next column.
            index_col=False,
            na_values=list(MISSING),
            keep_default_na=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
            low_memory=False,
        )


def _separator(line: str) -> str:
    return max(SEPARATORS, key=line.count)


def _without_blanks(cell: object) -> object:
    """Strip the blanks around a text cell; an empty one is missing."""
    if not isinstance(cell, str):
        return cell
    stripped = cell.strip()
    return float("nan") if stripped in MISSING else stripped
