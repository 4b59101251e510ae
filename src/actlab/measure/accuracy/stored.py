"""The certificates of the catalog, as they were measured beforehand; read without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from actlab.formula.activation import Activation
from actlab.kernels.runtime.version import VERSION

DATA = "certificates.json"


def key_of(act: Activation, *, mode: str, dtype: str) -> str:
    """Under what a certificate is kept: the formula at its parameters' values, the mode and the dtype."""
    return f"{act.key}:{mode}:{dtype}"


@cache
def stored() -> Mapping[str, Any]:
    """Every certificate that is kept, by its key."""
    file = resources.files("actlab.measure.accuracy") / DATA
    if not file.is_file():
        return {}
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def kept(act: Activation) -> dict[str, dict[str, Any]]:
    """The activation's certificates by mode and dtype; none that was measured of other kernels than these."""
    found: dict[str, dict[str, Any]] = {}
    for key, entry in stored().items():
        formula, mode, dtype = key.split(":")
        if formula == act.key and entry["kernels"] == VERSION:
            found.setdefault(mode, {})[dtype] = entry
    return found
