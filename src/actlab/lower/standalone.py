"""An activation and its derivatives as one program that runs without actlab."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation, V, X, Y
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, ParamRef, expr
from actlab.formula.param import Param
from actlab.lower import to_js
from actlab.lower.choose import lowering
from actlab.lower.pytorch_source import differentiable_function, learning_module
from actlab.lower.straight_line import Leaf, Program, safe_name


@dataclass(frozen=True)
class _Part:
    """One function of the program: its name, formula, arguments, and the line that describes it."""

    name: str
    formula: Expr
    args: tuple[Leaf, ...]
    summary: str


def standalone(act: Activation | AxisActivation, target: str) -> str:
    """Return the program's text: the activation under its name, and each derivative under a name of its own.

    Parameters are constants in it. In PyTorch's the learned ones are arguments, and `nn.Parameter`s of a module that
    follows the functions; automatic differentiation of its functions is right at every input. In JavaScript's all are
    arguments.

    Raises:
        CannotLower: there is no such target, or it cannot spell the formula.
    """
    if target == to_js.TARGET:
        return _javascript(act)
    lower = lowering(target)
    learned = learned_params(act) if target == "torch" else ()
    start: Mapping[Expr, Expr] = {ParamRef(param.name): expr(param.exact) for param in learned}
    programs = []
    for part in _parts(act, learned):
        if target == "torch":
            programs.append(differentiable_function(part.formula, part.args, start, part.name, part.summary))
        else:
            programs.append(lower([part.formula], list(part.args), entry=part.name, summary=part.summary))
    blocks = _without_repeats(programs)
    if learned:
        blocks.append(learning_module(programs[0], learned, summary=act.summary))
    imports, *rest = blocks
    return "\n\n\n".join([_needed(imports, "\n".join(rest)), *rest]) + "\n"


def _javascript(act: Activation | AxisActivation) -> str:
    """Return the module's text; every parameter is an argument whose default is its value."""
    params = () if isinstance(act, AxisActivation) else act.params
    defaults: Mapping[Leaf, float] = {ParamRef(param.name): param.value for param in params}
    return to_js.module(
        [
            to_js.Function(to_js.function_name(part.name), (part.formula,), part.args, part.summary, defaults)
            for part in _parts(act, params)
        ]
    )


def entry_name(name: str) -> str:
    """Return the activation's name as a function name; `activation` for a typed formula."""
    return safe_name(name) if name.isidentifier() else "activation"


def learned_params(act: Activation | AxisActivation) -> tuple[Param, ...]:
    """Return the parameters that a module learns."""
    return tuple(param for param in act.params if param.trainable)


def _parts(act: Activation | AxisActivation, kept: tuple[Param, ...]) -> list[_Part]:
    name = entry_name(act.name)
    details = f"{act.label}; {act.source}" if act.source else act.label
    about = f"{act.summary} ({details})" if act.family != "typed" else f"{act.name}"
    if isinstance(act, AxisActivation):
        return [
            _Part(name, act.expression, (X,), about),
            _Part(f"{name}_jvp", act.jvp, (Y, V), f"The Jacobian of {name} times v, by its output y."),
            _Part(f"{name}_vjp", act.vjp, (Y, V), f"v times the Jacobian of {name}, by its output y."),
        ]
    constant = ", ".join(param.name for param in learned_params(act) if param not in kept)
    about = f"{about} Learned, but constant here: {constant}." if constant else about
    inputs = [Input(given) for given in act.inputs]
    weights = [ParamRef(param.name) for param in kept]
    formula = act.with_references(*(param.name for param in kept))
    args: tuple[Leaf, ...] = (*inputs, *weights)
    parts = [_Part(name, formula, args, about)]
    for leaf in inputs:
        by = "" if len(inputs) == 1 else f"_by_{leaf.name}"
        summary = f"The derivative of {name} by {leaf.name}."
        parts.append(_Part(f"{name}_derivative{by}", derivative(formula, leaf), args, summary))
    return parts


def _without_repeats(programs: list[Program]) -> list[str]:
    """Return the blocks of all programs, each once: they share imports and helper functions."""
    blocks: dict[str, None] = {}
    for program in programs:
        for block in program.source.strip().split("\n\n\n"):
            blocks[block] = None
    return list(blocks)


def _needed(imports: str, code: str) -> str:
    """Return the imports whose names the code uses."""
    lines = imports.split("\n")
    needed = [line for line in lines if not line or re.search(rf"\b{line.split()[-1]}[.(]", code)]
    return "\n".join(needed).strip()
