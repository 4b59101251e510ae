"""Identities whose left side overflows or loses digits where the right side does not.

Each holds for all real numbers. `u` and `v` stand for any formula, `r` for the other factors of a product (1 if there
are none), `n` for a whole number from 2 on. A row also matches with terms and factors in another order. The first row
that matches is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from actlab.formula import atoms
from actlab.formula.atoms import erf, exp, expm1, log, log1p, normal_cdf, sigmoid, softplus, sqrt, tanh
from actlab.formula.expr import Expr, Input

u, v, r, n = (Input(name) for name in "uvrn")


@dataclass(frozen=True)
class Identity:
    """Two formulas with the same value: `left` is what people type, `right` keeps its tails."""

    left: Expr
    right: Expr


IDENTITIES = (
    # exponentials and logarithms
    Identity(exp(u) - 1, expm1(u)),
    Identity(1 - exp(u), -expm1(u)),
    Identity(log1p(exp(u)), softplus(u)),
    Identity(log(exp(u) + exp(v)), u + softplus(v - u)),
    Identity(log(sigmoid(u)), atoms.log_sigmoid(u)),
    # sigmoids and distribution functions beside 1
    Identity(1 - sigmoid(u), sigmoid(-u)),
    Identity(2 * sigmoid(u) - 1, tanh(u / 2)),
    Identity(1 - 2 * sigmoid(u), tanh(-u / 2)),
    Identity(1 + tanh(u), 2 * sigmoid(2 * u)),
    Identity(1 - tanh(u), 2 * sigmoid(2 * -u)),
    Identity(1 - tanh(u) ** 2, 4 * (sigmoid(2 * u) * sigmoid(-(2 * u)))),
    Identity(1 - tanh(u) * tanh(u), 4 * (sigmoid(2 * u) * sigmoid(-(2 * u)))),
    Identity(1 - normal_cdf(u), normal_cdf(-u)),
    Identity(1 + erf(u / sqrt(2)), 2 * normal_cdf(u)),
    Identity(1 - erf(u / sqrt(2)), 2 * normal_cdf(-u)),
    Identity(1 + erf(u * sqrt(0.5)), 2 * normal_cdf(u)),
    Identity(1 - erf(u * sqrt(0.5)), 2 * normal_cdf(-u)),
    Identity(1 + erf(u * (1 / sqrt(2))), 2 * normal_cdf(u)),
    Identity(1 - erf(u * (1 / sqrt(2))), 2 * normal_cdf(-u)),
    Identity(1 + erf(u), atoms.erfc(-u)),
    Identity(1 - erf(u), atoms.erfc(u)),
    # quotients by sums of exponentials
    Identity((exp(u) - exp(v)) / (exp(u) + exp(v)), tanh((u - v) / 2)),
    Identity(-(exp(u) - exp(v)) / (exp(u) + exp(v)), tanh((v - u) / 2)),
    Identity(expm1(u) / (1 + exp(u)), tanh(u / 2)),
    Identity(-expm1(u) / (1 + exp(u)), tanh(-u / 2)),
    Identity(r / (1 + exp(u)), r * sigmoid(-u)),
    Identity(r / (1 + exp(u)) ** n, r * sigmoid(-u) ** n),
    Identity((1 + exp(u)) ** -1, sigmoid(-u)),
    Identity((1 + exp(u)) ** -n, sigmoid(-u) ** n),
    Identity(r * exp(u) / (exp(u) + exp(v)), r * sigmoid(u - v)),
    Identity(r * exp(u) * sigmoid(-u), r * sigmoid(u)),
    Identity(r * exp(u) * sigmoid(-u) ** n, r * sigmoid(u) * sigmoid(-u) ** (n - 1)),
    # halves of doubles, which the rows above leave behind
    Identity(r * 2 / 2, r),
    Identity(r * 2 * 0.5, r),
    Identity(r * 0.5 * (2 * u), r * u),
    Identity(r / 2 * (2 * u), r * u),
)
