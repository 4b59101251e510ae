"""An activation as a value, and the decorator that turns a Python function into one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from typing import final, overload

from actlab.deprecation import renamed_keyword
from actlab.errors import BadFormula, BadParam
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, Number, Operand, Over, ParamRef, expr, input_names, walk
from actlab.formula.param import Param
from actlab.formula.substitute import substitute
from actlab.formula.tails import with_tails
from actlab.formula.text import number_text


@final
@dataclass(frozen=True)
class Activation:
    """A formula with a name, parameters and a source, from which everything else is derived.

    Calling it with expressions puts its formula, parameters at their values, into a larger one.

    Attributes:
        name: its name in the catalog, or the formula given as text.
        summary: what it does, in one sentence.
        inputs: the names of its inputs: one, or two for a gated unit.
        params: its parameters in order, each with its value.
        expression: the formula, parameters left as references, in atoms that keep its tails (`formula.tails`).
        source: the paper or library it comes from.
        family: the family it belongs to.
        aliases: other names for it.
        reference: the reference implementation that tests and measurements compare with.
        known: pairs of input and output from the source, if there is no reference implementation.
        note: what a user should know about names or variants.
    """

    name: str
    summary: str
    inputs: tuple[str, ...]
    params: tuple[Param, ...]
    expression: Expr
    source: str = ""
    family: str = "typed"
    aliases: tuple[str, ...] = ()
    reference: str | None = None
    known: tuple[tuple[float | tuple[float, ...], float], ...] = ()
    note: str = ""

    def __str__(self) -> str:
        return self.name

    def __call__(self, *inputs: Operand, **values: Operand) -> Expr:
        if len(inputs) != len(self.inputs):
            raise BadFormula(f"{self.name} takes {_counted(len(self.inputs), 'input')}; got {len(inputs)}.")
        self._refuse_unknown(values)
        exchange: dict[Expr, Expr] = {Input(name): expr(given) for name, given in zip(self.inputs, inputs, strict=True)}
        for param in self.params:
            exchange[ParamRef(param.name)] = expr(values.get(param.name, param.exact))
        return substitute(self.expression, exchange)

    def bind(self, **values: float) -> Activation:
        """Return the same activation with other parameter values.

        Raises:
            BadParam: a parameter is unknown, not a number or out of its bounds.
        """
        self._refuse_unknown(values)
        params = tuple(
            param.with_value(values[param.name], owner=self.name) if param.name in values else param
            for param in self.params
        )
        return replace(self, params=params)

    @property
    def label(self) -> str:
        """The name with its parameter values, in the form that `actlab.get` reads."""
        if not self.params or self.family == "typed":
            return self.name
        values = ", ".join(f"{param.name}={number_text(param.exact)}" for param in self.params)
        return f"{self.name}({values})"

    @property
    def formula(self) -> Expr:
        """The formula with every parameter at its value."""
        return self.with_references()

    def with_references(self, *kept: str) -> Expr:
        """Return the formula with the named parameters as references and all others at their values."""
        exchange: dict[Expr, Expr] = {
            ParamRef(param.name): Number(param.exact) for param in self.params if param.name not in kept
        }
        return substitute(self.expression, exchange)

    def derivative(self, by: str | None = None, *, times: int = 1) -> Expr:
        """Return the derivative by an input (the first unless named), parameters at their values."""
        result = self.formula
        for _ in range(times):
            result = derivative(result, Input(self.inputs[0] if by is None else by))
        return result

    @property
    def key(self) -> str:
        """A digest of the mathematics alone: equal for equal formulas at equal parameter values."""
        return sha256("\x1f".join((*self.inputs, self.formula.digest)).encode()).hexdigest()[:24]

    @property
    def samplers(self) -> Mapping[str, Param]:
        """The parameters that are drawn at random while training."""
        return {param.name: param for param in self.params if param.sampler is not None}

    def _refuse_unknown(self, values: Mapping[str, object]) -> None:
        known = [param.name for param in self.params]
        for name in values:
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise BadParam(f"{self.name} has no parameter '{name}'; {has}.")


Formula = Callable[..., Operand]


@overload
def activation(function: Formula, /) -> Activation: ...


@overload
def activation(
    *,
    source: str = "",
    aliases: tuple[str, ...] = (),
    reference: str | None = None,
    known: Mapping[float | tuple[float, ...], float] | None = None,
    note: str = "",
) -> Callable[[Formula], Activation]: ...


@renamed_keyword("twin", "reference")
def activation(
    function: Formula | None = None,
    /,
    *,
    source: str = "",
    aliases: tuple[str, ...] = (),
    reference: str | None = None,
    known: Mapping[float | tuple[float, ...], float] | None = None,
    note: str = "",
) -> Activation | Callable[[Formula], Activation]:
    """Turn a formula, written as a Python function, into an `Activation`; use it as a decorator.

    The function is called once, with symbols: arguments without a default are inputs, arguments whose default is
    a `Param` (or a plain number) are parameters, the docstring is the summary.

    Args:
        function: the formula, where the decorator is written without brackets.
        source: the paper, with its number, or the library. Every activation of the catalog names one.
        aliases: other names that find it.
        reference: the dotted name of a reference implementation; only tests and measurements read it.
        known: outputs from the source, by input: at least three if there is no reference implementation.
        note: what a user should know about names or variants.

    Raises:
        BadFormula: the function has no input or more than two, leaves an input unused, or does not return a formula.

    Example:
        >>> from actlab.formula.atoms import sigmoid
        >>> from actlab.formula.text import text
        >>> @activation
        ... def swish(x, beta=Param(1.0, trainable=True)):
        ...     "The input, scaled by its own sigmoid."
        ...     return x * sigmoid(beta * x)
        >>> text(swish.derivative())
        'sigmoid(1*x) + x*(sigmoid(1*x)*sigmoid(-(1*x)))'
    """

    def declare(function: Formula) -> Activation:
        inputs, params = _signature(function)
        symbols = [Input(name) for name in inputs]
        references = {param.name: ParamRef(param.name) for param in params}
        expression = with_tails(expr(function(*symbols, **references)))
        name = function.__name__.rstrip("_")
        _refuse_unfit(name, expression, inputs)
        return Activation(
            name=name,
            summary=summary_of(function),
            inputs=inputs,
            params=params,
            expression=expression,
            source=source,
            family=function.__module__.rpartition(".")[2],
            aliases=aliases,
            reference=reference,
            known=tuple((known or {}).items()),
            note=note,
        )

    if function is None:
        return declare
    if not callable(function):
        raise BadFormula(f"activation: the formula must be a function; got {type(function).__name__} {function!r}.")
    return declare(function)


def typed(name: str, expression: Expr, params: tuple[Param, ...] = ()) -> Activation:
    """Return an activation of a formula given as text, in atoms that keep its tails.

    Raises:
        BadFormula: the formula does not depend on an input.
    """
    inputs = tuple(sorted(input_names(expression), key=("x", "value", "gate").index))
    _refuse_unfit(name, expression, inputs or ("x",))
    return Activation(name, "A formula given as text.", inputs, params, with_tails(expression))


def summary_of(function: Callable[..., object]) -> str:
    """Return the first line of the docstring."""
    return inspect.cleandoc(function.__doc__ or "Declared without a description.").partition("\n")[0]


def _signature(function: Formula) -> tuple[tuple[str, ...], tuple[Param, ...]]:
    inputs: list[str] = []
    params: list[Param] = []
    for name, argument in inspect.signature(function).parameters.items():
        match argument.default:
            case inspect.Parameter.empty:
                inputs.append(name)
            case Param() as param:
                params.append(_admitted(replace(param, name=name), owner=function.__name__))
            case int() | float() | Fraction() as value:
                params.append(Param(float(value), name=name))
            case other:
                raise BadFormula(
                    f"{function.__name__}: the default of {name} must be a Param or a number; got {other!r}."
                )
    return tuple(inputs), tuple(params)


def _admitted(param: Param, *, owner: str) -> Param:
    return param.with_value(param.value, owner=owner)


def _refuse_unfit(name: str, expression: Expr, inputs: tuple[str, ...]) -> None:
    if len(inputs) not in (1, 2):
        raise BadFormula(f"{name} must have one input, or two for a gated unit; got {len(inputs)}.")
    unused = [given for given in inputs if given not in input_names(expression)]
    if unused:
        raise BadFormula(f"{name} does not depend on {' or '.join(unused)}; a formula must use its input.")
    if any(isinstance(node, Over) for node in walk(expression)):
        raise BadFormula(f"{name} acts along an axis; declare it with @along_axis.")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
