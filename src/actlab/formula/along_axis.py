"""Activations along an axis, such as softmax: a second kind of value with the same interface.

Their derivative is a matrix, so it is declared as products with a vector from either side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

from actlab.errors import BadParam
from actlab.formula.activation import signature_of, summary_of
from actlab.formula.atoms import where
from actlab.formula.axis_products import pulled_back, pushed_forward
from actlab.formula.expr import Expr, Input, Number, Operand, Over, ParamRef, expr
from actlab.formula.param import Param
from actlab.formula.substitute import substitute
from actlab.formula.text import number_text


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


def is_masked(x: Operand, *, then: Operand, otherwise: Operand) -> Expr:
    """Return `then` where x is infinite, as masked entries and the maximum of masked rows are; else `otherwise`."""
    # infinity less itself is NaN, of which no comparison holds
    return where(expr(x) - x <= 0, otherwise, then)


def count(x: Operand) -> Expr:
    """Return how many entries along the axis are not masked."""
    return total(is_masked(x, then=0, otherwise=1))


def peak(x: Operand) -> Expr:
    """Return the maximum along the axis; 0 if every entry is masked. Formulas are shifted by it, and nothing else."""
    top = greatest(x)
    return is_masked(top, then=0, otherwise=top)


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
        jvp: the Jacobian times a vector `v`, by the output `y`, or by the input `x` if it was derived.
        vjp: a vector `v` times the Jacobian, likewise.
        lower, upper: the range of each output.
        params: its parameters in order, each with its value; `expression`, `jvp` and `vjp` refer to them.
        by_input: whether `jvp` and `vjp` are functions of the input rather than of the output.
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
    by_input: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """The name with its parameter values, in the form that `actlab.get` reads."""
        values = ", ".join(f"{param.name}={number_text(param.exact)}" for param in self.params)
        return f"{self.name}({values})" if values else self.name

    @property
    def fixed(self) -> AxisActivation:
        """The same with every parameter at its value."""
        return self if not self.params else self._substituted({ParamRef(p.name): Number(p.exact) for p in self.params})

    @property
    def key(self) -> str:
        """A digest of the mathematics alone."""
        return self.fixed.expression.digest

    def bind(self, **values: float) -> AxisActivation:
        """Return the same activation with other parameter values.

        Raises:
            BadParam: a parameter is unknown, not a number or out of its bounds.
        """
        known = {param.name: param for param in self.params}
        for name in values:
            if name not in known:
                raise BadParam(f"{self.name} has no parameter '{name}'; it has {', '.join(known) or 'none'}.")
        changed = {name: known[name].with_value(value, owner=self.name) for name, value in values.items()}
        return replace(self, params=tuple(changed.get(param.name, param) for param in self.params))

    def _substituted(self, exchange: Mapping[Expr, Expr]) -> AxisActivation:
        expression, jvp, vjp = (substitute(each, exchange) for each in (self.expression, self.jvp, self.vjp))
        return replace(self, expression=expression, jvp=jvp, vjp=vjp)


def along_axis(
    *,
    jvp: Callable[[Expr, Expr], Expr] | None = None,
    vjp: Callable[[Expr, Expr], Expr] | None = None,
    span: tuple[float, float],
    source: str = "",
    aliases: tuple[str, ...] = (),
    reference: str | None = None,
    known: Mapping[tuple[float, ...], tuple[float, ...]] | None = None,
    note: str = "",
) -> Callable[[Callable[..., Expr]], AxisActivation]:
    """Turn a formula with reductions into an `AxisActivation`; use it as a decorator.

    Arguments whose default is a `Param` are parameters, as for `activation`.

    Args:
        jvp: the Jacobian times a vector, as a function of the output `y` and the vector `v`. If left out, it is
            derived from the formula, as a function of the input.
        vjp: a vector times the Jacobian; the same as `jvp` where the Jacobian is symmetric.
        span: the smallest and the largest value that an output can take or tend to.
        source, aliases, reference, known, note: as for `activation`.
    """

    def declare(function: Callable[..., Expr]) -> AxisActivation:
        _, params = signature_of(function)
        expression = function(X, **{param.name: ParamRef(param.name) for param in params})
        forward = pushed_forward(expression, X, V) if jvp is None else jvp(Y, V)
        backward = vjp or jvp
        return AxisActivation(
            name=function.__name__.rstrip("_"),
            summary=summary_of(function),
            expression=expression,
            jvp=forward,
            vjp=pulled_back(expression, X, V) if backward is None else backward(Y, V),
            lower=span[0],
            upper=span[1],
            source=source,
            family=function.__module__.rpartition(".")[2],
            aliases=aliases,
            reference=reference,
            known=tuple((known or {}).items()),
            note=note,
            params=params,
            by_input=jvp is None,
        )

    return declare
