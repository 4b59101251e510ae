"""Generated formulas, as a user could type them."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from actlab.formula.atoms import SPELLINGS, pi, where
from actlab.formula.expr import Compare, Expr, Input, Number

X = Input("x")

# Atoms that are smooth and finite wherever they are asked.
SMOOTH = ("sigmoid", "tanh", "erf", "softplus", "log_sigmoid", "normal_cdf", "normal_pdf", "sin", "cos", "sinc", "atan")
TWO_ARGUMENTS = ("min", "max")
ONE_ARGUMENT = tuple(name for name in SPELLINGS if name not in TWO_ARGUMENTS)

numbers = st.decimals(min_value=0, max_value=1000, places=3).map(lambda value: Number(Fraction(value)))
leaves = st.one_of(st.just(X), st.just(X), numbers, st.just(pi))


def _smooth_parents(parts: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(lambda left, right: left + right, parts, parts),
        st.builds(lambda left, right: left - right, parts, parts),
        st.builds(lambda left, right: left * right, parts, parts),
        st.builds(lambda left, right: left / (1 + right * right), parts, parts),
        st.builds(lambda operand: -operand, parts),
        st.builds(lambda base, power: base**power, parts, st.integers(1, 4)),
        st.builds(lambda name, operand: SPELLINGS[name](operand), st.sampled_from(SMOOTH), parts),
    )


def _parents(parts: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    conditions = st.builds(Compare, st.sampled_from(["<", "<=", ">", ">="]), parts, parts)
    return st.one_of(
        _smooth_parents(parts),
        st.builds(lambda left, right: left / right, parts, parts),
        st.builds(lambda base, power: base**power, parts, parts),
        st.builds(lambda name, operand: SPELLINGS[name](operand), st.sampled_from(ONE_ARGUMENT), parts),
        st.builds(lambda name, x, y: SPELLINGS[name](x, y), st.sampled_from(TWO_ARGUMENTS), parts, parts),
        st.builds(where, conditions, parts, parts),
    )


# Anything the grammar can spell, sensible or not.
formulas = st.recursive(leaves, _parents, max_leaves=14)

# Smooth formulas of moderate size, for numerical differentiation.
small = st.decimals(min_value=0, max_value=2, places=2).map(lambda value: Number(Fraction(value)))
smooth_formulas = st.recursive(st.one_of(st.just(X), small), _smooth_parents, max_leaves=7)
