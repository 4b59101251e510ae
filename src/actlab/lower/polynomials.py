"""The fitted polynomials of the elementary functions: `polynomials.json`, written by `tools/fit_polynomials.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, final

DATA = "polynomials.json"


@final
@dataclass(frozen=True)
class NormalTail:
    """Φ(−t)·exp(t²/2) for t from 0 to 15, a polynomial on each of sixteen segments.

    Attributes:
        centers: the segments' centers. A segment's number is the two lowest exponent bits and the two highest
            significand bits of the float 1 + t.
        coefficients: for each power of t less the center, the constant first, one coefficient per segment.
    """

    centers: tuple[Fraction, ...]
    coefficients: tuple[tuple[Fraction, ...], ...]


@cache
def polynomial(accuracy: str, name: str) -> tuple[Fraction, ...]:
    """Return the coefficients of a function's polynomial, constant term first, with more digits than its dtype holds.

    Args:
        accuracy: as in `arithmetic.Accuracy`.
        name: as in `tools/fit_polynomials.py`.
    """
    return _fractions(_data()["polynomials"][accuracy][name]["coefficients"])


@cache
def normal_tail() -> NormalTail:
    """Return the normal distribution's tail in segments, for float32."""
    tail = _data()["normal_tail"]
    return NormalTail(_fractions(tail["centers"]), tuple(map(_fractions, tail["coefficients"])))


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((files("actlab.lower") / DATA).read_text(encoding="utf-8"))
    return data


def _fractions(numerals: list[str]) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, numerals))
