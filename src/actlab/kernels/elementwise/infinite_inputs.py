"""Limits at infinite inputs of formulas of one input and of parameters, whatever the parameters.

Written out there they give ∞·0 or ∞/∞. So the input is replaced by a large one, and the result by the limit that it
tends to: a very large result by infinity, a very small one by 0, any other is the limit itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import copysign, inf
from typing import Any

import torch

from actlab.formula.expr import Expr, Input
from actlab.kernels.elementwise.limits import PLACES, limit, swings
from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.numerals import with_sign
from actlab.lower.straight_line import Leaf
from actlab.lower.to_torch import program
from actlab.lower.vector import Value

# Binary exponents: of the large input; and from which a result tends to infinity, and below whose negative it tends
# to 0. The fourth power of the input, or for a double its eighth, is still a number.
_INPUT = {"float": 30, "double": 126}
_LARGE = {"float": 15, "double": 60}

# How many random parameters are tried: ordinary numbers of either sign.
_TRIALS = 24


Sides = tuple[bool, bool]
"""The left side and the right one."""


def large(a: Arithmetic, x: Num, sides: Sides) -> tuple[Num, Value]:
    """Return the input, large instead of infinite on these sides, and where that is."""
    size = a.block.abs(x.hi) if all(sides) else x.hi
    infinite = a.block.compare("oeq", size, a.real(inf if sides[1] else -inf))
    return a.select(infinite, with_sign(a, a.constant(2 ** _INPUT[a.kind]), x), x), infinite


def on_its_way(a: Arithmetic, value: Num) -> Value:
    """Return the limit that a value at the large input tends to."""
    block, most = a.block, _LARGE[a.kind]
    whole = a.settled(value).hi
    size = block.abs(whole)
    grown = block.select(block.compare("ogt", size, a.real(2.0**most)), block.mul(whole, a.real(inf)), whole)
    return block.select(block.compare("olt", size, a.real(2.0**-most)), block.mul(whole, a.real(0.0)), grown)


@lru_cache(maxsize=4096)
def needed(formula: Expr, args: tuple[Leaf, ...]) -> Sides:
    """Return on which sides the formula itself misses its limits and this method finds all that are known."""
    inputs = [leaf for leaf in args if isinstance(leaf, Input)]
    if len(inputs) != 1 or inputs[0] != args[0] or len(args) == 1 or swings(formula):
        return False, False
    left, right = (_is_needed(_trials(formula, args, sign=sign)) for sign in (-1.0, 1.0))
    return left, right


def _is_needed(trials: Sequence[tuple[float | None, float, float]]) -> bool:
    known = [(wanted, direct, found) for wanted, direct, found in trials if wanted is not None]
    return any(direct != wanted for wanted, direct, _ in known) and all(
        _same(found, wanted) for wanted, _, found in known
    )


def _trials(formula: Expr, args: Sequence[Leaf], *, sign: float) -> list[tuple[float | None, float, float]]:
    """Return, for random parameters, the limit, the formula's value at infinity and what this method finds."""
    function: Callable[..., Any] = program((formula,), tuple(args)).function
    generator = torch.Generator().manual_seed(0)
    count = len(PLACES)
    places = sign * torch.tensor([*PLACES, inf, 2.0 ** _INPUT["double"]], dtype=torch.float64)
    trials = []
    for _ in range(_TRIALS):
        params = torch.randn(len(args) - 1, dtype=torch.float64, generator=generator)
        with torch.no_grad():
            result: torch.Tensor = function(places, *params)
        values = result.expand(places.shape).tolist()
        trials.append((limit(values[:count], swings=False), values[count], _way_of(values[count + 1])))
    return trials


def _way_of(value: float) -> float:
    if abs(value) > 2.0 ** _LARGE["double"]:
        return copysign(inf, value)
    return 0.0 if abs(value) < 2.0 ** -_LARGE["double"] else value


def _same(found: float, wanted: float) -> bool:
    return found == wanted or abs(found - wanted) <= 1e-9 * abs(wanted) < inf
