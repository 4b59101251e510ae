"""Parameters of an activation: their value, their bounds, whether they train, how a random one is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from actlab.errors import BadParam
from actlab.formula.expr import exactly


@dataclass(frozen=True)
class Uniform:
    """A uniform distribution, from which a random parameter is drawn for each element while training."""

    low: float
    high: float


@dataclass(frozen=True)
class Param:
    """A parameter of an activation.

    Attributes:
        value: its default; a trainable parameter starts there.
        trainable: whether a module learns it.
        above, below: bounds that it must not reach.
        least, most: bounds that it may reach.
        sampler: the distribution it is drawn from while training; in evaluation it has its `value`.
        name: the name of the formula's argument, filled in when it is declared.
    """

    value: float
    trainable: bool = False
    above: float = -math.inf
    below: float = math.inf
    least: float = -math.inf
    most: float = math.inf
    sampler: Uniform | None = None
    name: str = ""

    def with_value(self, value: object, *, owner: str) -> Param:
        """Return the same parameter with another value.

        Raises:
            BadParam: the value is not a finite number or lies outside the bounds.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
            raise BadParam(f"{owner}: {self.name} must be a number; got {type(value).__name__} {value!r}.")
        number = float(value)
        if not math.isfinite(number):
            raise BadParam(f"{owner}: {self.name} must be finite; got {number}.")
        if not self.admits(number):
            raise BadParam(f"{owner}: {self.name} must lie {self.bounds()}; got {number:g}.")
        return replace(self, value=number)

    def admits(self, value: float) -> bool:
        """Return whether the value lies within the bounds."""
        return self.above < value < self.below and self.least <= value <= self.most

    def bounds(self) -> str:
        """Return the bounds in words, empty if there are none."""
        words = [
            f"{word} {bound:g}"
            for word, bound in (
                ("above", self.above),
                ("at or above", self.least),
                ("below", self.below),
                ("at or below", self.most),
            )
            if math.isfinite(bound)
        ]
        return " and ".join(words)

    @property
    def exact(self) -> Fraction:
        """The value as the decimal that was written."""
        return exactly(self.value)
