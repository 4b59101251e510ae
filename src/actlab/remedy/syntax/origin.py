"""Follow an expression to the literal text that decides its value, within one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from actlab.extras_import import need
from actlab.remedy.syntax.program import FUNCTIONS, Program, Refused

if TYPE_CHECKING:
    import libcst as cst
    from libcst import metadata
else:
    cst = need("libcst", extra="fix")
    from libcst import metadata

TASKS = frozenset({"actlab.Task", "actlab.train.task.Task"})
_LONGEST = 20
"""Steps from a use to its literal."""

# Calls that return what they hold, so that an index into them is one into their argument.
_HOLDERS = frozenset({"torch.nn.ModuleList", "torch.nn.ModuleDict", "torch.nn.Sequential"})
_LOOPS = (cst.For, cst.While)
_COMPREHENSIONS = (cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp)


@final
@dataclass(frozen=True, eq=False)
class Origin:
    """The literal text behind an expression.

    Attributes:
        node: the literal; of a task, its call.
        table: of a text that selects an entry of a dict literal, the dict; None otherwise.
        selects: what a text or a task names: `entry` of a dict, `class` of `torch.nn` for `getattr`, or `task`.
        loads: the variables that were followed, each with every place that reads it.
    """

    node: cst.CSTNode
    table: cst.Dict | None = None
    selects: str = ""
    loads: tuple[tuple[cst.CSTNode, tuple[cst.CSTNode, ...]], ...] = field(default=())

    def through(self, load: cst.CSTNode, loads: tuple[cst.CSTNode, ...]) -> Origin:
        """Return the same origin, reached through one more variable."""
        return Origin(self.node, self.table, self.selects, ((load, loads), *self.loads))


@final
class Tracer:
    """Follow the variables of a program.

    Args:
        program: the program.
        wanted: whether an expression is a literal of the kind that is looked for.
    """

    def __init__(self, program: Program, wanted: Callable[[cst.CSTNode], bool]) -> None:
        self._program = program
        self._wanted = wanted

    def origins(self, node: cst.CSTNode, depth: int = 0) -> list[Origin]:
        """Return the literals that may decide the value of an expression; empty if none is of the wanted kind.

        Raises:
            Refused: the value comes from elsewhere, such as a loop or another file.
        """
        if depth > _LONGEST:
            raise Refused("its value is not decided by a literal of this file")
        if self._wanted(node):
            return [Origin(node)]
        if isinstance(node, cst.Name):
            return self._of_name(node, depth + 1)
        if isinstance(node, cst.Attribute):
            return self._of_attribute(node, depth + 1)
        if isinstance(node, cst.IfExp):
            return [*self.origins(node.body, depth + 1), *self.origins(node.orelse, depth + 1)]
        if isinstance(node, cst.BooleanOperation):
            return [*self.origins(node.left, depth + 1), *self.origins(node.right, depth + 1)]
        if isinstance(node, cst.NamedExpr):
            return self.origins(node.value, depth + 1)
        if isinstance(node, cst.Subscript):
            return self._of_entry(node, depth + 1)
        if isinstance(node, cst.Lambda):
            return self.origins(node.body, depth + 1)
        if isinstance(node, cst.Call):
            return self._of_call(node, depth + 1)
        return []

    def texts(self, node: cst.CSTNode, depth: int = 0) -> list[Origin]:
        """Return the string literals that may decide the value of an expression."""
        return Tracer(self._program, lambda one: isinstance(one, cst.SimpleString)).origins(node, depth)

    def _of_call(self, node: cst.Call, depth: int) -> list[Origin]:
        if isinstance(node.func, cst.Name) and node.func.value == "getattr" and len(node.args) == 2:
            if self._program.dotted(node.args[0].value) != "torch.nn":
                return []
            found = self.texts(node.args[1].value, depth)
            return [Origin(each.node, None, "class", each.loads) for each in found]
        if isinstance(node.func, cst.Name) and node.func.value == "staticmethod" and len(node.args) == 1:
            return self.origins(node.args[0].value, depth)
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "get" and node.args:
            return self._of_table(node.func.value, node.args[0].value, depth)
        return [] if self._program.dotted(node.func) else self.origins(node.func, depth)

    def _of_name(self, node: cst.Name, depth: int) -> list[Origin]:
        found: list[Origin] = []
        for assignment in self._program.assignments(node.value, node):
            loads = tuple({id(each.node): each.node for each in assignment.references}.values())
            for value in self._values(assignment, node.value):
                found += [each.through(node, loads) for each in self._of_value(value, depth)]
        return found

    def _of_value(self, value: Any, depth: int) -> list[Origin]:
        return self._of_parameter(value, depth) if isinstance(value, cst.Param) else self.origins(value, depth)

    def _values(self, assignment: Any, name: str) -> Iterator[cst.CSTNode]:
        """Yield what an assignment puts into a name: an expression or a parameter."""
        node = getattr(assignment, "node", None)
        if isinstance(assignment, metadata.ImportAssignment) or node is None:
            return
        if isinstance(node, cst.Param):
            yield node
            return
        for above in (node, *self._program.above(node)):
            if isinstance(above, cst.For | cst.CompFor):
                raise Refused(f"{name} is the variable of a loop")
            value = assigned(above, node)
            if value is not None:
                yield value
                return
            if isinstance(above, cst.BaseStatement | cst.Param):
                return

    def _of_attribute(self, node: cst.Attribute, depth: int) -> list[Origin]:
        if not (isinstance(node.value, cst.Name) and node.value.value in {"self", "cls"}):
            return []
        owner = self._program.owner(node)
        found: list[Origin] = []
        for kind in self._with_bases(owner):
            loads = tuple(self.reads(kind, node.attr.value))
            for value in self._attribute_values(kind, node.attr.value):
                found += [each.through(node, loads) for each in self._of_value(value, depth)]
        return found

    def reads(self, owner: cst.ClassDef, name: str) -> Iterator[cst.CSTNode]:
        """Yield every place in a class that reads an attribute of `self`."""
        for node in self._program.all(cst.Attribute, owner):
            is_own = (
                isinstance(node.value, cst.Name) and node.value.value in {"self", "cls"} and node.attr.value == name
            )
            if is_own and not self._is_target(node):
                yield node

    def _is_target(self, node: cst.CSTNode) -> bool:
        child = node
        for above in self._program.above(node):
            if isinstance(above, cst.AssignTarget):
                return True
            if isinstance(above, cst.AnnAssign | cst.AugAssign):
                return above.target is child
            if not isinstance(above, cst.Tuple | cst.List | cst.Element | cst.StarredElement):
                return False
            child = above
        return False

    def _with_bases(self, owner: cst.ClassDef | None) -> Iterator[cst.ClassDef]:
        """Yield a class and those of its bases that the file defines."""
        if owner is None:
            return
        yield owner
        known = {each.name.value: each for each in self._program.all(cst.ClassDef)}
        for base in owner.bases:
            if isinstance(base.value, cst.Name) and known.get(base.value.value) not in {None, owner}:
                yield from self._with_bases(known[base.value.value])

    def _attribute_values(self, owner: cst.ClassDef, name: str) -> Iterator[cst.CSTNode]:
        for node in self._program.all(cst.Attribute, owner):
            is_own = isinstance(node.value, cst.Name) and node.value.value == "self" and node.attr.value == name
            if is_own and self._is_target(node):
                for above in self._program.above(node):
                    value = assigned(above, node)
                    if value is not None:
                        yield value
                        break
                    if isinstance(above, cst.BaseStatement):
                        raise Refused(f"self.{name} is not assigned by itself")
        for line in owner.body.body:
            for small in line.body if isinstance(line, cst.SimpleStatementLine) else ():
                if isinstance(small, cst.Assign) and any(_is_name(target.target, name) for target in small.targets):
                    yield small.value

    def _of_parameter(self, param: cst.Param, depth: int) -> list[Origin]:
        function = self._program.enclosing(param, *FUNCTIONS)
        assert isinstance(function, FUNCTIONS)
        named = function.params
        place = next((at for at, one in enumerate((*named.posonly_params, *named.params)) if one is param), -1)
        if place < 0 and param not in named.kwonly_params:
            raise Refused(f"{param.name.value} collects several arguments")
        found: list[Origin] = []
        uses = list(self._uses(function))
        is_passed = False
        for use, shift in uses:
            argument = self._argument(use, place - shift, param.name.value)
            if argument is None:
                is_passed = is_passed or param.default is None
                continue
            if isinstance(argument, Origin):
                found.append(argument)
            else:
                found += self.origins(argument, depth)
            is_passed = True
        takes_default = not uses or any(
            self._argument(use, place - shift, param.name.value) is None for use, shift in uses
        )
        if param.default is not None and takes_default:
            found += self.origins(param.default, depth)
        elif not found and not is_passed:
            raise Refused(f"{param.name.value} is an argument that other files or a loop pass")
        return found

    def _argument(self, use: cst.Call, place: int, name: str) -> cst.CSTNode | Origin | None:
        """Return what a call passes for a parameter; of a task, which passes the activation, the task."""
        if self._program.dotted(use.func) in TASKS:
            return Origin(use, None, "task") if place == 0 else None
        if any(arg.star for arg in use.args):
            raise Refused(f"{name} is passed by * or **")
        for arg in use.args:
            if arg.keyword is not None and arg.keyword.value == name:
                return arg.value
        positional = [arg for arg in use.args if arg.keyword is None]
        return positional[place].value if 0 <= place < len(positional) else None

    def _uses(self, function: cst.FunctionDef | cst.Lambda) -> Iterator[tuple[cst.Call, int]]:
        """Yield the calls of a function, of the class if it is a constructor, and the tasks that it builds models for.

        Each comes with the number of leading parameters that the call does not pass, such as `self`.
        """
        owner = self._program.parent(self._program.parent(function) or function)
        if isinstance(function, cst.FunctionDef) and isinstance(owner, cst.ClassDef):
            yield from self._method_uses(function, owner)
            return
        if isinstance(function, cst.FunctionDef):
            loads = self._loads(function, function.name.value)
        else:
            holder = self._program.parent(function)
            if isinstance(holder, cst.Assign) and isinstance(holder.targets[0].target, cst.Name):
                loads = self._loads(holder, holder.targets[0].target.value)
            else:
                loads = [function]
        for load in loads:
            call = self._called(load)
            if call is not None:
                yield call, 0

    def _method_uses(self, function: cst.FunctionDef, owner: cst.ClassDef) -> Iterator[tuple[cst.Call, int]]:
        name = function.name.value
        if name == "__init__":
            loads: list[cst.CSTNode] = [
                one for one in self._loads(owner, owner.name.value) if not self._is_base_or_super(one)
            ]
        else:
            loads = list(self.reads(owner, name))
        is_static = any(_is_name(each.decorator, "staticmethod") for each in function.decorators)
        for load in loads:
            call = self._called(load)
            if call is not None:
                yield call, 0 if is_static else 1

    def _called(self, load: cst.CSTNode) -> cst.Call | None:
        """Return the call in which a function is called, or the task that it is passed to.

        Raises:
            Refused: it is passed on, so that its arguments are not known.
        """
        above = self._program.parent(load)
        if isinstance(above, cst.Call) and above.func is load:
            return above
        if isinstance(above, cst.Annotation | cst.Subscript):
            return None
        call = self._program.parent(above) if isinstance(above, cst.Arg) else None
        if isinstance(call, cst.Call):
            if self._program.dotted(call.func) in TASKS:
                return call
            if _is_name(call.func, "super") or _is_name(call.func, "isinstance"):
                return None
        raise Refused(f"{self._program.code(load).partition(chr(10))[0]} is passed on, so that its calls are not known")

    def _is_base_or_super(self, load: cst.CSTNode) -> bool:
        above = self._program.parent(load)
        return isinstance(above, cst.Arg) and isinstance(self._program.parent(above), cst.ClassDef)

    def _loads(self, at: cst.CSTNode, name: str) -> list[cst.CSTNode]:
        """Return every place that reads what a definition binds."""
        found: dict[int, cst.CSTNode] = {}
        for assignment in self._program.assignments(name, at):
            for each in assignment.references:
                found[id(each.node)] = each.node
        return list(found.values())

    def _of_entry(self, node: cst.Subscript, depth: int) -> list[Origin]:
        index = node.slice[0].slice if len(node.slice) == 1 else None
        if not isinstance(index, cst.Index):
            return []
        return self._of_table(node.value, index.value, depth)

    def _of_table(self, table: cst.CSTNode, key: cst.CSTNode, depth: int) -> list[Origin]:
        holders = Tracer(
            self._program, lambda one: isinstance(one, cst.Dict | cst.List | cst.Tuple) or self._holds(one)
        )
        found: list[Origin] = []
        for origin in holders.origins(table, depth):
            holder = origin.node
            while isinstance(holder, cst.Call) and holder.args:
                holder = holder.args[0].value
            if isinstance(holder, cst.Dict):
                found += self._of_dict(holder, key, depth)
            elif isinstance(holder, cst.List | cst.Tuple) and isinstance(key, cst.Integer):
                at = key.evaluated_value
                if at < len(holder.elements) and not any(
                    isinstance(one, cst.StarredElement) for one in holder.elements
                ):
                    found += self.origins(holder.elements[at].value, depth)
            else:
                raise Refused("its place in a list is computed")
        return found

    def _holds(self, node: cst.CSTNode) -> bool:
        return isinstance(node, cst.Call) and self._program.dotted(node.func) in _HOLDERS and len(node.args) == 1

    def _of_dict(self, table: cst.Dict, key: cst.CSTNode, depth: int) -> list[Origin]:
        found: list[Origin] = []
        for text in self.texts(key, depth):
            assert isinstance(text.node, cst.SimpleString)
            for element in table.elements:
                if not isinstance(element, cst.DictElement) or not isinstance(element.key, cst.SimpleString):
                    continue
                is_it = element.key.evaluated_value == text.node.evaluated_value
                if is_it and self.origins(element.value, depth):
                    found.append(Origin(text.node, table, "entry", text.loads))
        return found

    def repeated(self, node: cst.CSTNode, depth: int = 0) -> str:
        """Return why a text runs more than once, as far as the file shows; empty if it does not.

        A loop, a comprehension, a function that is called at several places, a class of which there are several.
        """
        if depth > _LONGEST:
            return "it is called by itself"
        child = node
        for above in self._program.above(node):
            if isinstance(above, _LOOPS) and child is above.body:
                return f"it stands in the loop of line {self._program.line(above)}"
            if isinstance(above, _COMPREHENSIONS):
                return f"it stands in the comprehension of line {self._program.line(above)}"
            if isinstance(above, cst.FunctionDef | cst.ClassDef | cst.Lambda):
                return self._repeated_calls(above, depth)
            is_product = isinstance(above, cst.BinaryOperation) and isinstance(above.operator, cst.Multiply)
            if is_product and isinstance(child, cst.List | cst.Tuple):
                return "its list is repeated"
            child = above
        return ""

    def _repeated_calls(self, scope: cst.CSTNode, depth: int) -> str:
        try:
            if isinstance(scope, cst.ClassDef):
                loads = [one for one in self._loads(scope, scope.name.value) if not self._is_base_or_super(one)]
                calls = [call for call in map(self._quietly_called, loads) if call is not None]
                name = scope.name.value
            else:
                assert isinstance(scope, FUNCTIONS)
                owner = self._program.parent(self._program.parent(scope) or scope)
                name = scope.name.value if isinstance(scope, cst.FunctionDef) else "the lambda"
                if isinstance(owner, cst.ClassDef) and name in {"__init__", "forward", "__call__"}:
                    return self._repeated_calls(owner, depth + 1)
                calls = [call for call, _ in self._uses(scope)]
        except Refused:
            return ""
        if len(calls) > 1:
            return f"{name} is called {len(calls)} times"
        is_own = not calls or self._program.dotted(calls[0].func) in TASKS
        return "" if is_own else self.repeated(calls[0], depth + 1)

    def _quietly_called(self, load: cst.CSTNode) -> cst.Call | None:
        try:
            return self._called(load)
        except Refused:
            return None


def traced(tracer: Tracer, calls: Iterable[cst.Call]) -> list[tuple[cst.Call, Origin]]:
    """Return what the called variables stand for, each with its call.

    Raises:
        Refused: none stands for a literal of the wanted kind, and one comes from elsewhere.
    """
    found: list[tuple[cst.Call, Origin]] = []
    reason: Refused | None = None
    for call in calls:
        try:
            origins = {id(origin.node): origin for origin in tracer.origins(call.func)}
        except Refused as refused:
            reason = reason or refused
        else:
            found += [(call, origin) for origin in origins.values()]
    if not found and reason is not None:
        raise reason
    return found


def assigned(statement: cst.CSTNode, target: cst.CSTNode) -> cst.BaseExpression | None:
    """Return the expression that a statement assigns to a target; of several, the one at its place."""
    if isinstance(statement, cst.Assign):
        for each in statement.targets:
            if each.target is target:
                return statement.value
            if isinstance(each.target, cst.Tuple | cst.List) and isinstance(statement.value, cst.Tuple | cst.List):
                pairs = zip(each.target.elements, statement.value.elements, strict=False)
                for one, value in pairs:
                    if one.value is target:
                        return value.value
    if isinstance(statement, cst.AnnAssign) and statement.target is target:
        return statement.value
    if isinstance(statement, cst.NamedExpr) and statement.target is target:
        return statement.value
    return None


def _is_name(node: cst.CSTNode, name: str) -> bool:
    return isinstance(node, cst.Name) and node.value == name
