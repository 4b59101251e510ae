"""A table of plain values, as HTML and as a data frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from pandas import DataFrame

# Not allowed in HTML or UTF-8: controls other than tab and line feed, and lone surrogates.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_MOST_ROWS = 200
"""Rows shown in HTML; the data frame has all."""

_CELL = "text-align:{};padding:2px 10px 2px 0;vertical-align:top;white-space:pre-wrap"


@final
@dataclass(frozen=True)
class Table:
    """A table of plain values.

    Attributes:
        title: the line above it.
        columns: the headings.
        rows: one value for each column: text, numbers, booleans or None.
        notes: lines below it.

    Example:
        >>> table = Table("gains", ("name", "gain"), (("relu", 1.41421356),))
        >>> table.to_frame()["gain"].tolist(), "1.414" in table.html()
        ([1.41421356], True)
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()

    def to_frame(self) -> DataFrame:
        """Return the rows as a pandas data frame, numbers as numbers."""
        import pandas as pd

        return pd.DataFrame([*self.rows], columns=[*self.columns])

    def html(self) -> str:
        """Return the table as HTML, which loads nothing and runs no script; long tables are cut and say so."""
        head = "".join(f'<th style="{_CELL.format(_side(self.rows, at))}">{_text(name)}</th>' for at, name in
                       enumerate(self.columns))  # fmt: skip
        body = "".join(self._row(row) for row in self.rows[:_MOST_ROWS])
        left = len(self.rows) - _MOST_ROWS
        notes = [*self.notes, *([f"… and {left} more rows; to_frame() has them all."] if left > 0 else [])]
        below = "".join(f"<p>{_text(note)}</p>" for note in notes)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if self.rows else ""
        return f"<div><p><b>{_text(self.title)}</b></p>{table}{below}</div>"

    def _row(self, row: tuple[Any, ...]) -> str:
        cells = (
            f'<td style="{_CELL.format(_side(self.rows, at))}">{_text(value)}</td>' for at, value in enumerate(row)
        )
        return f"<tr>{''.join(cells)}</tr>"


def of_records(title: str, records: Iterable[Mapping[str, Any]], *, notes: tuple[str, ...] = ()) -> Table:
    """Return a table of objects that share their keys; nested objects become columns `outer.inner`.

    Example:
        >>> of_records("", [{"name": "a", "at": {"x": 1}}]).columns
        ('name', 'at.x')
    """
    flat = [dict(_flat(record)) for record in records]
    columns = tuple(dict.fromkeys(name for record in flat for name in record))
    return Table(title, columns, tuple(tuple(record.get(name) for name in columns) for record in flat), notes)


def of_facts(title: str, facts: Mapping[str, Any]) -> Table:
    """Return a table of two columns, a row for each fact that is known.

    Example:
        >>> of_facts("relu", {"range": {"lower": 0.0}, "kinks": []}).rows
        (('range.lower', 0.0),)
    """
    known = tuple((name, value) for name, value in _flat(facts) if value not in (None, "", "[]"))
    return Table(title, ("fact", "value"), known)


def _flat(record: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, list | tuple | Mapping):
            yield f"{before}{name}", "; ".join(map(_listed, value)) if value else None
        else:
            yield f"{before}{name}", value


def _listed(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in _flat(value) if each is not None)
    return _plain(value)


def _side(rows: tuple[tuple[Any, ...], ...], at: int) -> str:
    values = [row[at] for row in rows if row[at] is not None]
    return "right" if values and all(isinstance(value, int | float) for value in values) else "left"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(value: Any) -> str:
    return escape(_UNFIT.sub("\ufffd", _plain(value)))
