"""Answers as plain values."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from actlab.jsonable import plain


@dataclass(frozen=True)
class Pair:
    left: float
    right: tuple[object, ...]


def test_a_nested_value_becomes_plain_json_values() -> None:
    value = {"pair": Pair(math.inf, (-math.inf, math.nan, None, "text", True, 3)), 1: [0.5]}
    made = plain(value)
    assert made == {"pair": {"left": "inf", "right": ["-inf", None, None, "text", True, 3]}, "1": [0.5]}
    json.dumps(made, allow_nan=False)
