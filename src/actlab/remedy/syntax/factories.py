"""Add lines that act on a model before its factory returns it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from actlab.extras_import import need
from actlab.remedy.edit import BeforeReturn
from actlab.remedy.syntax.change import Change, Swap
from actlab.remedy.syntax.names import Names
from actlab.remedy.syntax.program import FUNCTIONS, Program, Refused

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")

_MODEL = "model"


def factory_changes(program: Program, names: Names, edit: BeforeReturn) -> Iterator[Change]:
    """Yield the changes that add the lines.

    Raises:
        Refused: the factory is not found, or has no single place where the model is complete.
    """
    try:
        ast.parse("\n".join(edit.lines))
    except SyntaxError as error:
        raise Refused(f"the lines to add must be statements; got {'; '.join(edit.lines)}") from error
    factory = _factory(program, edit)
    for statement in edit.imports:
        names.require(statement)
    if isinstance(factory, cst.Lambda):
        yield from _of_lambda(program, edit, factory)
    elif isinstance(factory, cst.ClassDef):
        yield _of_class(program, edit, factory)
    else:
        yield _of_function(program, edit, factory)


def _factory(program: Program, edit: BeforeReturn) -> cst.FunctionDef | cst.ClassDef | cst.Lambda:
    if edit.function == "<lambda>":
        found = [one for one in program.all(cst.Lambda) if program.line(one) == edit.line]
        return _only(found, edit)
    named = [
        one for one in program.nodes
        if isinstance(one, cst.FunctionDef | cst.ClassDef) and one.name.value == edit.function
    ]  # fmt: skip
    there = [one for one in named if edit.line in _lines(program, one)]
    return _only(there if edit.line else named, edit)  # type: ignore[arg-type]  # of these two kinds, as chosen above


def _only(found: list[cst.Lambda], edit: BeforeReturn) -> cst.FunctionDef | cst.ClassDef | cst.Lambda:
    if len(found) != 1:
        where = f"on line {edit.line}" if edit.line else "in the file"
        raise Refused(
            f"{'no' if not found else len(found)} {edit.function} {'is' if len(found) < 2 else 'are'} {where}"
        )
    return found[0]


def _lines(program: Program, definition: cst.FunctionDef | cst.ClassDef) -> set[int]:
    """Return the lines that count as its first: of the definition, and of its decorators."""
    return {program.line(definition), *(program.line(each) for each in definition.decorators)}


def _own(program: Program, function: cst.CSTNode) -> Iterator[cst.Return]:
    """Yield the return statements of a function, without those of functions within it."""
    for node in program.all(cst.Return, function):
        if program.enclosing(node, cst.FunctionDef) is function:
            yield node


def _of_function(program: Program, edit: BeforeReturn, function: cst.FunctionDef) -> Change:
    returns = list(_own(program, function))
    if len(returns) != 1:
        raise Refused(f"{edit.function} returns at {len(returns)} places")
    statement = program.parent(returns[0])
    value = returns[0].value
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1 or value is None:
        raise Refused(f"the return of {edit.function} does not stand on a line by itself")
    if isinstance(value, cst.Name):
        lines = [_speaking_of(line, value.value) for line in edit.lines]
        return Swap(statement, "\n".join([*lines, "_0_"]), (statement,))
    name = _free(program, function, _MODEL)
    lines = [_speaking_of(line, name) for line in edit.lines]
    return Swap(statement, "\n".join([f"{name} = _0_", *lines, f"return {name}"]), (value,))


def _of_class(program: Program, edit: BeforeReturn, owner: cst.ClassDef) -> Change:
    constructors = [
        one for one in program.all(cst.FunctionDef, owner)
        if one.name.value == "__init__" and program.owner(one) is owner
    ]  # fmt: skip
    if len(constructors) != 1 or not isinstance(constructors[0].body, cst.IndentedBlock):
        raise Refused(f"{edit.function} has no __init__ at the end of which they could stand")
    if list(_own(program, constructors[0])):
        raise Refused(f"the __init__ of {edit.function} returns early")
    last = constructors[0].body.body[-1]
    myself = constructors[0].params.params[0].name.value
    lines = [_speaking_of(line, myself) for line in edit.lines]
    return Swap(last, "\n".join(["_0_", *lines]), (last,))


def _of_lambda(program: Program, edit: BeforeReturn, function: cst.Lambda) -> Iterator[Change]:
    """Yield the changes of a lambda into a function above its statement."""
    inner = program.enclosing(function, *FUNCTIONS, cst.ClassDef, cst.ListComp, cst.GeneratorExp, cst.DictComp)
    statement = next((one for one in program.above(function) if isinstance(one, cst.BaseStatement)), None)
    if isinstance(inner, cst.Lambda | cst.ClassDef | cst.ListComp | cst.GeneratorExp | cst.DictComp):
        raise Refused("the lambda stands inside another expression with names of its own scope")
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        raise Refused("the statement of the lambda is not on a line by itself")
    parent = program.parent(statement)
    if isinstance(parent, cst.SimpleStatementSuite):
        raise Refused("the statement of the lambda is not on a line by itself")
    defaults = [one.default for one in (*function.params.params, *function.params.kwonly_params) if one.default]
    if any(not isinstance(one, cst.Name | cst.Attribute | cst.BaseNumber | cst.SimpleString) for one in defaults):
        raise Refused("the lambda has computed defaults")
    if "\n" in program.code(function.params):
        raise Refused("the parameters of the lambda go over several lines")
    name, model = _free(program, function, "make_model"), _free(program, function, _MODEL)
    lines = [_speaking_of(line, model) for line in edit.lines]
    body = [f"{model} = _1_", *lines, f"return {model}"]
    yield Swap(function, name)
    head = f"def {name}({program.code(function.params)}):"
    text = "\n".join([head, *(f"    {line}" for line in body), "", "_0_"])
    yield Swap(statement, text, (statement, function.body))


def _free(program: Program, at: cst.CSTNode, name: str) -> str:
    """Return the name, or one like it that the scope does not use."""
    scope = program.scope(at.body if isinstance(at, cst.FunctionDef | cst.Lambda) else at)
    used = {node.value for node in program.all(cst.Name)} if scope else set()
    return next(one for one in (name, *(f"{name}_{count}" for count in range(2, 1000))) if one not in used)


def _speaking_of(line: str, name: str) -> str:
    """Return a line with another name for the model."""
    return re.sub(rf"(?<![\w.]){_MODEL}\b(?!\s*=[^=])", name, line)
