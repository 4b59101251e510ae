"""Find the layer on a line, and put an activation or another module behind or before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from torch import nn

from actlab.extras_import import need
from actlab.remedy.edit import InsertActivation, InsertModule
from actlab.remedy.syntax.activations import Spelled, spans
from actlab.remedy.syntax.change import Behind, Change, Swap
from actlab.remedy.syntax.names import Names
from actlab.remedy.syntax.origin import Tracer, assigned
from actlab.remedy.syntax.program import Program, Refused
from actlab.remedy.syntax.wanted import Wanted

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")

Insertion = InsertActivation | InsertModule


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """A layer in the text.

    Attributes:
        constructed: the call that constructs it; None for a function of PyTorch.
        holder: the call, list or tuple in which the constructor is an item; None if a variable holds the layer.
        at: its index there.
        applied: the call that applies it, if a variable holds it.
    """

    constructed: cst.Call | None
    holder: cst.CSTNode | None = None
    at: int = -1
    applied: cst.Call | None = None


def layer_changes(program: Program, names: Names, edit: Insertion) -> Iterator[Change]:
    """Yield the changes that insert an activation or a module beside a layer.

    Raises:
        Refused: the layer is not found, or its neighbor cannot be written.
    """
    found = _layers(program, edit)
    tracer = Tracer(program, lambda node: False)
    for layer in found:
        for node in (layer.constructed, layer.applied):
            why = tracer.repeated(node) if node is not None and not edit.everywhere else ""
            if why:
                raise Refused(f"it stands for several layers, as {why}")
        if layer.holder is not None:
            yield _in_sequence(program, names, edit, layer)
        else:
            yield from _at_call(program, names, edit, layer)


def _in_sequence(program: Program, names: Names, edit: Insertion, layer: Layer) -> Change:
    assert layer.holder is not None
    assert layer.constructed is not None
    before = isinstance(edit, InsertModule) and edit.where == "before"
    text = _module(program, names, edit, at=layer.constructed)
    return Behind(layer.holder, layer.at - 1 if before else layer.at, text)


def _module(program: Program, names: Names, edit: Insertion, *, at: cst.Call) -> str:
    """Return the text that constructs the new module."""
    like = program.code(at.func)
    if isinstance(edit, InsertActivation):
        name, values = Wanted(edit.activation, edit.arguments).module(names, at, like=like)
        return f"{name}({', '.join(values)})"
    name, arguments = _parsed(edit.module)
    return f"{names.write(name, at, like=like)}({arguments})"


def _parsed(text: str) -> tuple[str, str]:
    """Return the full dotted name and the arguments of a module's constructor.

    Example:
        >>> _parsed("nn.BatchNorm1d(32)")
        ('torch.nn.BatchNorm1d', '32')
    """
    try:
        call = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise Refused(f"the module to insert must be a call such as nn.BatchNorm1d(32); got {text}") from error
    if not isinstance(call, ast.Call):
        raise Refused(f"the module to insert must be a call such as nn.BatchNorm1d(32); got {text}")
    name = ast.unparse(call.func)
    full = f"torch.{name}" if name.startswith("nn.") else name
    arguments = [ast.unparse(one) for one in (*call.args, *call.keywords)]
    return full, ", ".join(arguments)


def _at_call(program: Program, names: Names, edit: Insertion, layer: Layer) -> Iterator[Change]:
    call = layer.applied
    if call is None:
        raise Refused("the layer is not called in this file")
    if isinstance(edit, InsertActivation):
        name, values = Wanted(edit.activation, edit.arguments).function(names, call)
        yield Swap(call, f"{name}({', '.join(['_0_', *values])})", (call,))
        return
    kind = _parsed(edit.module)[0].rpartition(".")[2].lower()
    if layer.constructed is None:
        line, name = _end_of_constructor(program, call), f"self.{names.attribute(kind)}"
    else:
        line, held = _assignment(program, layer.constructed)
        name = f"self.{names.attribute(f'{held.attr.value}_{kind}')}"
    yield Swap(line, f"_0_\n{name} = {_module(program, names, edit, at=layer.constructed or call)}", (line,))
    kept = call if edit.where == "after" else _input(call)
    yield Swap(kept, f"{name}(_0_)", (kept,))


def _assignment(program: Program, constructed: cst.Call) -> tuple[cst.SimpleStatementLine, cst.Attribute]:
    """Return the line that assigns a layer to an attribute of `self`, and that attribute."""
    statement = next((each for each in program.above(constructed) if isinstance(each, cst.Assign)), None)
    line = program.parent(statement) if statement is not None else None
    targets = [] if statement is None else list(_attributes(statement))
    target = next((one for one in targets if statement and assigned(statement, one) is constructed), None)
    if target is None or not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        raise Refused("the layer is not assigned by itself")
    return line, target


def _end_of_constructor(program: Program, call: cst.Call) -> cst.CSTNode:
    """Return the last statement of the constructor of the class whose method makes a call."""
    owner = program.owner(call)
    functions = [] if owner is None else list(program.all(cst.FunctionDef, owner))
    found = [one for one in functions if one.name.value == "__init__" and program.owner(one) is owner]
    if len(found) != 1 or not isinstance(found[0].body, cst.IndentedBlock):
        raise Refused("a function is called there, and its class has no __init__ to which a module could be added")
    loop = program.enclosing(call, cst.For, cst.While, cst.FunctionDef, cst.GeneratorExp, cst.ListComp)
    if not isinstance(loop, cst.FunctionDef):
        raise Refused("a function is called there in a loop, and each of its calls would need a module of its own")
    if any(program.enclosing(one, cst.FunctionDef) is found[0] for one in program.all(cst.Return, found[0])):
        raise Refused("the __init__ of its class returns early")
    return found[0].body.body[-1]


def _input(call: cst.Call) -> cst.BaseExpression:
    """Return the input of a layer or a function that is called."""
    if isinstance(call.func, cst.Attribute) and not call.args:
        return call.func.value
    if not call.args or call.args[0].star or call.args[0].keyword is not None:
        raise Refused("its input is not its first argument")
    return call.args[0].value


def _layers(program: Program, edit: Insertion) -> list[Layer]:
    found = [layer for call in _on_line(program, edit.line) if (layer := _layer(program, call, edit)) is not None]
    if not found:
        raise Refused(f"no layer is written on line {edit.line}")
    if len(found) > 1 and not edit.everywhere:
        raise Refused(f"line {edit.line} holds {len(found)} layers")
    return found


def _on_line(program: Program, line: int) -> list[cst.Call]:
    calls = [call for call in program.all(cst.Call) if spans(program, call, line)]
    beginning = [call for call in calls if program.line(call) == line]
    return beginning or calls


def _layer(program: Program, call: cst.Call, edit: Insertion) -> Layer | None:
    name = program.dotted(call.func)
    if _is_layer(name, edit.spelling):
        above = program.parent(call)
        holder = program.parent(above) if isinstance(above, cst.Arg | cst.Element) else None
        if isinstance(above, cst.Arg) and isinstance(holder, cst.Call):
            if program.dotted(holder.func) != "torch.nn.Sequential":
                return None
            return Layer(call, holder, holder.args.index(above))
        if isinstance(above, cst.Element) and isinstance(holder, cst.List | cst.Tuple):
            return Layer(call, holder, holder.elements.index(above))
        return _applied(program, call)
    spelled = Spelled(program, edit.spelling)
    if spelled.kind in {"F", "torch", "x"} and spelled.is_call(call):
        return Layer(None, applied=call)
    if not name:
        return _called(program, call, edit)
    return None


def _is_layer(dotted: str, spelling: str) -> bool:
    """Return whether a dotted name is a class of `torch.nn` that is spelled so, or has weights if none is named."""
    name = dotted.removeprefix("torch.nn.")
    if name == dotted or "." in name:
        return False
    if spelling:
        return spelling == f"nn.{name}"
    kind = getattr(nn, name, None)
    weighted = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.Embedding)
    return isinstance(kind, type) and issubclass(kind, weighted)


def _called(program: Program, call: cst.Call, edit: Insertion) -> Layer | None:
    tracer = Tracer(
        program, lambda node: isinstance(node, cst.Call) and _is_layer(program.dotted(node.func), edit.spelling)
    )
    try:
        origins = tracer.origins(call.func)
    except Refused:
        return None
    literal = [origin.node for origin in origins if isinstance(origin.node, cst.Call)]
    return Layer(literal[0], applied=call) if len(literal) == 1 else None


def _applied(program: Program, constructed: cst.Call) -> Layer:
    """Return the layer of a constructor that an attribute of `self` holds, with the only call that applies it."""
    statement = next((each for each in program.above(constructed) if isinstance(each, cst.Assign)), None)
    owner = program.owner(constructed)
    targets = [] if statement is None else list(_attributes(statement))
    name = next((one.attr.value for one in targets if statement and assigned(statement, one) is constructed), None)
    if owner is None or name is None:
        return Layer(constructed)
    reads = [program.parent(read) for read in Tracer(program, lambda node: False).reads(owner, name)]
    reads = [each for each in reads if not isinstance(each, cst.Attribute)]  # without those of its weights
    calls = [each for each in reads if isinstance(each, cst.Call)]
    if len(reads) != 1 or len(calls) != 1:
        raise Refused(f"self.{name} is used at {len(reads)} places")
    return Layer(constructed, applied=calls[0])


def _attributes(statement: cst.Assign) -> Iterator[cst.Attribute]:
    for each in statement.targets:
        elements = each.target.elements if isinstance(each.target, cst.Tuple | cst.List) else ()
        yield from (one for one in (each.target, *(item.value for item in elements)) if isinstance(one, cst.Attribute))
