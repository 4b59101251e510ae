"""Read plain values, as JSON holds them, as frozen values whose annotations they must fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from actlab.errors import BadInput, shortened

_INFINITE = {"inf": math.inf, "-inf": -math.inf}


def read_as(kind: Any, value: Any, *, at: str = "value") -> Any:
    """Return a plain value as one of this type: a frozen dataclass, tuple, mapping, number, text, or optional.

    Numbers may be the strings "inf" and "-inf", or None for NaN, as `actlab.jsonable.plain` writes them. Keys that the
    type does not have are ignored.

    Args:
        kind: the type.
        value: dicts, lists, strings, numbers and None.
        at: where the value stands, for error messages.

    Raises:
        BadInput: the value does not fit.

    Example:
        >>> read_as(tuple[float, ...], [1, "inf"])
        (1.0, inf)
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if value is None and NoneType in arguments else read_as(arguments[0], value, at=at)
    if origin is tuple:
        return _tuple(arguments, value, at=at)
    if origin is not None and issubclass(origin, Mapping):
        _check(isinstance(value, dict), value, at=at, what="a table")
        return {key: read_as(arguments[1], each, at=f"{at}.{key}") for key, each in value.items()}
    if is_dataclass(kind):
        return _dataclass(kind, value, at=at)
    if kind is float:
        return _number(value, at=at)
    _check(isinstance(value, kind) and isinstance(value, bool) == (kind is bool), value, at=at, what=_NAMES[kind])
    return value


_NAMES: Mapping[Any, str] = {int: "an integer", str: "a text", bool: "true or false"}


def _tuple(arguments: tuple[Any, ...], value: Any, *, at: str) -> tuple[Any, ...]:
    _check(isinstance(value, list | tuple), value, at=at, what="a list")
    kinds = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
    _check(len(kinds) == len(value), value, at=at, what=f"a list of {len(kinds)}")
    return tuple(
        read_as(kind, each, at=f"{at}.{at_}") for at_, (kind, each) in enumerate(zip(kinds, value, strict=True))
    )


def _dataclass(kind: Any, value: Any, *, at: str) -> Any:
    _check(isinstance(value, dict), value, at=at, what="a table")
    hints = get_type_hints(kind)
    read = {}
    for each in fields(kind):
        if each.name in value:
            read[each.name] = read_as(hints[each.name], value[each.name], at=f"{at}.{each.name}")
        elif each.default is MISSING and each.default_factory is MISSING:
            raise BadInput(f"{at} must have '{each.name}'; it is missing.")
    return kind(**read)


def _number(value: Any, *, at: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str) and value in _INFINITE:
        return _INFINITE[value]
    _check(isinstance(value, int | float) and not isinstance(value, bool), value, at=at, what="a number")
    return float(value)


def _check(fits: bool, value: Any, *, at: str, what: str) -> None:
    if not fits:
        raise BadInput(f"{at} must be {what}; got {shortened(repr(value), limit=60)}.")
