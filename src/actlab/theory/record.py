"""What can be known of an activation, as one frozen value that goes to JSON and comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Unknown:
    """A property that was not established, with the reason; false in a condition."""

    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Asymptote:
    """The straight line that the formula nears."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Kink:
    """A place where the slope from the left and the slope from the right differ, or where the formula jumps.

    Attributes:
        at: the place.
        value, derivative: what the formula and its derivative give there; None where they are undefined.
        left_slope, right_slope: the slopes from either side.
        jumps: whether the values from either side differ too.
    """

    at: float
    value: float | None
    derivative: float | None
    left_slope: float | Unknown
    right_slope: float | Unknown
    jumps: bool


@dataclass(frozen=True)
class Extent:
    """The least and the greatest value, and whether each is taken or only neared."""

    lower: float | Unknown
    upper: float | Unknown
    lower_attained: bool | Unknown
    upper_attained: bool | Unknown


@dataclass(frozen=True)
class Limits:
    """Where the activation tends at -∞ and at ∞."""

    left: float | Unknown
    right: float | Unknown


@dataclass(frozen=True)
class Asymptotes:
    """The lines that it nears on either side; None where it runs away from every line."""

    left: Asymptote | Unknown | None
    right: Asymptote | Unknown | None


@dataclass(frozen=True)
class Extremum:
    """A value that is taken and that no neighbour passes; of a plateau the place nearest to 0."""

    at: float
    value: float


@dataclass(frozen=True)
class Steepest:
    """The largest |derivative| and where it is taken; `at` is None where it is only neared."""

    at: float | None
    slope: float


@dataclass(frozen=True)
class Span:
    """From one place to another; one place alone where both are equal."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Properties:
    """What is known of an activation. A property that was not established is an `Unknown` with the reason.

    Attributes:
        formula: the activation, with its parameter values.
        domain: the open stretches on which it is defined.
        range: its least and greatest value.
        limits: where it tends at -∞ and ∞.
        asymptotes: the straight lines that it nears.
        value_at_zero, derivative_at_zero: what it gives at 0; None where it is undefined there.
        roots: where it is 0: places, or whole stretches.
        minimum, maximum: the global ones; None if the least or greatest value is never taken.
        minima, maxima: the local ones that are taken, left to right.
        kinks: where its slope, or it itself, jumps.
        smoothness: the number of continuous derivatives: -1 if it jumps, ∞ if it is smooth.
        monotone: whether it never turns; `direction` is then 1, -1, or 0 for a constant.
        convex, concave, odd, even, homogeneous: as the words say; homogeneous for factors above 0.
        lipschitz: the least Lipschitz constant, ∞ if there is none.
        steepest: the largest |derivative|.
        saturates: the sides, of "left" and "right", on which it tends to a finite limit without being constant.
        flat: the sides on which it ends up exactly constant.
    """

    formula: str
    domain: tuple[Span, ...] | Unknown
    range: Extent
    limits: Limits
    asymptotes: Asymptotes
    value_at_zero: float | Unknown | None
    derivative_at_zero: float | Unknown | None
    roots: tuple[Span, ...] | Unknown
    minimum: Extremum | Unknown | None
    maximum: Extremum | Unknown | None
    minima: tuple[Extremum, ...] | Unknown
    maxima: tuple[Extremum, ...] | Unknown
    kinks: tuple[Kink, ...] | Unknown
    smoothness: float | Unknown
    monotone: bool | Unknown
    direction: int | Unknown | None
    convex: bool | Unknown
    concave: bool | Unknown
    odd: bool | Unknown
    even: bool | Unknown
    homogeneous: bool | Unknown
    lipschitz: float | Unknown
    steepest: Steepest | Unknown
    saturates: tuple[str, ...] | Unknown
    flat: tuple[str, ...] | Unknown

    def to_json(self) -> dict[str, object]:
        """The same words as here; an unknown is null, its reason under `unknown` by its dotted name."""
        unknown: dict[str, str] = {}
        plain = _plain(self, "", unknown)
        assert isinstance(plain, dict)
        return {**plain, "unknown": unknown}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Properties:
        """The properties that `to_json` spelled."""
        found = _restored(Properties, data, "", data["unknown"])
        assert isinstance(found, Properties)
        return found


def _plain(value: object, path: str, unknown: dict[str, str]) -> object:
    if isinstance(value, Unknown):
        unknown[path] = value.reason
        return None
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, tuple):
        return [_plain(item, f"{path}.{at}", unknown) for at, item in enumerate(value)]
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        return {name: _plain(getattr(value, name), f"{path}.{name}".lstrip("."), unknown) for name in names}
    return value


def _restored(kind: Any, data: Any, path: str, unknown: dict[str, str]) -> Any:
    if data is None:
        return Unknown(unknown[path]) if path in unknown else None
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return tuple(_restored(item, part, f"{path}.{at}", unknown) for at, part in enumerate(data))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        parts = {
            name: _restored(hint, data[name], f"{path}.{name}".lstrip("."), unknown) for name, hint in hints.items()
        }
        return kind(**parts)  # type: ignore[operator]  # a class, not an instance
    kinds = [one for one in get_args(kind) if one not in (NoneType, Unknown)]
    if kinds:
        return _restored(kinds[0], data, path, unknown)
    return float(data) if kind is float else data
