"""Compare a value from outside with the type that it must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type: a class, a union, a tuple or mapping of such, or a dataclass of such.

    A whole number fits `float`, since JSON does not distinguish them; a truth value fits only `bool`.

    Example:
        >>> fits((1, 2.5), tuple[float, ...]), fits(True, int), fits({"a": 1}, Mapping[str, str])
        (True, False, False)
    """
    if isinstance(kind, type) and is_dataclass(kind):
        return isinstance(value, kind) and all(fits(getattr(value, name), hint) for name, hint in _fields(kind))
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return any(fits(value, each) for each in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(each, inner[0]) for each in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(kind)
    return tuple((each.name, hints[each.name]) for each in fields(kind))
