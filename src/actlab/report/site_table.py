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
    alike = grouped(
        (site_cells(site, root=root) for site in sites), key=lambda cells: (without_numbers(cells[0]), cells[1:])
    )
    rows = [COLUMNS, *(row for group in alike for row in _rows(group))]
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
    not_analyzed = ["", "Not analyzed:", *missing] if missing else []
    if not sites:
        return ["No activation was found.", *not_analyzed]
    return [*lines, *hidden, *not_analyzed, "", f"{len(sites)} site{'' if len(sites) == 1 else 's'}."]


def _rows(alike: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return one row for many alike sites, and a row each for a few."""
    if len(alike) <= FEW:
        return [_cut((end_text(place, WIDEST[0]), *rest)) for place, *rest in alike]
    places, comma, count = places_text([cells[0] for cells in alike]).rpartition(", ")
    return [_cut((end_text(places, WIDEST[0]) + comma + count, *alike[0][1:]))]


def _cut(cells: tuple[str, ...]) -> tuple[str, ...]:
    cuts: tuple[Callable[[str, int], str], ...] = (name_text, name_text, end_text, *[name_text] * 3)
    return cells[0], *(cut(cell, limit) for cut, cell, limit in zip(cuts, cells[1:], WIDEST[1:], strict=True))
