"""Fit all polynomials: `python tools/fit_polynomials.py > src/actlab/lower/polynomials.json`.

Each polynomial interpolates its function at Chebyshev points (mpmath's `chebyfit`, 60 digits), which comes within a
factor of about two of the best one; the degree is the least whose error meets the bound.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fit_segments
from mpmath import mp

from actlab.lower.fit_ranges import MIDDLE, TAILS

# The bound on each polynomial's absolute error, in bits, by the accuracy that it serves: of `single` for float32
# arithmetic, of `short` for float32 results computed in float64, of `full` for float64.
BITS = {"single": 27, "short": 37, "full": 58}


@dataclass(frozen=True)
class Fit:
    """A function to approximate.

    Attributes:
        name: what the elementary functions call it.
        function: the function, of an mpmath number.
        low, high: where.
        slack: bits that the use of the polynomial adds to its accuracy (it is multiplied by something small).
    """

    name: str
    function: Callable[[Any], Any]
    low: Any
    high: Any
    slack: int


def _series(closed: Callable[[Any], Any], at_zero: Any) -> Callable[[Any], Any]:
    """Return the function with its limit at 0, computed with extra digits near 0."""

    def function(x: Any) -> Any:
        if x == 0:
            return at_zero
        with mp.workdps(200):
            return closed(x)

    return function


def _fits() -> tuple[Fit, ...]:
    half, third, sixth = mp.mpf(1) / 2, mp.mpf(1) / 3, mp.mpf(1) / 6
    sixteenth = mp.log(2) / 32 + mp.mpf(2) ** -16
    thirtieth = mp.mpf(1) / 30 + mp.mpf(2) ** -12
    log2 = mp.log(2) / 2 + mp.mpf(2) ** -12
    ratio = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    octave = mp.pi / 4 + mp.mpf(2) ** -12
    tangent = mp.tan(mp.pi / 8) + mp.mpf(2) ** -12
    return (
        # exp(r) = 1 + r + r²·q(r)
        Fit("exp", _series(lambda r: (mp.exp(r) - 1 - r) / r**2, half), -log2, log2, 3),
        # the same within a sixteenth of an octave, and log(1 + r) = r + r²·q(r) within a fifteenth of 1
        Fit("exp_sixteenth", _series(lambda r: (mp.exp(r) - 1 - r) / r**2, half), -sixteenth, sixteenth, 11),
        Fit("log1p_fifteenth", _series(lambda r: (mp.log1p(r) - r) / r**2, -half), -thirtieth, thirtieth, 4),
        # 2·artanh(s) = 2s + s³·q(s²)
        Fit(
            "log",
            _series(lambda z: 2 * (mp.atanh(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, 2 * third),
            mp.mpf(0), ratio**2 * (1 + mp.mpf(2) ** -8), 5,
        ),
        # sin(r) = r + r³·q(r²); cos(r) = 1 − r²/2 + r⁴·q(r²)
        Fit(
            "sin", _series(lambda z: (mp.sin(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, -sixth),
            mp.mpf(0), octave**2, 1,
        ),
        Fit("cos", _series(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mp.mpf(1) / 24), mp.mpf(0), octave**2, 1),
        # arctan(v) = v + v³·q(v²)
        Fit(
            "atan", _series(lambda z: (mp.atan(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, -third),
            mp.mpf(0), tangent**2, 2,
        ),
        # erf(v) = v·q(v²) on [0, 1/2]; erfc(t) = exp(−t²)·(1 − p)·q(p) with p = (t − k)/(t + k), for t >= 0,
        # and likewise Φ(−t) = exp(−t²/2)·(1 − p)·q(p), both of p + 1/4 (`_tail`)
        Fit(
            "erf", _series(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z), 2 / mp.sqrt(mp.pi)), mp.mpf(0), mp.mpf(1) / 4, 0
        ),
    )  # fmt: skip


def _tail(accuracy: str, name: str) -> Fit:
    far, pole = (mp.mpf(each) for each in TAILS[accuracy, name])

    def scaled(centered: Any) -> Any:
        p = centered - MIDDLE
        t = pole * (1 + p) / (1 - p)
        with mp.workdps(80):
            if name == "erfc":
                return mp.exp(t * t) * mp.erfc(t) / (1 - p)
            return mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / (2 * (1 - p))

    return Fit(name, scaled, mp.mpf(MIDDLE - 1), (far - pole) / (far + pole) + MIDDLE, 0)


def polynomial(fit: Fit, *, bits: int) -> tuple[list[Any], Any]:
    """Return the shortest polynomial within 2^(slack − bits), constant term first, and its error."""
    for terms in range(1, 40):
        coefficients, error = mp.chebyfit(fit.function, [fit.low, fit.high], terms, error=True)
        if error <= mp.mpf(2) ** (fit.slack - bits):
            return list(reversed(coefficients)), error
    raise AssertionError(f"no polynomial of 40 terms reaches {bits} bits of {fit.name}")


def fitted() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the polynomials by accuracy and function, and a bound on the error of each."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for accuracy, bits in BITS.items():
        fits = [fit for fit in _fits() if accuracy == "single" or not fit.name.endswith("teenth")]
        for fit in (*fits, *(_tail(accuracy, name) for name in ("erfc", "normal_tail"))):
            coefficients, error = polynomial(fit, bits=bits)
            numerals = [mp.nstr(each, 40, strip_zeros=False) for each in coefficients]
            found.setdefault(accuracy, {})[fit.name] = {"error": mp.nstr(error, 3), "coefficients": numerals}
    return found


def main() -> None:
    """Print all polynomials as JSON."""
    mp.dps = 60
    print(json.dumps({"polynomials": fitted(), "normal_tail": fit_segments.fitted()}, indent=1))


if __name__ == "__main__":
    main()
