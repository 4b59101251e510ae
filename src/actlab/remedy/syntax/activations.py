"""Find the activation that a line writes, and replace or remove it where that is decided."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import nn
from torch.nn import functional

from actlab.catalog.torch_ops import TORCH_OPS
from actlab.extras_import import need
from actlab.remedy.edit import RemoveActivation, ReplaceActivation
from actlab.remedy.syntax.change import Behind, Change, Items, Swap, Without
from actlab.remedy.syntax.names import Names
from actlab.remedy.syntax.origin import Origin, Tracer, traced
from actlab.remedy.syntax.program import Program, Refused
from actlab.remedy.syntax.wanted import Wanted

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")

ActivationEdit = ReplaceActivation | RemoveActivation

# PyTorch's layers that take an activation, with its place among the arguments.
_LAYERS = {"TransformerEncoderLayer": 4, "TransformerDecoderLayer": 4, "Transformer": 6}
_LAYER_TEXTS = ("relu", "gelu")


@final
@dataclass(frozen=True, eq=False)
class Target:
    """An activation in the text.

    Attributes:
        use: the call that the line writes: a constructor, a function of PyTorch, or a call of a variable.
        origin: the literal that decides which activation it is; the use itself if it names the activation.
    """

    use: cst.Call
    origin: Origin

    @property
    def is_literal(self) -> bool:
        """Whether the use names the activation itself."""
        return self.origin.node is self.use


@final
class Spelled:
    """What a site's spelling looks like in the text of a program.

    Args:
        program: the program.
        spelling: as in `Site`.
    """

    def __init__(self, program: Program, spelling: str) -> None:
        self._program = program
        self.spelling = spelling
        front, _, name = spelling.partition(".")
        is_simple = name.rstrip("()").replace(".", "").isidentifier() and " " not in spelling
        self.kind = front if is_simple and front in {"nn", "F", "torch", "x", "actlab"} else "formula"
        self.name = name.removesuffix("()")
        plain = self.name.rpartition(".")[2].rstrip("_")
        same = [{op.function, *op.aliases} for op in TORCH_OPS if plain in {op.function, *op.aliases}]
        self.functions = frozenset({plain}.union(*same))

    def is_layer(self, node: cst.CSTNode) -> bool:
        """Return whether the node constructs a layer of PyTorch that takes its activation as an argument."""
        if not isinstance(node, cst.Call):
            return False
        name = self._program.dotted(node.func).removeprefix("torch.nn.")
        return name in _LAYERS and (self.name == name or name == "Transformer")

    def is_literal(self, node: cst.CSTNode) -> bool:
        """Return whether the node is a module, a class, a function or a factory that is spelled like this."""
        if isinstance(node, cst.Call):
            dotted = self._program.dotted(node.func)
            if dotted == "functools.partial" and node.args:
                return self.is_literal(node.args[0].value)
            return self.kind in {"nn", "actlab"} and self._is_module(dotted)
        if not isinstance(node, cst.Name | cst.Attribute):
            return False
        dotted = self._program.dotted(node)
        return self._is_module(dotted) if self.kind in {"nn", "actlab"} else self.is_function(dotted)

    def is_call(self, node: cst.Call) -> bool:
        """Return whether the call itself names the activation."""
        if self.kind == "x":
            func = node.func
            if self._program.dotted(func) == f"torch.nn.functional.{self.name}":
                return True  # F.sigmoid and F.tanh call the method
            return isinstance(func, cst.Attribute) and func.attr.value == self.name and not self._program.dotted(func)
        dotted = self._program.dotted(node.func)
        return self._is_module(dotted) if self.kind in {"nn", "actlab"} else self.is_function(dotted)

    def is_function(self, dotted: str) -> bool:
        """Return whether the dotted name is a function of PyTorch that is spelled like this."""
        front, _, last = dotted.rpartition(".")
        return self.kind in {"F", "torch"} and front.startswith("torch") and last.rstrip("_") in self.functions

    def _is_module(self, dotted: str) -> bool:
        if self.kind == "actlab":
            return dotted == f"actlab.{self.name}"
        return dotted == f"torch.nn.{self.name}"


def targets(program: Program, edit: ActivationEdit) -> list[Target]:
    """Return the activations that an edit concerns.

    Raises:
        Refused: none or several are found, or what decides them is not in this file.
    """
    spelled = Spelled(program, edit.spelling)
    if spelled.kind == "formula":
        raise Refused(f"the activation is written out as a formula: {edit.spelling}")
    tracer = Tracer(program, spelled.is_literal)
    found = _direct(program, edit.line, lambda call: spelled.is_call(call) or spelled.is_layer(call))
    chosen = [Target(call, Origin(call)) for call in found] or _traced(program, tracer, edit.line)
    if not chosen:
        raise Refused(f"no {edit.spelling} is written on line {edit.line}")
    if len({id(each.use) for each in chosen}) > 1 and not edit.everywhere:
        raise Refused(f"line {edit.line} holds several: {', '.join(_short(program, each.use) for each in chosen)}")
    if len(chosen) > 1 and len({id(each.use) for each in chosen}) == 1 and not edit.everywhere:
        raise Refused("different texts decide it, as it is passed from several places")
    if not edit.everywhere:
        _refuse_repeated(program, tracer, chosen)
    return chosen


def _refuse_repeated(program: Program, tracer: Tracer, chosen: Sequence[Target]) -> None:
    for target in chosen:
        if program.dotted(target.use.func) == "torch.nn.Transformer":
            raise Refused("it stands for several activations, as its argument decides those of encoder and decoder")
        for node in (target.use, target.origin.node):
            why = tracer.repeated(node) or (_shared(program, tracer, node) if target.is_literal else "")
            if why:
                raise Refused(f"it stands for several activations, as {why}")


def _shared(program: Program, tracer: Tracer, node: cst.CSTNode) -> str:
    """Return why a module that a variable holds is applied at several places; empty if it is not."""
    statement = program.parent(node)
    is_module = isinstance(node, cst.Call) and is_class(program.dotted(node.func))
    if not is_module or not isinstance(statement, cst.Assign) or len(statement.targets) != 1:
        return ""
    target = statement.targets[0].target
    owner = program.owner(node)
    if isinstance(target, cst.Name):
        loads = {id(each.node) for one in program.assignments(target.value, target) for each in one.references}
    elif isinstance(target, cst.Attribute) and owner is not None:
        loads = {id(each) for each in tracer.reads(owner, target.attr.value)}
    else:
        return ""
    return f"{program.code(target)} is used {len(loads)} times" if len(loads) > 1 else ""


def _direct(program: Program, line: int, is_it: Callable[[cst.Call], bool]) -> list[cst.Call]:
    """Return the calls on a line that name what is looked for; those that begin there are preferred."""
    calls = [call for call in program.all(cst.Call) if spans(program, call, line) and is_it(call)]
    beginning = [call for call in calls if line in {program.line(call), _named_on(program, call)}]
    return beginning or calls[-1:]


def spans(program: Program, node: cst.CSTNode, line: int) -> bool:
    """Return whether the node covers a line."""
    place = program.place(node)
    return place.start[0] <= line <= place.end[0]


def _named_on(program: Program, call: cst.Call) -> int:
    """Return the line of the last part of the called name, where a chain of calls goes over several lines."""
    return program.line(call.func.attr) if isinstance(call.func, cst.Attribute) else program.line(call)


def _traced(program: Program, tracer: Tracer, line: int) -> list[Target]:
    """Return the calls of variables on a line that stand for the activation."""
    calls = [
        call for call in program.all(cst.Call)
        if line in {program.line(call), _named_on(program, call)} and not program.dotted(call.func)
    ]  # fmt: skip
    return [Target(call, origin) for call, origin in traced(tracer, calls)]


@final
class Rewriting:
    """Write the changes for edits of activations.

    Args:
        program: the program.
        names: what it can write.
        covered: every place that reads a variable which the edits of this patch change.
    """

    def __init__(self, program: Program, names: Names, covered: frozenset[cst.CSTNode]) -> None:
        self._program = program
        self._names = names
        self._covered = covered

    def changes(self, edit: ActivationEdit, target: Target) -> Iterator[Change]:
        """Yield the changes of one activation.

        Raises:
            Refused: it cannot be written there.
        """
        wanted = Wanted(edit.activation, edit.arguments) if isinstance(edit, ReplaceActivation) else None
        if wanted is not None and wanted.inputs > 1:
            raise Refused(f"{wanted.text} takes two inputs")
        reads = [load for _, loads in target.origin.loads for load in loads]
        if target.is_literal:
            yield from self._literal(target.use, wanted)
        elif all(load in self._covered for load in reads):
            yield from self._at_origin(target, wanted)
        else:
            yield from self._at_use(target, wanted)

    def _literal(self, call: cst.Call, wanted: Wanted | None) -> Iterator[Change]:
        dotted = self._program.dotted(call.func)
        if dotted.removeprefix("torch.nn.") in _LAYERS:
            yield from self._layer(call, dotted, wanted)
        elif is_class(dotted) or dotted == "actlab.module":
            yield from self._constructor(call, wanted)
        elif dotted:
            yield from self._function_call(call, wanted)
        else:
            yield from self._method_call(call, wanted)

    def _constructor(self, call: cst.Call, wanted: Wanted | None) -> Iterator[Change]:
        _refuse_comments(call, "a comment stands inside the call")
        if wanted is None:
            yield from self._without_module(call)
            return
        name, values = wanted.module(self._names, call, like=self._program.code(call.func))
        if wanted.takes_inplace and self._is_in_place(call):
            values = [*values, "inplace=True"]
        yield from self._called(call, name, values, keep=self._kept_axis(call, wanted))

    def _called(self, call: cst.Call, name: str, values: list[str], *, keep: tuple[int, ...]) -> Iterator[Change]:
        if self._program.code(call.func) != name:
            yield Swap(call.func, name)
        items: tuple[int | str, ...] = (*keep, *values)
        old = [self._program.code(arg.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for arg in call.args]
        if list(items) != list(range(len(call.args))) and [*items] != old:
            yield Items(call, items)

    def _kept_axis(self, call: cst.Call, wanted: Wanted) -> tuple[int, ...]:
        """Return the arguments to keep: those of a softmax if the new activation acts along an axis too."""
        if not wanted.acts_along_axis or "dim" in wanted.arguments:
            return ()
        return tuple(at for at, arg in enumerate(call.args) if arg.keyword is None or arg.keyword.value == "dim")

    def _is_in_place(self, call: cst.Call) -> bool:
        named = [arg for arg in call.args if arg.keyword is not None and arg.keyword.value == "inplace"]
        only = self._program.dotted(call.func) in {
            f"torch.nn.{name}" for name in ("ReLU", "ReLU6", "SELU", "SiLU", "Mish")
        }
        positional = [arg for arg in call.args if arg.keyword is None] if only else []
        return any(isinstance(arg.value, cst.Name) and arg.value.value == "True" for arg in (*named, *positional))

    def _without_module(self, call: cst.Call) -> Iterator[Change]:
        arg = self._program.parent(call)
        sequence = self._program.parent(arg) if isinstance(arg, cst.Arg) else None
        if (
            isinstance(arg, cst.Arg)
            and isinstance(sequence, cst.Call)
            and self._program.dotted(sequence.func) == "torch.nn.Sequential"
            and not self._is_indexed(sequence)
        ):
            yield Without(sequence, sequence.args.index(arg))
        else:
            yield Swap(call, f"{self._names.write('torch.nn.Identity', call, like=self._program.code(call.func))}()")

    def _is_indexed(self, sequence: cst.Call) -> bool:
        """Return whether the program may pick members of the sequence by their index."""
        statement = self._program.parent(sequence)
        if isinstance(statement, cst.Return | cst.Arg | cst.Lambda):
            return False
        if isinstance(statement, cst.Assign) and len(statement.targets) == 1:
            name = self._program.code(statement.targets[0].target)
            return any(self._program.code(each.value) == name for each in self._program.all(cst.Subscript))
        return True

    def _function_call(self, call: cst.Call, wanted: Wanted | None) -> Iterator[Change]:
        at = next((at for at, arg in enumerate(call.args) if _is_input(arg, at)), None)
        if at is None:
            raise Refused("its input is passed by * or **")
        if wanted is None:
            self._refuse_statement(call)
            yield Swap(call, self._bracketed(call, call.args[at].value), (call.args[at].value,))
            return
        for position, arg in enumerate(call.args):
            if position != at:
                _refuse_comments(arg, "a comment stands inside the call")
        name, values = wanted.function(self._names, call, like=self._program.code(call.func))
        is_in_place = self._is_in_place(call) or self._program.dotted(call.func).endswith("_")
        if is_in_place:
            if wanted.takes_inplace:
                values = [*values, "inplace=True"]
            else:
                self._refuse_read_again(call, call.args[at].value)
        keep = tuple(position for position in self._kept_axis(call, wanted) if position != at)
        if wanted.acts_along_axis and not keep and not any(value.startswith("dim") for value in values):
            raise Refused(f"{wanted.text} needs its axis: dim")
        yield from self._called(call, name, values, keep=(at, *keep))

    def _method_call(self, call: cst.Call, wanted: Wanted | None) -> Iterator[Change]:
        assert isinstance(call.func, cst.Attribute)
        receiver = call.func.value
        is_in_place = call.func.attr.value.endswith("_")
        if wanted is None:
            self._refuse_statement(call)
            yield Swap(call, self._bracketed(call, receiver), (receiver,))
            return
        keep = self._kept_axis(call, wanted)
        if wanted.acts_along_axis:
            axis = [self._program.code(call.args[at].value) for at in keep] or [
                value.partition("=")[2] for value in wanted.values(in_module=False)
            ]
            if not axis:
                raise Refused(f"{wanted.text} needs its axis: dim")
            yield Swap(call, f"_0_.{wanted.activation.name}(dim={axis[0]})", (receiver,))
            return
        if is_in_place and wanted.takes_inplace:
            name, values = wanted.function(self._names, call)
            if "inplace" in _parameters(name.rpartition(".")[2]):
                yield Swap(call, f"{name}({', '.join(['_0_', *values, 'inplace=True'])})", (receiver,))
                return
        if is_in_place:
            self._refuse_read_again(call, receiver)
        if wanted.method is not None:
            yield Swap(call, f"_0_.{wanted.method}()", (receiver,))
            return
        name, values = wanted.function(self._names, call)
        yield Swap(call, f"{name}({', '.join(['_0_', *values])})", (receiver,))

    def _layer(self, call: cst.Call, dotted: str, wanted: Wanted | None) -> Iterator[Change]:
        """Yield the change of a layer of PyTorch that takes its activation as an argument."""
        place = _LAYERS[dotted.removeprefix("torch.nn.")]
        if wanted is None:
            text = f"{self._names.write('torch.nn.Identity', call)}()"
        elif wanted.text in _LAYER_TEXTS and not wanted.arguments:
            text = f'"{wanted.text}"'
        else:
            text = self._reference(*wanted.function(self._names, call, named=True), at=call)
        named = next((arg for arg in call.args if arg.keyword is not None and arg.keyword.value == "activation"), None)
        positional = [arg for arg in call.args if arg.keyword is None and not arg.star]
        if any(arg.star for arg in call.args):
            raise Refused("the arguments of the layer are passed by * or **")
        old = named or (positional[place] if place < len(positional) else None)
        if old is None:
            yield Behind(call, len(call.args) - 1, f"activation={text}")
        elif isinstance(old.value, cst.SimpleString) or self._program.dotted(old.value):
            yield Swap(old.value, text)
        else:
            raise Refused("the activation of the layer is a variable")

    def _at_origin(self, target: Target, wanted: Wanted | None) -> Iterator[Change]:
        node, selects = target.origin.node, target.origin.selects
        if selects == "task":
            yield from self._task(node, wanted)
        elif selects == "class":
            yield Swap(node, _quoted(node, self._class_text(wanted)))
        elif selects == "entry":
            yield Swap(node, _quoted(node, self._key(target.origin, wanted)))
        elif isinstance(node, cst.Call) and self._program.dotted(node.func) == "functools.partial":
            yield Swap(node, self._class_or_function(node.args[0].value, wanted, at=node))
        elif isinstance(node, cst.Call):
            yield from self._constructor(node, wanted)
        else:
            self._refuse_arguments(target, wanted)
            yield Swap(node, self._class_or_function(node, wanted, at=node))

    def _refuse_arguments(self, target: Target, wanted: Wanted | None) -> None:
        """Refuse a class for a constructor call whose arguments it does not take."""
        if not is_class(self._program.dotted(target.origin.node)) or wanted is None or not target.use.args:
            return
        kind = getattr(nn, wanted.op.module, None) if wanted.op is not None and wanted.op.module else None
        known = set() if kind is None else set(inspect.signature(kind).parameters)
        if any(arg.keyword is None or arg.keyword.value not in known for arg in target.use.args):
            raise Refused(f"{wanted.text} does not take the arguments of {_short(self._program, target.use)}")

    def _class_or_function(self, old: cst.CSTNode, wanted: Wanted | None, *, at: cst.CSTNode) -> str:
        dotted, like = self._program.dotted(old), self._program.code(old)
        is_function = dotted.startswith("torch.") and not is_class(dotted)
        if wanted is None:
            identity = self._names.write("torch.nn.Identity", at, like="" if is_function else like)
            return f"{identity}()" if is_function else identity
        if is_function:
            return self._reference(*wanted.function(self._names, at, like=like, named=True), at=at)
        return self._reference(*wanted.module(self._names, at, like=like), at=at)

    def _reference(self, name: str, values: list[str], *, at: cst.CSTNode) -> str:
        """Return what is called later with the input alone."""
        if not values:
            return name
        return f"{self._names.write('functools.partial', at, like='partial')}({', '.join([name, *values])})"

    def _class_text(self, wanted: Wanted | None) -> str:
        if wanted is None:
            return "Identity"
        if wanted.op is None or not wanted.op.module or wanted.values(in_module=True):
            raise Refused(f"the name of a class of torch.nn is written there, and {wanted.text} is not one")
        return wanted.op.module

    def _key(self, origin: Origin, wanted: Wanted | None) -> str:
        """Return the key of the new activation in the dict that a text selects from."""
        assert origin.table is not None
        name = "Identity" if wanted is None else wanted.op.module if wanted.op is not None else ""
        plain = wanted is None or (wanted.op is not None and not wanted.values(in_module=True))
        for element in origin.table.elements:
            if not isinstance(element, cst.DictElement) or not isinstance(element.key, cst.SimpleString):
                continue
            value = element.value
            is_plain_call = isinstance(value, cst.Call) and not value.args
            dotted = self._program.dotted(value.func if isinstance(value, cst.Call) and is_plain_call else value)
            paths = {f"torch.nn.{name}"} | ({wanted.op.path} if wanted is not None and wanted.op is not None else set())
            if plain and name and dotted in paths:
                return str(element.key.evaluated_value)
        what = "an identity" if wanted is None else wanted.text
        raise Refused(f"the table of line {self._program.line(origin.table)} has no entry for {what}")

    def _task(self, node: cst.CSTNode, wanted: Wanted | None) -> Iterator[Change]:
        assert isinstance(node, cst.Call)
        label = "identity" if wanted is None else wanted.label
        for arg in node.args:
            if arg.keyword is not None and arg.keyword.value == "activation":
                origins = Tracer(self._program, lambda one: isinstance(one, cst.SimpleString)).origins(arg.value)
                if len(origins) != 1:
                    raise Refused("the activation of the task is not a literal of this file")
                yield Swap(origins[0].node, _quoted(origins[0].node, label))
                return
            if arg.star == "**":
                raise Refused("the arguments of the task are passed by **")
        yield Behind(node, len(node.args) - 1, f'activation="{label}"')

    def _at_use(self, target: Target, wanted: Wanted | None) -> Iterator[Change]:
        """Yield the change of one use of a variable that decides other places too."""
        use, node = target.use, target.origin.node
        constructs = target.origin.selects in {"task", "class"} or (
            not isinstance(node, cst.Call) and is_class(self._program.dotted(node))
        )
        if target.origin.selects == "entry":
            raise Refused("the table decides other activations too")
        if constructs:
            name, values = (
                (self._names.write("torch.nn.Identity", use), []) if wanted is None else wanted.module(self._names, use)
            )
            _refuse_comments(use, "a comment stands inside the call")
            yield Swap(use, f"{name}({', '.join(values)})")
            return
        if len(use.args) != 1 or use.args[0].keyword is not None or use.args[0].star:
            raise Refused(f"{_short(self._program, use)} decides other activations too")
        kept = use.args[0].value
        if wanted is None:
            self._refuse_statement(use)
            yield Swap(use, self._bracketed(use, kept), (kept,))
            return
        name, values = wanted.function(self._names, use)
        if wanted.acts_along_axis and not values:
            raise Refused(f"{wanted.text} needs its axis: dim")
        yield from self._called(use, name, values, keep=(0,))

    def _refuse_statement(self, call: cst.Call) -> None:
        if isinstance(self._program.parent(call), cst.Expr):
            raise Refused("its result is not used: it writes into its input")

    def _refuse_read_again(self, call: cst.Call, receiver: cst.CSTNode) -> None:
        """Refuse to replace a call that writes into its input, unless nothing reads the input afterwards."""
        above = self._program.parent(call)
        is_same = isinstance(above, cst.Assign) and any(
            self._program.code(each.target) == self._program.code(receiver) for each in above.targets
        )
        if isinstance(receiver, cst.Call | cst.BinaryOperation) or isinstance(above, cst.Return) or is_same:
            return
        raise Refused("it writes into its input, which may be read again")

    def _bracketed(self, outer: cst.CSTNode, kept: cst.CSTNode) -> str:
        return bracketed(self._program, outer, kept)


def is_class(dotted: str) -> bool:
    """Return whether a dotted name is a class of `torch.nn`."""
    return dotted.startswith("torch.nn.") and not dotted.startswith("torch.nn.functional.")


def bracketed(program: Program, outer: cst.CSTNode, kept: cst.CSTNode) -> str:
    """Return the place-holder of an expression that takes the place of a call, in brackets where it needs them."""
    is_atom = isinstance(kept, cst.Name | cst.Attribute | cst.Call | cst.Subscript | cst.BaseNumber) or bool(
        getattr(kept, "lpar", ())
    )
    above = program.parent(outer)
    is_free = isinstance(above, cst.Assign | cst.Return | cst.AnnAssign | cst.Arg) and "\n" not in program.code(kept)
    return "_0_" if is_atom or (is_free and not isinstance(kept, cst.NamedExpr | cst.GeneratorExp)) else "(_0_)"


def _refuse_comments(node: cst.CSTNode, why: str) -> None:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, cst.Comment):
            raise Refused(f"{why}: {each.value}")
        waiting += each.children


def _is_input(arg: cst.Arg, at: int) -> bool:
    if arg.star:
        return False
    return at == 0 if arg.keyword is None else arg.keyword.value == "input"


def _parameters(function: str) -> frozenset[str]:
    found = getattr(functional, function, None) or getattr(torch, function, None)
    return frozenset(inspect.signature(found).parameters) if inspect.isfunction(found) else frozenset()


def _quoted(node: cst.CSTNode, text: str) -> str:
    """Return a text as a literal with the quotation marks of another one."""
    mark = node.quote if isinstance(node, cst.SimpleString) else '"'
    return f"{mark}{text}{mark}"


def _short(program: Program, node: cst.CSTNode) -> str:
    text = " ".join(program.code(node).split())
    return text if len(text) <= 40 else text[:39] + "…"
