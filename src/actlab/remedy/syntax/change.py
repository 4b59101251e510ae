"""Changes of a syntax tree, done twice: on the text with LibCST, and on the tree of `ast` to check the result.

A place-holder `_0_` in new text stands for the first node that is kept, `_1_` for the second.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast, final

from actlab.extras_import import need
from actlab.remedy.syntax.layout import Layout, laid_out, with_layout
from actlab.remedy.syntax.program import Place, Program, Refused

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")


@final
@dataclass(frozen=True, eq=False)
class Swap:
    """An expression or a statement becomes another one.

    Attributes:
        node: what is replaced.
        text: the new text, of statements one a line, with place-holders for what is kept.
        kept: parts of the node that the new text contains.
    """

    node: cst.CSTNode
    text: str
    kept: tuple[cst.CSTNode, ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Items:
    """The arguments of a call, or the elements of a list or tuple, become others.

    Attributes:
        node: the call, list, tuple or `from` import.
        items: an old one by its index, or the text of a new one.
    """

    node: cst.CSTNode
    items: tuple[int | str, ...]


@final
@dataclass(frozen=True, eq=False)
class Without:
    """One of the items is deleted.

    Attributes:
        node: as in `Items`.
        at: its index.
    """

    node: cst.CSTNode
    at: int


@final
@dataclass(frozen=True, eq=False)
class Behind:
    """A new item stands behind another one.

    Attributes:
        node: as in `Items`.
        at: the index of the other one; -1 for the start.
        text: the new one.
    """

    node: cst.CSTNode
    at: int
    text: str


Change = Swap | Items | Without | Behind
_Done = Swap | Items


def joined(changes: Iterable[Change]) -> tuple[_Done, ...]:
    """Return the changes without repetitions, those of single items joined by call or list.

    Raises:
        Refused: two changes concern the same text.
    """
    done: dict[tuple[int, bool], _Done] = {}
    single: dict[int, list[Without | Behind]] = {}
    for change in changes:
        if isinstance(change, Without | Behind):
            same = single.setdefault(id(change.node), [])
            if not any(_is_same(change, other) for other in same):
                same.append(change)
            continue
        key = (id(change.node), isinstance(change, Swap))
        other = done.get(key)
        done[key] = change if other is None or _is_same(change, other) else _both(other, change)
    for parts in single.values():
        node = parts[0].node
        if (id(node), False) in done:
            raise Refused("two changes concern the same text")
        done[id(node), False] = Items(node, _items(len(items_of(node)), parts))
    return tuple(done.values())


def _both(one: _Done, other: _Done) -> Swap:
    """Return two changes as one, if both add statements behind the same one.

    Raises:
        Refused: they do something else.
    """
    start = "_0_\n"
    for each in (one, other):
        is_addition = isinstance(each, Swap) and each.kept == (each.node,) and each.text.startswith(start)
        if not is_addition:
            raise Refused("two changes concern the same text")
    assert isinstance(one, Swap)
    assert isinstance(other, Swap)
    return Swap(one.node, f"{one.text}\n{other.text.removeprefix(start)}", one.kept)


def _is_same(one: Change, other: Change) -> bool:
    """Return whether two changes are the same; nodes are compared by identity."""
    return type(one) is type(other) and all(
        getattr(one, each.name) is getattr(other, each.name) or getattr(one, each.name) == getattr(other, each.name)
        for each in fields(one)
    )


def _items(count: int, parts: Sequence[Without | Behind]) -> tuple[int | str, ...]:
    gone = {part.at for part in parts if isinstance(part, Without)}
    found: list[int | str] = []
    for at in range(-1, count):
        if at >= 0 and at not in gone:
            found.append(at)
        found += [part.text for part in parts if isinstance(part, Behind) and part.at == at]
    return tuple(found)


def changed(program: Program, changes: Sequence[_Done]) -> cst.Module:
    """Return the program's tree with the changes.

    Raises:
        Refused: one change would undo another, or a comment would be lost.
    """
    by_node: dict[cst.CSTNode, list[_Done]] = {}
    for change in sorted(changes, key=lambda each: isinstance(each, Swap)):  # items before what is around them
        by_node.setdefault(change.node, []).append(change)
    safe = {kept for change in changes if isinstance(change, Swap) for kept in change.kept}
    for change in changes:
        _refuse_lost(change, set(by_node), safe)
    result = program.module.visit(_Changing(program, by_node))
    assert isinstance(result, cst.Module)
    return result


def check(program: Program, changes: Sequence[_Done], text: str) -> None:
    """Raise `Refused` unless the new text differs from the program by exactly the changes.

    The changes are done a second time on the tree of Python's own parser, and both trees are compared.
    """
    try:
        new = ast.parse(text)
        expected = ast.parse(program.text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Refused(f"the changed text is not a program: {error}") from error
    lines = re.split(r"\r\n|\r|\n", program.text)  # as Python's parser counts them
    changing = _Expecting(program, changes, lines=lines)
    wanted = changing.visit(expected)
    if changing.missing:
        raise Refused("the place is not identified by Python's parser")
    if ast.dump(wanted) != ast.dump(new):
        raise Refused("the changed text would differ in more than the intended place")


def _refuse_lost(change: _Done, changing: set[cst.CSTNode], safe: set[cst.CSTNode]) -> None:
    """Refuse a change that would drop a comment, or another change, with the text around it."""
    if isinstance(change, Items):
        kept: set[int] = {item for item in change.items if isinstance(item, int)}
        dropped: list[cst.CSTNode] = [
            item.value for at, item in enumerate(items_of(change.node)) if at not in kept and hasattr(item, "value")
        ]
    elif isinstance(change.node, cst.SimpleStatementLine) and change.node not in safe:
        dropped = list(change.node.body)  # the comments around it stay
    else:
        dropped = [change.node]
    for node in dropped:
        for each in _outside(node, safe):
            if isinstance(each, cst.Comment):
                raise Refused(f"a comment stands inside what would be replaced: {each.value}")
            if each in changing and each is not change.node:
                raise Refused("two changes concern the same text")


def _outside(node: cst.CSTNode, kept: set[cst.CSTNode]) -> list[cst.CSTNode]:
    """Return the nodes below a node, without those below what is kept."""
    if node in kept:
        return []
    return [node, *(each for child in node.children for each in _outside(child, kept))]


def items_of(node: cst.CSTNode) -> Sequence[Any]:
    """Return the arguments, elements or imported names of a node."""
    if isinstance(node, cst.Call):
        return node.args
    if isinstance(node, cst.ImportFrom):
        assert not isinstance(node.names, cst.ImportStar)
        return node.names
    return cast("cst.List | cst.Tuple", node).elements


@final
class _Changing(cst.CSTTransformer):
    """Do the changes on LibCST's tree."""

    def __init__(self, program: Program, changes: Mapping[cst.CSTNode, Sequence[_Done]]) -> None:
        super().__init__()
        self._config = program.module.config_for_parsing
        self._changes = changes
        every = [change for same in changes.values() for change in same]
        self._wanted = {kept for change in every if isinstance(change, Swap) for kept in change.kept}
        self._kept: dict[cst.CSTNode, cst.CSTNode] = {}

    def on_leave(self, original: Any, updated: Any) -> Any:
        """Change the node, and remember it if a node around it keeps it."""
        for change in self._changes.get(original, ()):
            if isinstance(change, Items):
                updated = with_layout(updated, self._items(change, laid_out(updated)))
            elif original in change.kept:  # a statement that gets neighbors
                self._kept[original] = updated
                return self._swapped(change, updated)
            else:
                updated = self._swapped(change, updated)
        if original in self._wanted:
            self._kept[original] = updated
        return updated

    def _swapped(self, change: Swap, updated: Any) -> Any:
        if isinstance(updated, cst.BaseStatement):
            return cst.FlattenSentinel(self._statements(change, updated))
        new: Any = cst.parse_expression(change.text, config=self._config).visit(_Filling(self._fillings(change)))
        if isinstance(updated, cst.BaseExpression) and updated.lpar:
            return new.with_changes(lpar=[*updated.lpar, *new.lpar], rpar=[*new.rpar, *updated.rpar])
        return new

    def _statements(self, change: Swap, updated: Any) -> list[Any]:
        filling = _Filling(self._fillings(change))
        body = cst.parse_module(change.text, config=self._config).body
        new = [filled for one in body for filled in _flat(one.visit(filling))]
        new[0] = new[0].with_changes(leading_lines=[*updated.leading_lines, *new[0].leading_lines])
        if (
            updated is not self._kept.get(change.node)
            and isinstance(updated, cst.SimpleStatementLine)
            and isinstance(new[0], cst.SimpleStatementLine)
        ):
            new[0] = new[0].with_changes(trailing_whitespace=updated.trailing_whitespace)
        return new

    def _items(self, change: Items, old: Layout) -> Layout:
        return old.rebuilt(change.items, lambda text: _item(change.node, text, self._config))

    def _fillings(self, change: Swap) -> dict[str, Any]:
        return {f"_{at}_": self._kept[node] for at, node in enumerate(change.kept)}


