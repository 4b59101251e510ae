"""Fit the normal distribution's tail in segments; `fit_polynomials.py` writes the result.

Φ(−t)·exp(t²/2) for t from 0 to 15 in sixteen segments: those of 1 + t that share exponent and two more bits. A
segment's number is these four bits of the float, with which a register of sixteen numbers is looked up.
"""

from __future__ import annotations

from typing import Any

from mpmath import mp

TERMS = 7


def mills(t: Any) -> Any:
    """Return Φ(−t)·exp(t²/2)."""
    return mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2


def segment(number: int) -> tuple[Any, Any]:
    """Return where the segment of this number begins and ends: four of each octave from 1 to 16, less one."""
    octave = (number // 4 + 1) % 4
    low = mp.mpf(2) ** octave * (1 + mp.mpf(number % 4) / 4)
    return low - 1, low + mp.mpf(2) ** octave / 4 - 1


def fitted() -> dict[str, Any]:
    """Return the segments' centers, their coefficients and a bound on the relative error.

    Coefficients are listed by power of t less the center, the constant first, sixteen for each.
    """
    rows, centers, worst = [], [], mp.mpf(0)
    for number in range(16):
        low, high = segment(number)
        center = (low + high) / 2
        centers.append(center)

        def relative(u: Any, center: Any = center) -> Any:
            return mills(center + u)

        coefficients, error = mp.chebyfit(relative, [low - center, high - center], TERMS, error=True)
        rows.append(list(reversed(coefficients)))
        worst = max(worst, error / mills(high))
    return {
        "error": mp.nstr(worst, 3),
        "centers": [mp.nstr(each, 10) for each in centers],
        "coefficients": [[mp.nstr(row[power], 30, strip_zeros=False) for row in rows] for power in range(TERMS)],
    }
