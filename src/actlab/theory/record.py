"""The properties of an activation as one frozen value, which goes to JSON and comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from actlab.display.answer import Displayed
from actlab.display.picture import Picture
from actlab.display.table import Table, of_facts
from actlab.errors import ActlabError
from actlab.theory.curve_picture import curve_picture


@dataclass(frozen=True)
class Unknown:
    """A property that was not established; false in a condition.

    Attributes:
        reason: why it was not established.
    """

    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Asymptote:
    """A straight line, `slope·x + intercept`, that the activation approaches."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Kink:
    """A point where the left and the right derivative differ, or where the activation jumps.

    Attributes:
        at: the point.
        value, derivative: the activation and its derivative at the point itself, as computed; None if undefined.
        left_slope, right_slope: the one-sided derivatives.
        jumps: whether the activation is discontinuous there.
    """

    at: float
    value: float | None
    derivative: float | None
    left_slope: float | Unknown
    right_slope: float | Unknown
    jumps: bool


@dataclass(frozen=True)
class Extent:
    """The range of the activation.

    Attributes:
        lower, upper: infimum and supremum.
        lower_attained, upper_attained: whether the activation takes that value, rather than only approaching it.
    """

    lower: float | Unknown
    upper: float | Unknown
    lower_attained: bool | Unknown
    upper_attained: bool | Unknown


@dataclass(frozen=True)
class Limits:
    """The limits of the activation at -∞ (left) and at ∞ (right)."""

    left: float | Unknown
    right: float | Unknown


@dataclass(frozen=True)
class Asymptotes:
    """The asymptotes at -∞ (left) and at ∞ (right); None if there is no such line."""

    left: Asymptote | Unknown | None
    right: Asymptote | Unknown | None


@dataclass(frozen=True)
class Extremum:
    """A minimum or maximum that is attained; for a plateau, its point nearest to 0."""

    at: float
    value: float


@dataclass(frozen=True)
class Steepest:
    """The supremum of |derivative|, and where it is attained; `at` is None if it is only approached."""

    at: float | None
    slope: float


@dataclass(frozen=True)
class Span:
    """A closed interval; a single point if both ends are equal."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Properties(Displayed):
    """The mathematical properties of an activation, with its parameters at their values.

    A property that was not established is an `Unknown` with the reason, never a guess.

    Attributes:
        formula: the activation with its parameter values.
        domain: the intervals on which it is defined.
        range: infimum and supremum, and whether they are attained.
        limits: the limits at -∞ and ∞.
        asymptotes: the asymptotes at -∞ and ∞.
        value_at_zero, derivative_at_zero: value and derivative at 0; None if undefined there.
        roots: where it is 0: points and whole intervals.
        minimum, maximum: the global extrema; None if the infimum or supremum is not attained.
        minima, maxima: the local extrema, left to right.
        kinks: where the derivative, or the activation itself, is discontinuous.
        smoothness: the number of continuous derivatives: -1 if it jumps, ∞ if it is smooth.
        monotone: whether it is monotone.
        direction: 1 if it increases, -1 if it decreases, 0 if it is constant, None if it is not monotone.
        convex, concave, odd, even: whether it is.
        homogeneous: whether f(c·x) = c·f(x) for every c above 0.
        lipschitz: the smallest Lipschitz constant, ∞ if there is none.
        steepest: the supremum of |derivative| and where it is.
        saturates: the sides, of "left" and "right", with a finite limit that is approached but not reached.
        flat: the sides on which it is exactly constant from some point on.

    Example:
        >>> from actlab.theory.properties import properties
        >>> known = properties("silu")
        >>> known.monotone, known.saturates, round(known.range.lower, 4)
        (False, ('left',), -0.2785)
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
        """Return the properties as plain values, each `Unknown` as None with its reason under "unknown"."""
        unknown: dict[str, str] = {}
        plain = _plain(self, "", unknown)
        assert isinstance(plain, dict)
        return {**plain, "unknown": unknown}

    def table(self) -> Table:
        """Return a row for each property that was established."""
        facts = self.to_json()
        facts.pop("unknown")
        return of_facts(self.formula, facts)

    def lines(self) -> list[str]:
        """Return the properties, one per line."""
        return [self.formula, *(f"  {name:<22} {value}" for name, value in self.table().rows[1:])]

    def picture(self) -> Picture | None:
        """Return value and derivatives as curves; None if it has no curve or is known to its own program alone."""
        try:
            return curve_picture([self.formula])
        except ActlabError:
            return None

    @staticmethod
    def from_json(data: dict[str, Any]) -> Properties:
        """Return the properties that `to_json` turned into plain values."""
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
