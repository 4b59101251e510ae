"""The measured numbers that the lessons on training quote, with intervals, from studies and benchmarks."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from actlab.errors import BadInput
from actlab.lessons.measured import measured

FILE = Path(__file__).with_name("benchmarks.csv")

# The tables of the studies: their page, and their number on it.
STUDIES = {
    "depth": ("depth", 1),
    "depth-gradient": ("depth", 2),
    "smooth-inputs": ("smooth", 1),
    "smooth-labels": ("smooth", 2),
    "smooth-verdicts": ("smooth", 3),
    "gated-sizes": ("shakespeare", 1),
    "gated": ("shakespeare", 2),
    "adult": ("adult", 1),
    "places": ("transfer", 1),
    "dead-sgd": ("dead-relu", 1),
    "dead-momentum": ("dead-relu", 2),
    "dead-adam": ("dead-relu", 3),
}
_NUMBER = re.compile(
    r"(?P<value>[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)(?: \((?P<low>[-+.\d]+) to (?P<high>[-+.\d]+)\))?"
)
_SHORT = {"difference-from-the-control": "difference", "p-Holm": "p", "units-of-a-feed-forward-network": "units"}


def number(table: str, row: str | float, column: str | float, end: str = "value") -> float:
    """Return a measured number, or an end of its 95 % interval.

    Args:
        table: a study's or a benchmark's table.
        row: its row, as the table or `slug` writes it.
        column: its column, likewise.
        end: value, low or high.

    Raises:
        BadInput: there is no such number.

    Example:
        >>> number("depth", 4, "sigmoid"), number("depth", 4, "sigmoid", "high")
        (10.4, 10.8)
    """
    key = (table, _name(row), _name(column))
    text = numbers().get(key, {}).get(end)
    if not text:
        raise BadInput(f"no number '{end}' was measured for {' '.join(key)}.")
    return float(text.replace(",", ""))


@cache
def numbers() -> Mapping[tuple[str, str, str], Mapping[str, str | None]]:
    """Return every number with its interval, by table, row and column."""
    rows = csv.DictReader(FILE.read_text(encoding="utf-8").splitlines())
    found: dict[tuple[str, str, str], Mapping[str, str | None]] = {
        (row["table"], row["row"], row["column"]): row for row in rows
    }
    for name, (page, place) in STUDIES.items():
        head, *cells = measured()["studies"][page][place - 1]
        for row in cells:
            for column, cell in zip(head[1:], row[1:], strict=True):
                text = _NUMBER.fullmatch(cell)
                if text is not None:
                    found[name, slug(row[0]), slug(column)] = text.groupdict()
    return found


def slug(text: str) -> str:
    """Return the name of a row or column as one word.

    Example:
        >>> slug("20% wrong labels"), slug("relu (kink)"), slug("sigmoid@norm=batch")
        ('20-wrong-labels', 'relu', 'sigmoid-norm-batch')
    """
    name = re.sub(r"[\s,:%@=]+", "-", re.sub(r" \(.*\)", "", text)).strip("-")
    return _SHORT.get(name, name)


def _name(key: str | float) -> str:
    return slug(key) if isinstance(key, str) else f"{key:g}"
