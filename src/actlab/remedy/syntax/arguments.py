"""Set an argument of a call."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from actlab.extras_import import need
from actlab.remedy.edit import ChangeArgument
from actlab.remedy.syntax.activations import spans
from actlab.remedy.syntax.change import Behind, Change, Swap
from actlab.remedy.syntax.origin import TASKS, Tracer, traced
from actlab.remedy.syntax.program import Program, Refused
from actlab.sites.trace.calls import argument_names

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")


def argument_changes(program: Program, edit: ChangeArgument) -> Iterator[Change]:
    """Yield the change that sets the argument.

    Raises:
        Refused: the call is not found, or what it passes is decided elsewhere.
    """
    try:
        ast.literal_eval(edit.value)
    except (ValueError, SyntaxError) as error:
        raise Refused(f"the value must be a Python literal; got {edit.value}") from error
    calls = _calls(program, edit)
    if not calls:
        raise Refused(f"no call of {edit.call} is written on line {edit.line}")
    if len(calls) > 1 and not edit.everywhere:
        raise Refused(f"line {edit.line} holds {len(calls)} calls of {edit.call}")
    for call in calls:
        why = Tracer(program, lambda node: False).repeated(call)
        if why and not edit.everywhere:
            raise Refused(f"it stands for several calls, as {why}")
        yield _set(program, edit, call)


def _calls(program: Program, edit: ChangeArgument) -> list[cst.Call]:
    def is_it(node: cst.CSTNode) -> bool:
        return isinstance(node, cst.Call) and _last(program, node) == edit.call

    direct = [call for call in program.all(cst.Call) if is_it(call) and spans(program, call, edit.line)]
    found = [call for call in direct if program.line(call) == edit.line] or direct[-1:]
    if found:
        return found
    calls = [
        call for call in program.all(cst.Call) if program.line(call) == edit.line and not program.dotted(call.func)
    ]
    origins = traced(Tracer(program, is_it), calls)
    return list({id(one.node): one.node for _, one in origins if isinstance(one.node, cst.Call)}.values())


def _last(program: Program, call: cst.Call) -> str:
    """Return the last part of the called name, whatever the file calls it."""
    dotted = program.dotted(call.func) or program.code(call.func)
    return dotted.rpartition(".")[2]


def _set(program: Program, edit: ChangeArgument, call: cst.Call) -> Change:
    for arg in call.args:
        if arg.star == "**" or (arg.star and edit.position >= 0):
            raise Refused(f"the arguments of {edit.call} are passed by {arg.star}")
        if arg.keyword is not None and arg.keyword.value == edit.argument:
            return _value(program, edit, arg)
    positional = [arg for arg in call.args if arg.keyword is None and not arg.star]
    place = edit.position if edit.position >= 0 else _place(program, call, edit.argument)
    if 0 <= place < len(positional):
        return _value(program, edit, positional[place])
    return Behind(call, len(call.args) - 1, f"{edit.argument}={edit.value}")


def _value(program: Program, edit: ChangeArgument, arg: cst.Arg) -> Change:
    """Return the change of a value that is a literal, or a variable which decides nothing else."""
    try:
        ast.literal_eval(program.code(arg.value))
    except (ValueError, SyntaxError):
        pass
    else:
        return Swap(arg.value, edit.value)
    if isinstance(arg.value, cst.Name | cst.Attribute) and not program.dotted(arg.value):
        origins = Tracer(program, lambda node: _is_literal(program, node)).origins(arg.value)
        loads = {id(load) for origin in origins for _, reads in origin.loads for load in reads}
        if len(origins) == 1 and len(loads) == len(origins[0].loads):
            return Swap(origins[0].node, edit.value)
    return Swap(arg.value, edit.value)


def _is_literal(program: Program, node: cst.CSTNode) -> bool:
    try:
        ast.literal_eval(program.code(node))
    except (ValueError, SyntaxError):
        return False
    return True


def _place(program: Program, call: cst.Call, argument: str) -> int:
    """Return the argument's index among the positional ones; -1 if it is unknown or a keyword alone."""
    dotted = program.dotted(call.func)
    if dotted in TASKS:
        return -1
    if dotted.startswith("torch."):
        known = _known(dotted)
    elif isinstance(call.func, cst.Attribute):
        method = getattr(torch.Tensor, call.func.attr.value, None)
        known = list(argument_names(method))[1:] if method is not None else []
    else:
        known = []
    return known.index(argument) if argument in known else -1


def _known(dotted: str) -> list[str]:
    home, _, name = dotted.rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(home), name)
    except (ImportError, AttributeError):
        return []
    if inspect.isclass(found):
        return list(inspect.signature(found).parameters)
    return list(argument_names(found))
