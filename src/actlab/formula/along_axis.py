"""Activations along an axis, such as softmax: a second kind of value with the same interface.

Their derivative is a matrix, so it is declared as products with a vector from either side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from actlab.formula.activation import summary_of
from actlab.formula.expr import Expr, Input, Operand, Over, expr
from actlab.formula.param import Param


def total(x: Operand) -> Expr:
    """Return the sum along the axis."""
    return Over("total", expr(x))


def greatest(x: Operand) -> Expr:
    """Return the maximum along the axis."""
    return Over("greatest", expr(x))


def sparsemax_threshold(x: Operand) -> Expr:
    """Return the τ for which max(x − τ, 0) sums to 1 along the axis."""
    return Over("sparsemax_threshold", expr(x))


def entmax15_threshold(x: Operand) -> Expr:
    """Return the τ for which max(x − τ, 0)² sums to 1 along the axis."""
    return Over("entmax15_threshold", expr(x))


REDUCTIONS = ("total", "greatest", "sparsemax_threshold", "entmax15_threshold")

X, Y, V = Input("x"), Input("y"), Input("v")


@final
@dataclass(frozen=True)
class AxisActivation:
    """An activation that acts on all the values along one axis together.

    Attributes:
        name, summary, source, family, aliases, reference, note: as for `Activation`.
        known: pairs of input and output vectors, if there is no reference implementation.
        expression: the formula of the input `x`.
        jvp: the Jacobian times a vector `v`, by the input `x` and the output `y`.
        vjp: a vector `v` times the Jacobian, likewise.
        lower, upper: the range of each output.
    """

    name: str
    summary: str
    expression: Expr
    jvp: Expr
    vjp: Expr
    lower: float
    upper: float
    source: str = ""
    family: str = "along_axis"
    aliases: tuple[str, ...] = ()
    reference: str | None = None
    known: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    note: str = ""

    inputs: tuple[str, ...] = ("x",)
    params: tuple[Param, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def key(self) -> str:
        """A digest of the mathematics alone."""
        return self.expression.digest


def along_axis(
    *,
    jvp: Callable[[Expr, Expr], Expr],
    vjp: Callable[[Expr, Expr], Expr] | None = None,
    span: tuple[float, float],
    source: str = "",
    aliases: tuple[str, ...] = (),
    reference: str | None = None,
    known: Mapping[tuple[float, ...], tuple[float, ...]] | None = None,
    note: str = "",
) -> Callable[[Callable[[Expr], Expr]], AxisActivation]:
    """Turn a formula with reductions into an `AxisActivation`; use it as a decorator.

    Args:
        jvp: the Jacobian times a vector, as a function of the output `y` and the vector `v`.
        vjp: a vector times the Jacobian; the same as `jvp` where the Jacobian is symmetric.
        span: the smallest and the largest value that an output can take or tend to.
        source, aliases, reference, known, note: as for `activation`.
    """

    def declare(function: Callable[[Expr], Expr]) -> AxisActivation:
        return AxisActivation(
            name=function.__name__.rstrip("_"),
            summary=summary_of(function),
            expression=function(X),
            jvp=jvp(Y, V),
            vjp=(vjp or jvp)(Y, V),
            lower=span[0],
            upper=span[1],
            source=source,
            family=function.__module__.rpartition(".")[2],
            aliases=aliases,
            reference=reference,
            known=tuple((known or {}).items()),
            note=note,
        )

    return declare
