"""Tables of aligned columns for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """Pad the cells of each column to one width and join each row to a line.

    Args:
        rows: the cells, the heading's first.
        right: the columns whose cells are aligned to the right.

    Example:
        >>> aligned([("at", "bytes"), ("relu", "8")], right={1})
        ['at    bytes', 'relu      8']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(cell, widths[at], at in right) for at, cell in enumerate(row)).rstrip() for row in rows]


def _padded(cell: str, width: int, is_right: bool) -> str:
    return cell.rjust(width) if is_right else cell.ljust(width)
