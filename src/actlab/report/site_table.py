"""Sites for reading in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import get_terminal_size

from actlab.report.folding import FEW, folded_unseen, grouped, places_text, without_numbers
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import COLUMNS, end_text, name_text, site_cells, unseen_text

WIDEST = (34, 30, 34, 44, 20, 10, 6)


def site_lines(sites: Sequence[Site], unseen: Sequence[Unseen], *, root: Path, width: int | None = None) -> list[str]:
    """Return one line for each group of sites that differ only in numbers of their place.

    In a narrow terminal the last columns are hidden, and a line below names them.
    """
    wide = width or get_terminal_size().columns
    rows = [
        COLUMNS,
        *(_cut(place, count=count, rest=rest) for place, count, rest in site_rows(sites, root=root)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    shown = len(COLUMNS)
    while shown > 4 and sum(widths[:shown]) + 2 * (shown - 1) > wide:
        shown -= 1
    lines = [
        "  ".join(cell.ljust(wanted) for cell, wanted in zip(row[:shown], widths, strict=False)).rstrip()
        for row in rows
    ]
    hidden = [f"Columns hidden in this width: {', '.join(COLUMNS[shown:])}."] * (shown < len(COLUMNS))
    missing = [f"  {unseen_text(one.first, place=one.places)}" for one in folded_unseen(unseen)]
    not_inspected = ["", "Not inspected:", *missing] if missing else []
    if not sites:
        return ["No activation was found.", *not_inspected]
    return [*lines, *hidden, *not_inspected, "", f"{len(sites)} site{'' if len(sites) == 1 else 's'}."]


def site_rows(sites: Sequence[Site], *, root: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return place, count and the other cells of sites; many that differ only in numbers of their place are one row.

    The count is a text that follows the place, empty for a single site.
    """
    every = [site_cells(site, root=root) for site in sites]
    rows: list[tuple[str, str, tuple[str, ...]]] = []
    for alike in grouped(every, key=lambda cells: (without_numbers(cells[0]), cells[1:])):
        if len(alike) <= FEW:
            rows += [(place, "", tuple(rest)) for place, *rest in alike]
        else:
            place, comma, count = places_text([cells[0] for cells in alike]).rpartition(", ")
            rows.append((place, comma + count, alike[0][1:]))
    return rows


def _cut(place: str, *, count: str, rest: Sequence[str]) -> tuple[str, ...]:
    """Cut the cells to their widest; the count is never cut."""
    cuts: tuple[Callable[[str, int], str], ...] = (name_text, name_text, end_text, *[name_text] * 3)
    cells = (cut(cell, limit) for cut, cell, limit in zip(cuts, rest, WIDEST[1:], strict=True))
    return end_text(place, WIDEST[0]) + count, *cells
