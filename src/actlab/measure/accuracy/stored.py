"""The stored certificates of the catalog; read without PyTorch."""

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
    """Return the key of a certificate: the formula at its parameters' values, the mode and the dtype."""
    return f"{act.key}:{mode}:{dtype}"


@cache
def stored() -> Mapping[str, Any]:
    """Read all stored certificates, by key."""
    file = resources.files("actlab.measure.accuracy") / DATA
    if not file.is_file():
        return {}
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def kept(act: Activation) -> dict[str, dict[str, Any]]:
    """Return the activation's certificates by mode and dtype, without those of other kernels."""
    found: dict[str, dict[str, Any]] = {}
    for key, entry in stored().items():
        formula, mode, dtype = key.split(":")
        if formula == act.key and entry["kernels"] == VERSION:
            found.setdefault(mode, {})[dtype] = entry
    return found
