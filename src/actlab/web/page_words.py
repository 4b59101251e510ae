"""Sentences about a plan in the words of the page Compare, where the command line says which option to give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_WORDS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r" \(--seeds (\d+)\)", r" (enter \1 under Seeds)"),
        (r" \(--init [\w-]+\)", ""),
        (r"Pass --seeds (\d+) or more", r"Enter \1 seeds or more"),
        (r"Continue it with --resume", "Continue it here"),
        (r"Name one with --against", "Name one under Control"),
        (r"; not the number of seeds \(--seeds\)", ""),
        (r" \(--kind regression predicts the number\)", ""),
        (r"Run without --resume to start anew", "Start it anew with the form"),
        (r"Resume with the settings of the first run, or run without --resume", "Start it anew with the form"),
    )
)


def in_page_words(value: Any) -> Any:
    """Return an answer with every sentence in the words of the page.

    Example:
        >>> in_page_words({"notes": ["At least 8 seeds are needed (--seeds 8)."]})
        {'notes': ['At least 8 seeds are needed (enter 8 under Seeds).']}
    """
    if isinstance(value, str):
        for pattern, words in _WORDS:
            value = pattern.sub(words, value)
        return value
    if isinstance(value, Mapping):
        return {name: in_page_words(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [in_page_words(each) for each in value]
    return value
