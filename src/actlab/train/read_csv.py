"""A CSV file as a table, whatever its separator and however it writes a missing value."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from actlab.errors import BadTable

MISSING = ("", "?", "-", "NA", "N/A", "n/a", "na", "nan", "NaN", "null", "NULL", "None", "none", "missing")
SEPARATORS = ",;\t|"


def read_csv(path: Path) -> pd.DataFrame:
    """The table in a CSV file; blank cells, '?' and the usual words for it are missing values, and so is infinity.

    Raises:
        BadTable: the file is missing, empty, no text or no table.
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
            f"'{path}' has rows with more cells than its header has names; give every column a name."
        ) from error
    except pd.errors.ParserError as error:
        raise BadTable(f"'{path}' is no table: {' '.join(str(error).split())}") from error
    if len(table) == 0:
        raise BadTable(f"'{path}' has a header but no rows.")
    table.columns = table.columns.astype(str).str.strip()
    return table.map(_without_blanks).replace([float("inf"), float("-inf")], float("nan"))


def _parsed(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    with warnings.catch_warnings():
        # Values that no name belongs to would be dropped with no more than this warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            sep=max(SEPARATORS, key=header.count),
            # Otherwise a surplus cell makes the first one a row label, and every value moves to its neighbour's name.
            index_col=False,
            na_values=list(MISSING),
            keep_default_na=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
            low_memory=False,
        )


def _without_blanks(cell: object) -> object:
    """A cell of text without the blanks around it; missing where nothing else is in it."""
    if not isinstance(cell, str):
        return cell
    stripped = cell.strip()
    return float("nan") if stripped in MISSING else stripped
