"""An activation and its derivatives as one program that runs without actlab."""

from __future__ import annotations

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation, V, X, Y
from actlab.formula.expr import Expr, Input
from actlab.lower.choose import lowering
from actlab.lower.straight_line import Leaf, Program, safe_name


def standalone(act: Activation | AxisActivation, target: str) -> str:
    """Return the program's text: the activation under its name, and each derivative under a name of its own.

    Parameters stand in it at their values.

    Raises:
        CannotLower: there is no such target, or it cannot spell the formula.
    """
    lower = lowering(target)
    name = entry_name(act.name)
    programs = [
        lower([expression], args, entry=entry, summary=summary)
        for entry, expression, args, summary in _parts(act, name)
    ]
    return "\n\n\n".join(_without_repeats(programs)) + "\n"


def entry_name(name: str) -> str:
    """Return the activation's name as a function name; `activation` for a typed formula."""
    return safe_name(name) if name.isidentifier() else "activation"


def _parts(act: Activation | AxisActivation, name: str) -> list[tuple[str, Expr, list[Leaf], str]]:
    details = f"{act.label}; {act.source}" if act.source else act.label
    about = f"{act.summary} ({details})" if act.family != "typed" else f"{act.name}"
    if isinstance(act, AxisActivation):
        return [
            (name, act.expression, [X], about),
            (f"{name}_jvp", act.jvp, [Y, V], f"The Jacobian of {name} times v, by its output y."),
            (f"{name}_vjp", act.vjp, [Y, V], f"v times the Jacobian of {name}, by its output y."),
        ]
    args: list[Leaf] = [Input(given) for given in act.inputs]
    parts = [(name, act.formula, args, about)]
    for given in act.inputs:
        suffix = "derivative" if len(args) == 1 else f"derivative_by_{given}"
        parts.append((f"{name}_{suffix}", act.derivative(given), args, f"The derivative of {name} by {given}."))
    return parts


def _without_repeats(programs: list[Program]) -> list[str]:
    """Return the blocks of all programs, each once: they share imports and helper functions."""
    blocks: dict[str, None] = {}
    for program in programs:
        for block in program.source.strip().split("\n\n\n"):
            blocks[block] = None
    return list(blocks)
