"""Sites as a table and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from actlab.display.picture import Picture, Series
from actlab.display.table import Table
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import COLUMNS, name_text, site_cells, unseen_text


def site_table(sites: Sequence[Site], unseen: Sequence[Unseen], *, groups: Sequence[str] = ()) -> Table:
    """Return a row for each site, with its group if there are any; what could not be inspected stands below."""
    rows: list[tuple[object, ...]] = [
        (*cells[:-1], int(cells[-1])) for cells in (site_cells(site, root=Path.cwd()) for site in sites)
    ]
    columns: tuple[str, ...] = COLUMNS
    if groups:
        columns = (*COLUMNS, "group")
        rows = [(*row, group) for row, group in zip(rows, groups, strict=True)]
    count = f"{len(sites)} site{'' if len(sites) == 1 else 's'}"
    return Table(count, columns, tuple(rows), tuple(f"Not inspected: {unseen_text(each)}" for each in unseen))


def site_picture(sites: Sequence[Site]) -> Picture | None:
    """Return how many sites each activation has, the most frequent first; None without sites."""
    counts = Counter(site.activation for site in sites).most_common()
    if not counts:
        return None
    return Picture(
        title="Activations of the model",
        series=(Series("", [count for _, count in counts], kind="bar"),),
        y_label="number of sites",
        names=tuple(name_text(name) for name, _ in counts),
    )
