"""Answers as plain values that JSON can represent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def plain(value: Any) -> Any:
    """Convert a value to dicts, lists, strings, numbers and None.

    Infinite numbers become the strings "inf" and "-inf", NaN becomes None: JSON knows neither.

    Example:
        >>> plain({"range": (0.0, float("inf"))})
        {'range': [0.0, 'inf']}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