def _flat(found: Any) -> list[Any]:
    return list(found) if isinstance(found, cst.FlattenSentinel) else [found]


@final
class _Filling(cst.CSTTransformer):
    """Put the kept nodes where their place-holders stand."""

    def __init__(self, kept: Mapping[str, Any]) -> None:
        super().__init__()
        self._kept = kept

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> Any:
        """Put a kept expression."""
        found = self._kept.get(original_node.value)
        if not isinstance(found, cst.BaseExpression):
            return updated_node
        lpar, rpar = [*updated_node.lpar, *found.lpar], [*found.rpar, *updated_node.rpar]
        return found.with_changes(lpar=lpar, rpar=rpar) if updated_node.lpar else found

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        """Put a kept statement."""
        if len(original_node.body) == 1 and isinstance(original_node.body[0], cst.Expr):
            name = original_node.body[0].value
            found = self._kept.get(name.value) if isinstance(name, cst.Name) else None
            if isinstance(found, cst.BaseStatement):
                return cast("Any", found).with_changes(leading_lines=updated_node.leading_lines)
        return updated_node


def _item(owner: cst.CSTNode, text: str, config: Any) -> Any:
    """Return a new argument, element or imported name."""
    if isinstance(owner, cst.ImportFrom):
        return cst.ImportAlias(name=cst.Name(text))
    call = cst.parse_expression(f"f({text})", config=config)
    assert isinstance(call, cst.Call)
    if isinstance(owner, cst.Call):
        return call.args[0].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return cst.Element(call.args[0].value)


