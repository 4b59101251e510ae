"""Sites for reading in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import get_terminal_size

from actlab.report.folding import FEW, folded_unseen, grouped, places_text, without_numbers
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import COLUMNS, end_text, name_text, site_cells, unseen_text

WIDEST = (34, 30, 34, 44, 20, 10, 6)
GROUP_WIDTH = 6


def site_lines(
    sites: Sequence[Site],
    unseen: Sequence[Unseen],
    *,
    root: Path,
    width: int | None = None,
    groups: Sequence[str] = (),
) -> list[str]:
    """Return one line for sites that differ only in numbers of their place, with their groups if there are any.

    In a narrow terminal the last columns are hidden, and a line below names them.
    """
    wide = width or get_terminal_size().columns
    columns = (*COLUMNS[:2], "group", *COLUMNS[2:]) if groups else COLUMNS
    rows = [
        columns,
        *(_cut(place, count=count, rest=rest) for place, count, rest in site_rows(sites, root=root, groups=groups)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    shown = len(columns)
    while shown > 4 and sum(widths[:shown]) + 2 * (shown - 1) > wide:
        shown -= 1
    lines = [
        "  ".join(cell.ljust(wanted) for cell, wanted in zip(row[:shown], widths, strict=False)).rstrip()
        for row in rows
    ]
    hidden = [f"Columns hidden in this width: {', '.join(columns[shown:])}."] * (shown < len(columns))
    missing = [f"  {unseen_text(one.first, place=one.places)}" for one in folded_unseen(unseen)]
    not_inspected = ["", "Not inspected:", *missing] if missing else []
    if not sites:
        return ["No activation was found.", *not_inspected]
    return [*lines, *hidden, *not_inspected, "", f"{len(sites)} site{'' if len(sites) == 1 else 's'}."]


def site_rows(
    sites: Sequence[Site], *, root: Path, groups: Sequence[str] = ()
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return place, count and the other cells of sites; many that differ only in numbers of their place are one row.

    The count is a text that follows the place, empty for a single site.
    """
    every = [site_cells(site, root=root) for site in sites]
    if groups:
        every = [(*cells[:2], group, *cells[2:]) for cells, group in zip(every, groups, strict=True)]
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
    cuts: list[tuple[Callable[[str, int], str], int]] = list(
        zip((name_text, name_text, end_text, *[name_text] * 3), WIDEST[1:], strict=True)
    )
    if len(rest) > len(cuts):
        cuts.insert(1, (name_text, GROUP_WIDTH))
    cells = (cut(cell, limit) for (cut, limit), cell in zip(cuts, rest, strict=True))
    return end_text(place, WIDEST[0]) + count, *cells
