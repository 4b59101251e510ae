"""Replacing leaves of a tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

from actlab.formula.expr import Expr, Node, walk


def substitute(root: Expr, exchange: Mapping[Expr, Expr]) -> Expr:
    """Return the tree with every leaf in `exchange` replaced by its new expression."""
    done: dict[Node, Node] = dict(exchange.items())
    for node in walk(root):
        if node not in done:
            done[node] = rebuilt(node, done)
    result = done[root]
    assert isinstance(result, Expr)
    return result


def rebuilt(node: Node, done: Mapping[Node, Node]) -> Node:
    """Return the node with its parts replaced as `done` says; the node itself if none changes."""
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
