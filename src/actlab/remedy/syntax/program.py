"""A program's text as a syntax tree that knows lines, parents, scopes and imported names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, final

from actlab.extras_import import need

if TYPE_CHECKING:
    import libcst as cst
    from libcst import metadata
else:
    cst = need("libcst", extra="fix")
    from libcst import metadata

Node = TypeVar("Node", bound="cst.CSTNode")
FUNCTIONS = (cst.FunctionDef, cst.Lambda)
_PROVIDERS = (metadata.PositionProvider, metadata.ParentNodeProvider, metadata.ScopeProvider)


class Refused(Exception):
    """Raised if an edit cannot be done in the text; the message says why."""


class Unreadable(Exception):
    """Raised if the text is not a program."""


@final
@dataclass(frozen=True)
class Place:
    """The first and last position of a node: lines from 1, columns from 0 in characters."""

    start: tuple[int, int]
    end: tuple[int, int]


@final
@dataclass(frozen=True)
class Imported:
    """A name that an import binds: `F` for `torch.nn.functional`."""

    name: str
    dotted: str
    scope: Any
    statement: Any


@final
class Program:
    """The syntax tree of a program.

    Args:
        data: the bytes of the file.

    Raises:
        Unreadable: they are not a Python program.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._wrapper = metadata.MetadataWrapper(cst.parse_module(data), unsafe_skip_copy=True)
            self.module = self._wrapper.module
            found: Any = self._wrapper.resolve_many(_PROVIDERS)
            self._places, self._parents, self._scopes = (found[provider] for provider in _PROVIDERS)
        except (cst.ParserSyntaxError, UnicodeDecodeError, LookupError, RecursionError) as error:
            raise Unreadable(str(error).partition("\n")[0]) from error

    @cached_property
    def nodes(self) -> tuple[cst.CSTNode, ...]:
        """All nodes of the program, each before its children."""
        return tuple(_walk(self.module))

    @cached_property
    def text(self) -> str:
        """The text of the program, without a mark of the byte order."""
        return self.module.code

    @cached_property
    def imports(self) -> tuple[Imported, ...]:
        """All names that imports bind."""
        return tuple(found for node in self.nodes for found in self._imported(node))

    def all(self, kind: type[Node], within: cst.CSTNode | None = None) -> Iterator[Node]:
        """Yield the nodes of a kind, in the whole program or within a node."""
        nodes = self.nodes if within is None else _walk(within)
        return (node for node in nodes if isinstance(node, kind))

    def place(self, node: cst.CSTNode) -> Place:
        """Return where Python's parser has the node: without brackets around it, unless they belong to a tuple."""
        start, end = self._places[node].start, self._places[node].end
        if isinstance(node, cst.Tuple | cst.GeneratorExp) and node.lpar:
            start, end = self._places[node.lpar[-1]].start, self._places[node.rpar[0]].end
        return Place((start.line, start.column), (end.line, end.column))

    def line(self, node: cst.CSTNode) -> int:
        """Return the node's first line."""
        return self.place(node).start[0]

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return the node's parent; None for the module."""
        found: cst.CSTNode | None = self._parents.get(node)
        return found

    def above(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the node's ancestors, the nearest first."""
        found = self.parent(node)
        while found is not None:
            yield found
            found = self.parent(found)

    def enclosing(self, node: cst.CSTNode, *kinds: type[cst.CSTNode]) -> cst.CSTNode | None:
        """Return the nearest ancestor of these kinds."""
        return next((each for each in self.above(node) if isinstance(each, kinds)), None)

    def owner(self, node: cst.CSTNode) -> cst.ClassDef | None:
        """Return the class whose method contains the node, functions within the method included."""
        return next((each for each in self.above(node) if isinstance(each, cst.ClassDef)), None)

    def code(self, node: cst.CSTNode) -> str:
        """Return the text of the node."""
        return self.module.code_for_node(node)

    def scope(self, node: cst.CSTNode) -> Any:
        """Return the scope in which the node stands."""
        found: cst.CSTNode | None = node
        while found is not None:
            scope = self._scopes.get(found)
            if scope is not None:
                return scope
            found = self.parent(found)
        raise Refused("the place has no scope")

    def assignments(self, name: str, at: cst.CSTNode) -> tuple[Any, ...]:
        """Return what binds the name, as it is looked up at a node: assignments, imports, parameters."""
        return tuple(each for each in self.scope(at)[name] if isinstance(each, metadata.BaseAssignment))

    def imported_as(self, name: str, at: cst.CSTNode) -> str | None:
        """Return the dotted name that a plain name stands for at a node, if imports alone bind it there."""
        found = self.assignments(name, at)
        dotted: set[str | None] = set()
        for each in found:
            if isinstance(each, metadata.ImportAssignment):
                dotted |= {one.dotted for one in self.imports if one.statement is each.node and one.name == name}
            else:
                dotted.add(None)
        if not found:
            return self._starred(name)
        return dotted.pop() if len(dotted) == 1 else None

    def dotted(self, node: cst.CSTNode) -> str:
        """Return the full dotted name that an expression stands for; empty if imports do not decide it.

        Example:
            After `from torch import nn`, `nn.ReLU` is `torch.nn.ReLU`.
        """
        if isinstance(node, cst.Name):
            return canonical(self.imported_as(node.value, node) or "")
        if isinstance(node, cst.Attribute):
            front = self.dotted(node.value)
            return canonical(f"{front}.{node.attr.value}") if front else ""
        return ""

    def spelled(self, dotted: str, at: cst.CSTNode) -> str | None:
        """Return how the program can write a dotted name at a node with the imports it has; None if it cannot."""
        found = []
        for one in self.imports:
            is_below = dotted == one.dotted or dotted.startswith(f"{one.dotted}.")
            if is_below and self.imported_as(one.name, at) == one.dotted:
                found.append(one.name + dotted.removeprefix(one.dotted))
        if not found and self._starred(dotted.rpartition(".")[2]) == dotted:
            found = [dotted.rpartition(".")[2]]
        # a submodule that only `import torch` would reach is always loaded in torch.nn; the shortest is the usual one
        return min(found, key=lambda text: (text.count("."), len(text)), default=None)

    def is_bound(self, name: str) -> bool:
        """Return whether the program binds or reads the name anywhere, so that a new import must not take it."""
        return any(
            isinstance(node, cst.Name) and node.value == name and not self._is_part(node) for node in self.nodes
        ) or any(one.name == name for one in self.imports)

    def _is_part(self, node: cst.CSTNode) -> bool:
        """Return whether a name is part of an import, of an attribute or of a keyword, and so binds nothing."""
        above = self.parent(node)
        if isinstance(above, cst.Attribute):
            return above.attr is node or self._is_part(above)
        if isinstance(above, cst.Arg):
            return above.keyword is node
        return isinstance(above, cst.ImportFrom | cst.ImportAlias)

    def _imported(self, node: cst.CSTNode) -> Iterator[Imported]:
        if isinstance(node, cst.Import):
            for alias in node.names:
                dotted = dotted_text(alias.name)
                name = alias.evaluated_alias or dotted.partition(".")[0]
                yield Imported(name, dotted if alias.asname else name, self.scope(node), node)
        elif isinstance(node, cst.ImportFrom) and not isinstance(node.names, cst.ImportStar) and not node.relative:
            for alias in node.names:
                dotted = canonical(f"{dotted_text(node.module)}.{alias.evaluated_name}")
                yield Imported(alias.evaluated_alias or alias.evaluated_name, dotted, self.scope(node), node)

    def _starred(self, name: str) -> str | None:
        """Return the dotted name of a plain name that only `from torch.nn import *` can bind."""
        for node in self.all(cst.ImportFrom):
            if isinstance(node.names, cst.ImportStar) and not node.relative:
                front = canonical(dotted_text(node.module))
                if front in STARRED and name in _public(front):
                    return f"{front}.{name}"
        return None


@lru_cache(maxsize=16)
def program_of(data: bytes) -> Program:
    """Return the program of these bytes; it is read once, as several patches of a file follow each other.

    Raises:
        Unreadable: they are not a Python program.
    """
    return Program(data)


STARRED = ("torch.nn", "torch.nn.functional", "torch")


def _public(module: str) -> frozenset[str]:
    """Return the names that a module of PyTorch exports by `*`."""
    from importlib import import_module

    found = import_module(module)
    return frozenset(getattr(found, "__all__", [name for name in vars(found) if not name.startswith("_")]))


def canonical(dotted: str) -> str:
    """Return the usual dotted name of what PyTorch defines elsewhere.

    Example:
        >>> canonical("torch.nn.modules.activation.ReLU"), canonical("torch.functional.F")
        ('torch.nn.ReLU', 'torch.functional.F')
    """
    return f"torch.nn.{dotted.rpartition('.')[2]}" if dotted.startswith("torch.nn.modules.") else dotted


def dotted_text(node: cst.CSTNode | None) -> str:
    """Return the text of a dotted name; empty for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        front = dotted_text(node.value)
        return f"{front}.{node.attr.value}" if front else ""
    return ""


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _walk(child)
