"""Sites for reading in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import get_terminal_size

from actlab.report.finding_text import end_text, shown_path, unseen_text
from actlab.report.wording import name_text
from actlab.sites.site import Site, Unseen

HEADINGS = ("place", "activation", "spelling", "file:line", "input", "dtype", "calls")
WIDEST = (34, 30, 34, 44, 20, 10, 6)


def site_lines(sites: Sequence[Site], unseen: Sequence[Unseen], *, root: Path, width: int | None = None) -> list[str]:
    """One line a site; in a narrow terminal the last columns are left out, and that is said."""
    wide = width or get_terminal_size().columns
    cells = [HEADINGS, *(_cells(site, root=root) for site in sites)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    shown = len(HEADINGS)
    while shown > 4 and sum(widths[:shown]) + 2 * (shown - 1) > wide:
        shown -= 1
    rows = [
        "  ".join(cell.ljust(wanted) for cell, wanted in zip(row[:shown], widths, strict=False)).rstrip()
        for row in cells
    ]
    left_out = [f"Not shown for want of room: {', '.join(HEADINGS[shown:])}."] * (shown < len(HEADINGS))
    not_seen = ["", "Not seen:", *(f"  {unseen_text(one)}" for one in unseen)] if unseen else []
    if not sites:
        return ["No activation was seen.", *not_seen]
    return [*rows, *left_out, *not_seen, "", f"{len(sites)} site{'' if len(sites) == 1 else 's'}."]


def _cells(site: Site, *, root: Path) -> tuple[str, ...]:
    shape = "x".join(map(str, site.shape))
    place = f"{shown_path(site.file, root=root)}:{site.line}"
    cells = (site.name, _activation(site), site.spelling, place, shape, site.dtype, str(site.calls))
    cuts: tuple[Callable[[str, int], str], ...] = (end_text, name_text, name_text, end_text, *[name_text] * 3)
    return tuple(cut(cell, limit) for cut, cell, limit in zip(cuts, cells, WIDEST, strict=True))


def _activation(site: Site) -> str:
    """The activation, with its parameters where it has any."""
    shown = (
        f"{name}={value:g}" if isinstance(value, int | float) else f"{name}=…"
        for name, value in site.parameters.items()
    )
    values = ", ".join(shown)
    return f"{site.activation}({values})" if values else site.activation
