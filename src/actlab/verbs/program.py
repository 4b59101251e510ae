"""Write an activation and its derivatives as a program that a page can run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from actlab.formula.activation import Activation, typed
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.formula.param import Param
from actlab.formula.substitute import substitute
from actlab.lower import to_js
from actlab.lower.straight_line import Leaf
from actlab.verbs.activation_lookup import AnyActivation, activation_named, param_facts

NAME = "f"
"""What the module exports."""


@dataclass(frozen=True)
class JavaScript:
    """A module that exports one function `f` of the inputs and, after them, the parameters.

    For an activation of one input, `f` returns `[y, dy, d2y]`: the value, its first and its second derivative. For a
    gated one, it returns the value and the derivative by each input. For one that acts along an axis, `f` takes an
    array and returns one.

    Attributes:
        text: the module.
        inputs: the names of the inputs.
        outputs: what each entry of an answer is.
        params: the parameters in the order of the arguments, each at its value.
    """

    text: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[Param, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the text, the inputs, the outputs, and each parameter with its value and bounds."""
        return {
            "javascript": self.text,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "params": [_param(param) for param in self.params],
        }

    def lines(self) -> list[str]:
        """Return the module."""
        return self.text.rstrip("\n").split("\n")


def javascript(formula: str, **params: float) -> JavaScript:
    """Write an activation and its derivatives as one JavaScript module, whose parameters are arguments.

    Args:
        formula: a name, a typed formula, or `file.py:name`.
        params: values of its parameters: the defaults of the function's arguments.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        CannotLower: JavaScript cannot express the formula.

    Example:
        >>> javascript("swish").outputs
        ('y', 'dy', 'd2y')
    """
    return program_of(activation_named(formula, **params))


def program_of(act: AnyActivation) -> JavaScript:
    """Return the program of an activation.

    Raises:
        CannotLower: JavaScript cannot express the formula.
    """
    if isinstance(act, AxisActivation):
        named = {"y": act.expression}
    elif len(act.inputs) == 1:
        named = _with_derivatives(act.expression, Input(act.inputs[0]))
    else:
        named = {"y": act.expression} | {f"d{name}": derivative(act.expression, Input(name)) for name in act.inputs}
    references = [ParamRef(param.name) for param in act.params]
    args: tuple[Leaf, ...] = (*map(Input, act.inputs), *references)
    defaults: dict[Leaf, float] = {
        reference: param.value for reference, param in zip(references, act.params, strict=True)
    }
    function = to_js.Function(NAME, tuple(named.values()), args, defaults=defaults)
    return JavaScript(to_js.module([function]), act.inputs, tuple(named), act.params)


def over_gate(act: Activation) -> JavaScript:
    """Return the program of a gated unit over its gate alone: its value is the first parameter, at 1."""
    value = act.inputs[0]
    held = Param(1.0, name=value)
    formula = substitute(act.expression, {Input(value): ParamRef(value)})
    return program_of(typed(act.name, formula, (held, *act.params)))


def _with_derivatives(formula: Expr, by: Input) -> dict[str, Expr]:
    slope = derivative(formula, by)
    return {"y": formula, "dy": slope, "d2y": derivative(slope, by)}


def _param(param: Param) -> dict[str, Any]:
    """Return a parameter as plain values; a bound that it does not have is None."""
    bounds = {"above": param.above, "least": param.least, "below": param.below, "most": param.most}
    return {**param_facts(param), **{name: bound if math.isfinite(bound) else None for name, bound in bounds.items()}}