_Key = tuple[Place, bool]  # whether it is a statement: an expression may fill its statement


@final
class _Expecting(ast.NodeTransformer):
    """Do the changes on Python's own tree.

    Attributes:
        missing: the changes whose place has not been found.
    """

    def __init__(self, program: Program, changes: Sequence[_Done], *, lines: Sequence[str]) -> None:
        self._program = program
        self._lines = lines
        self._kept: dict[_Key, Any] = {}
        self.missing: dict[_Key, list[_Done]] = {}
        # the items of a statement before the statement itself
        for change in sorted(changes, key=lambda each: isinstance(each, Swap)):
            self.missing.setdefault(_key(program, change.node), []).append(change)
        swaps = [change for change in changes if isinstance(change, Swap)]
        self._wanted = {_key(program, kept) for change in swaps for kept in change.kept}

    def visit(self, node: ast.AST) -> Any:
        """Change the node after its children."""
        key = None if not hasattr(node, "lineno") else (self._place(node), isinstance(node, ast.stmt))
        new: Any = self.generic_visit(node)
        if key is None:
            return new
        changes = self.missing.pop(key, [])
        for change in changes:
            if isinstance(change, Items):
                new = self._items(change, new)
        if key in self._wanted:
            self._kept.setdefault(key, new)
        for change in changes:
            if isinstance(change, Swap):
                new = self._swapped(change, is_statement=key[1])
        if key in self._wanted and not any(
            change.node in change.kept for change in changes if isinstance(change, Swap)
        ):
            self._kept[key] = new
        return new

    def _swapped(self, change: Swap, *, is_statement: bool) -> Any:
        kept = {f"_{at}_": self._kept.get(_key(self._program, one)) for at, one in enumerate(change.kept)}
        filling = _FillingAst(kept)
        if is_statement:
            return list(filling.visit(ast.parse(change.text)).body)
        return filling.visit(_expression(change.text))

    def _items(self, change: Items, node: Any) -> Any:
        if isinstance(node, ast.ImportFrom):
            node.names = [node.names[item] if isinstance(item, int) else ast.alias(item) for item in change.items]
            return node
        if not isinstance(change.node, cst.Call):
            node.elts = [node.elts[item] if isinstance(item, int) else _expression(item) for item in change.items]
            return node
        old = _in_order(change.node, node)
        parts = [old[item] if isinstance(item, int) else _argument(item) for item in change.items]
        node.args = [part for part in parts if not isinstance(part, ast.keyword)]
        node.keywords = [part for part in parts if isinstance(part, ast.keyword)]
        return node

    def _place(self, node: Any) -> Place:
        return Place(
            (node.lineno, self._column(node.lineno, node.col_offset)),
            (node.end_lineno, self._column(node.end_lineno, node.end_col_offset)),
        )

    def _column(self, line: int, offset: int) -> int:
        """Return a column in characters: Python's parser counts bytes."""
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        return offset if text.isascii() else len(text.encode()[:offset].decode(errors="ignore"))


def _key(program: Program, node: cst.CSTNode) -> _Key:
    """Return what identifies a node in Python's tree."""
    is_statement = isinstance(node, cst.BaseStatement | cst.BaseSmallStatement)
    if isinstance(node, cst.SimpleStatementLine):
        node = node.body[0]
    return program.place(node), is_statement


def _argument(text: str) -> Any:
    call = _expression(f"f({text})")
    return [*call.args, *call.keywords][0]


def _expression(text: str) -> Any:
    return ast.parse(text, mode="eval").body


def _in_order(call: cst.Call, node: ast.Call) -> list[Any]:
    """Return the arguments of Python's call in the order of the text."""
    positional, named = iter(node.args), iter(node.keywords)
    return [next(named) if arg.keyword is not None or arg.star == "**" else next(positional) for arg in call.args]


@final
class _FillingAst(ast.NodeTransformer):
    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._kept = kept

    def visit_Name(self, node: ast.Name) -> Any:
        """Put a kept expression."""
        return self._kept.get(node.id, node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Put a kept statement."""
        found = self._kept.get(node.value.id) if isinstance(node.value, ast.Name) else None
        return found if isinstance(found, ast.stmt) else self.generic_visit(node)
