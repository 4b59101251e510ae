"""What is usual for hidden and output layers, for reading in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from shutil import get_terminal_size
from textwrap import wrap

from actlab.study.guide import Hint

HEAD = "What is usual, not measured here; the verdict above outranks it:"


def guide_lines(hints: Sequence[Hint], width: int | None = None) -> list[str]:
    """Return the recommendations as plain lines, by default as wide as the terminal; nothing if there are none."""
    if not hints:
        return []
    wide = width or get_terminal_size().columns
    lines = (wrap(hint_sentence(hint), wide, initial_indent="- ", subsequent_indent="  ") for hint in hints)
    return [HEAD, *(line for each in lines for line in each)]


def hint_sentence(hint: Hint) -> str:
    """Return a recommendation with its reason and its source."""
    return f"{_place(hint)}: {hint.activation}, as {hint.reason} ({hint.source})."


def _place(hint: Hint) -> str:
    layers = "hidden layers" if hint.layer == "hidden" else "output layer"
    return f"{layers}{' of' if hint.where.startswith('a ') else ''} {hint.where}"
