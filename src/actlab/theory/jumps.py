"""Jumps of a formula."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

from actlab.formula.expr import Call, Expr, Where, walk
from actlab.theory.evaluate import value_at
from actlab.theory.pieces import Piece, pieces

# A smaller step, relative to the values beside it, is taken for a constant that its source has rounded.
ROUNDED = 1e-6


@lru_cache(maxsize=1024)
def first_jump(formula: Expr) -> str | None:
    """Return where the formula jumps, in words, or that a jump cannot be ruled out; None if it is continuous."""
    found = pieces(formula) or _with_curved_cuts(formula)
    if found is None:
        return None if _only_continuous(formula) else "its conditions cannot be followed, so it may jump"
    for left, right in pairwise(found):
        step = step_between(left, right)
        if step > ROUNDED:
            return f"f jumps at x={right.lower:.6g}"
    return None


def _with_curved_cuts(formula: Expr) -> tuple[Piece, ...] | None:
    from actlab.theory.signs import zeros  # few formulas need it, and the others answer sooner without

    return pieces(formula, zeros=zeros)


def step_between(left: Piece, right: Piece) -> float:
    """Return the size of the jump at the common end, relative to the values there; 0 if a side has no finite value."""
    before, after = value_at(left.formula, left.upper), value_at(right.formula, right.lower)
    if not (math.isfinite(before) and math.isfinite(after)):
        return 0.0
    return abs(after - before) / (1 + max(abs(before), abs(after)))


def _only_continuous(formula: Expr) -> bool:
    """Return whether all its parts are continuous: `abs`, `min` and `max` have kinks but no jumps."""
    return not any(
        isinstance(node, Where) or (isinstance(node, Call) and node.atom == "sign") for node in walk(formula)
    )
