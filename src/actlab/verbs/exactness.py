"""Measure how an activation's error depends on the size of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actlab.jsonable import plain
from actlab.measure.accuracy.by_exponent import ByExponent, by_exponent
from actlab.verbs.activation_lookup import activation_named


@dataclass(frozen=True)
class Exactness:
    """The largest error in each octave of the input."""

    dtype: str
    negative: ByExponent
    positive: ByExponent

    def to_json(self) -> dict[str, Any]:
        """Return the exponents, and the errors of each implementation and direction."""
        return dict(plain(self))

    def lines(self) -> list[str]:
        """Return one line for each implementation, direction and sign of the input."""
        return [
            f"{row.name} {row.direction}, {'negative' if part.sign < 0 else 'positive'} inputs:"
            f" {max((ulp for ulp in row.ulp if ulp is not None), default=0.0):.3g} ULP at most"
            for part in (self.negative, self.positive)
            for row in part.rows
        ]


def exactness(formula: str, *, dtype: str = "float32", against: Sequence[str] = ("composite",)) -> Exactness:
    """Measure the largest error of an activation in each octave of the input, beside other implementations.

    Raises:
        UnknownActivation, BadFormula, BadParam, BadInput: as `certify`; or the activation has several inputs.
    """
    act = activation_named(formula)
    return Exactness(dtype, *by_exponent(act, dtype=dtype, against=against))
