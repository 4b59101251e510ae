"""The state of a figure: what a query string says about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final
from urllib.parse import parse_qs, urlencode

from actlab.errors import BadInput

MOST_CHARACTERS = 2_000
"""The longest state that is read."""


@final
@dataclass(frozen=True)
class State:
    """What a query string says, such as `f=sigmoid&f=tanh&from=-6&to=6`.

    Attributes:
        query: the query string.
    """

    query: str

    @property
    def values(self) -> Mapping[str, Sequence[str]]:
        """The values of each key, in their order."""
        if len(self.query) > MOST_CHARACTERS:
            raise BadInput(
                f"the state of a figure: at most {MOST_CHARACTERS} characters are allowed; got {len(self.query)}."
            )
        return parse_qs(self.query, keep_blank_values=True)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return every value of a key."""
        return tuple(self.values.get(name, ()))

    def text(self, name: str, default: str = "") -> str:
        """Return the last value of a key."""
        return self.texts(name)[-1] if self.texts(name) else default

    def number(self, name: str, default: float) -> float:
        """Return the last value of a key as a finite number.

        Raises:
            BadInput: it is not one.
        """
        return default if name not in self.values else finite(self.text(name), name)

    def count(self, name: str, default: int, *, most: int) -> int:
        """Return the last value of a key as a whole number from 1 to `most`.

        Raises:
            BadInput: it is not one.
        """
        found = self.number(name, default)
        if found != int(found) or not 1 <= found <= most:
            raise BadInput(f"{name}: a whole number from 1 to {most} is required; got {found:g}.")
        return int(found)

    def only(self, names: Sequence[str]) -> str:
        """Return the part of the query that belongs to some keys, as a query string."""
        return urlencode([(name, value) for name in names for value in self.texts(name)])


def finite(text: str, name: str) -> float:
    """Return a text as a finite number.

    Raises:
        BadInput: it is not one; `name` says whose value it is.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"{name}: a finite number is required; got '{text}'.")
    return value
