"""A tree with some of its leaves exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

from actlab.formula.expr import Expr, Node, walk


def substitute(root: Expr, exchange: Mapping[Expr, Expr]) -> Expr:
    """The tree in which every leaf named in `exchange` stands for its new expression."""
    done: dict[Node, Node] = dict(exchange.items())
    for node in walk(root):
        if node not in done:
            done[node] = rebuilt(node, done)
    result = done[root]
    assert isinstance(result, Expr)
    return result


def rebuilt(node: Node, done: Mapping[Node, Node]) -> Node:
    """The node with the parts that its own stand for; the node itself where they are the same."""
    changed = {}
    for field in fields(node):  # type: ignore[arg-type]  # every node is a dataclass
        part = getattr(node, field.name)
        new = _exchanged(part, done)
        if new is not part:
            changed[field.name] = new
    return replace(node, **changed) if changed else node  # type: ignore[type-var]  # every node is a dataclass


def _exchanged(part: object, done: Mapping[Node, Node]) -> object:
    if isinstance(part, Node):
        return done[part]
    if isinstance(part, tuple):
        new = tuple(_exchanged(item, done) for item in part)
        return part if all(a is b for a, b in zip(new, part, strict=True)) else new
    return part
