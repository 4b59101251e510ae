"""Makes `segments.py`: run as `python tools/fit_segments.py > src/actlab/lower/segments.py`.

Φ(−t)·exp(t²/2) for t from 0 to 15 in sixteen segments: those of 1 + t that share exponent and two more bits. A
segment's number is these four bits as they stand in the float, so that a register of sixteen numbers can be looked up
with them.
"""

from __future__ import annotations

from typing import Any

from mpmath import mp

TERMS = 7


def mills(t: Any) -> Any:
    """Φ(−t)·exp(t²/2)."""
    return mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2


def segment(number: int) -> tuple[Any, Any]:
    """Where the segment of this number begins and ends: four of each octave from 1 to 16, less one."""
    octave = (number // 4 + 1) % 4
    low = mp.mpf(2) ** octave * (1 + mp.mpf(number % 4) / 4)
    return low - 1, low + mp.mpf(2) ** octave / 4 - 1


def main() -> None:
    """Print the module."""
    mp.dps = 60
    rows, centres, worst = [], [], mp.mpf(0)
    for number in range(16):
        low, high = segment(number)
        centre = (low + high) / 2
        centres.append(centre)

        def relative(u: Any, centre: Any = centre) -> Any:
            return mills(centre + u)

        coefficients, error = mp.chebyfit(relative, [low - centre, high - centre], TERMS, error=True)
        rows.append(list(reversed(coefficients)))
        worst = max(worst, error / mills(high))
    print('"""Φ(−t)·exp(t²/2) in sixteen segments of t; made by `tools/fit_segments.py`."""\n')
    print("from __future__ import annotations\n")
    print("# The segments' centres, by number.")
    print("CENTRES = (")
    for each in centres:
        print(f'    "{mp.nstr(each, 10)}",')
    print(")\n")
    print(
        "# For each power of t less the centre, the constant first, the sixteen coefficients;\n"
        f"# error below {mp.nstr(worst, 3)} of the value."
    )
    print("NORMAL_TAIL = (")
    for power in range(TERMS):
        print("    (")
        for row in rows:
            print(f'        "{mp.nstr(row[power], 30, strip_zeros=False)}",')
        print("    ),")
    print(")")


if __name__ == "__main__":
    main()
