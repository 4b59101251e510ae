"""Read a CSV file with any common separator and any common mark for a missing value."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from actlab.errors import BadTable

MISSING = ("", "?", "-", "NA", "N/A", "n/a", "na", "nan", "NaN", "null", "NULL", "None", "none", "missing")
SEPARATORS = ",;\t|"


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file; blank cells, '?', the usual words and infinite numbers become missing values.

    Raises:
        BadTable: the file is missing or empty, or cannot be parsed.
    """
    if not path.is_file():
        raise BadTable(f"there is no file '{path}'; give the path of a CSV file.")
    try:
        table = _parsed(path)
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
    except pd.errors.ParserError as error:
        raise BadTable(f"cannot parse '{path}' as CSV: {' '.join(str(error).split())}") from error
    if len(table) == 0:
        raise BadTable(f"'{path}' must have rows; got a header only.")
    table.columns = table.columns.astype(str).str.strip()
    return table.map(_without_blanks).replace([float("inf"), float("-inf")], float("nan"))


def _parsed(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    with warnings.catch_warnings():
        # Otherwise values without a column name would be dropped with only this warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            sep=max(SEPARATORS, key=header.count),
            # Otherwise a surplus cell turns the first into a row label, and every value moves to the next column.
            index_col=False,
            na_values=list(MISSING),
            keep_default_na=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
            low_memory=False,
        )


def _without_blanks(cell: object) -> object:
    """Strip the blanks around a text cell; an empty one is missing."""
    if not isinstance(cell, str):
        return cell
    stripped = cell.strip()
    return float("nan") if stripped in MISSING else stripped
