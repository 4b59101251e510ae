"""Activations that act on all the values along one axis together."""

from __future__ import annotations

from actlab.formula.along_axis import along_axis, entmax15_threshold, greatest, sparsemax_threshold, total
from actlab.formula.atoms import exp, log, sqrt, where
from actlab.formula.expr import Expr


def _softmax(x: Expr) -> Expr:
    shares = exp(x - greatest(x))
    return shares / total(shares)


@along_axis(
    source="Bridle 1990; PyTorch",
    reference="torch.nn.functional.softmax",
    jvp=lambda y, v: y * (v - total(y * v)),
    span=(0, 1),
    note="Its derivative is a matrix, diag(y) - y*transpose(y); y*(1 - y) is only its diagonal.",
)
def softmax(x):
    """Shares that sum to 1, proportional to the exponentials."""
    return _softmax(x)


@along_axis(
    source="PyTorch",
    reference="torch.nn.functional.log_softmax",
    jvp=lambda y, v: v - total(exp(y) * v),
    vjp=lambda y, v: v - exp(y) * total(v),
    span=(-float("inf"), 0),
)
def log_softmax(x):
    """The logarithm of softmax."""
    shifted = x - greatest(x)
    return shifted - log(total(exp(shifted)))


@along_axis(
    source="PyTorch",
    reference="torch.nn.functional.softmin",
    jvp=lambda y, v: -(y * (v - total(y * v))),
    span=(0, 1),
)
def softmin(x):
    """softmax of the negated input."""
    return _softmax(-x)


def _sparsemax_jvp(y: Expr, v: Expr) -> Expr:
    support = where(y <= 0, 0, 1)
    return support * (v - total(support * v) / total(support))


@along_axis(
    source="Martins, Astudillo 2016, arXiv:1602.02068",
    jvp=_sparsemax_jvp,
    span=(0, 1),
    known={
        (1, 0.5, -1): (0.75, 0.25, 0),
        (3, 1, 0.2): (1, 0, 0),
        (0.1, 0.2, 0.15): (0.2833333333333333, 0.38333333333333336, 0.3333333333333333),
    },
)
def sparsemax(x):
    """The nearest point of the probability simplex: shares that sum to 1, many of them exactly 0."""
    shifted = x - greatest(x)
    over = shifted - sparsemax_threshold(shifted)
    return where(over <= 0, 0, over)


def _entmax15_jvp(y: Expr, v: Expr) -> Expr:
    # the inner 1 keeps the derivative of sqrt at 0 out of second derivatives
    weight = where(y <= 0, 0, sqrt(where(y <= 0, 1, y)))
    return weight * (v - total(weight * v) / total(weight))


@along_axis(
    source="Peters, Niculae, Martins 2019, arXiv:1905.05702",
    jvp=_entmax15_jvp,
    span=(0, 1),
    aliases=("entmax",),
    known={
        (1, 0.5, -1): (0.6739926363384382, 0.3260073636615618, 0),
        (3, 1, 0.2): (1, 0, 0),
        (0.1, 0.2, 0.15): (0.3046922010448104, 0.36239113228852293, 0.33291666666666664),
    },
)
def entmax15(x):
    """Halfway between softmax and sparsemax: shares that sum to 1, some of them exactly 0."""
    shifted = (x - greatest(x)) / 2
    over = shifted - entmax15_threshold(shifted)
    return where(over <= 0, 0, over**2)
