"""Speeds as tables for the terminal: one per tensor, in units of its copy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from actlab.measure.speed.timing import Speed

_WIDTH = 12


def lines(rows: Sequence[Speed]) -> list[str]:
    """Write one table for each dtype, size and number of threads, in their order of appearance."""
    tables: dict[tuple[str, int, int], list[Speed]] = {}
    for row in rows:
        tables.setdefault((row.dtype, row.elements, row.threads), []).append(row)
    found = [line for table in tables.values() for line in ["", *_table(table)]]
    unsteady = ["", "* the copy was unsteady: other programs kept the machine busy"] if _doubted(rows) else []
    return found[1:] + unsteady


def _table(rows: Sequence[Speed]) -> list[str]:
    one = rows[0]
    contenders = list(dict.fromkeys(row.contender for row in rows))
    others = [name for name in contenders if not name.startswith("actlab")]
    width = max(len(row.name) for row in rows)
    heads = [*contenders, *(f"vs {name}" for name in others)]
    threads = "1 thread" if one.threads == 1 else f"{one.threads} threads"
    return [
        f"{one.dtype}, {one.elements:,} elements, {threads}; times in copies of the input, then theirs / ours",
        f"{'':<{width}}  {'':<8}" + "".join(f"{head:>{_WIDTH}}" for head in heads),
        *(
            f"{name:<{width}}  {direction:<8}" + _cells(list(group), contenders, others)
            for (name, direction), group in groupby(_ordered(rows), key=lambda row: (row.name, row.direction))
        ),
    ]


def _ordered(rows: Sequence[Speed]) -> list[Speed]:
    """Group the rows of one function and direction."""
    places = {key: at for at, key in enumerate(dict.fromkeys((row.name, row.direction) for row in rows))}
    return sorted(rows, key=lambda row: places[row.name, row.direction])


def _cells(rows: Sequence[Speed], contenders: Sequence[str], others: Sequence[str]) -> str:
    by_name = {row.contender: row for row in rows}
    cells = [_copies(by_name.get(name)) for name in contenders]
    ours = next((by_name[name] for name in contenders if name.startswith("actlab") and name in by_name), None)
    cells += [_ratio(ours, by_name.get(name)) for name in others]
    return "".join(f"{cell:>{_WIDTH}}" for cell in cells)


def _copies(row: Speed | None) -> str:
    return "" if row is None else f"{row.in_copies:.2f}{'' if row.reported else '*'}"


def _ratio(ours: Speed | None, theirs: Speed | None) -> str:
    return "" if ours is None or theirs is None else f"{theirs.seconds.median / ours.seconds.median:.2f}"


def _doubted(rows: Sequence[Speed]) -> bool:
    return not all(row.reported for row in rows)
