"""The catalog's choices of recipes: `choices.json`, written by `python -m actlab.kernels.generate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from actlab.kernels.runtime.version import VERSION

DATA = "choices.json"


def index_of(key: str) -> int | None:
    """Return the index of the chosen recipe among its candidates, or None if it is not stored."""
    return stored().get(key)


@cache
def stored() -> Mapping[str, int]:
    """Return all choices by key; none if another version of the kernels made them."""
    found: dict[str, Any] = json.loads((files("actlab.kernels.elementwise") / DATA).read_text(encoding="utf-8"))
    choices: Mapping[str, int] = found["choices"] if found["kernels"] == VERSION else {}
    return choices
