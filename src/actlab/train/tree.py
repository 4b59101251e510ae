"""Tensors in tuples, lists, dicts and dataclasses: what models take and return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def called_with(inputs: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """Return the arguments of a model call: several from a tuple or a list, keywords from a dict, else one.

    Example:
        >>> called_with(("a", "b")), called_with({"x": "a"}), called_with("a")
        ((('a', 'b'), {}), ((), {'x': 'a'}), (('a',), {}))
    """
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    is_several = isinstance(inputs, tuple | list) and not isinstance(inputs, PackedSequence)
    return (tuple(inputs) if is_several else (inputs,)), {}


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the values inside all containers, in order, without None.

    Example:
        >>> list(leaves({"a": 1, "b": (2, [3, None])}))
        [1, 2, 3]
    """
    if _is_dataclass(tree):
        tree = [getattr(tree, each.name) for each in fields(tree)]
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, tuple | list):
        for each in tree:
            yield from leaves(each)
    elif tree is not None:
        yield tree


def mapped(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return a tree of the same form with `function` applied to the leaves of one tree, or of several alike.

    Example:
        >>> mapped(lambda one, other: one + other, {"a": 1, "b": (2, None)}, {"a": 10, "b": (20, None)})
        {'a': 11, 'b': (22, None)}
    """
    if isinstance(tree, Tensor):  # first, as most are
        return function(tree, *others)
    if _is_dataclass(tree):
        values = {
            each.name: mapped(function, *(getattr(one, each.name) for one in (tree, *others)))
            for each in fields(tree)
            if each.init
        }
        return replace(tree, **values)
    if isinstance(tree, Mapping):
        pairs = {key: mapped(function, *(one[key] for one in (tree, *others))) for key in tree}
        return pairs if type(tree) is dict else type(tree)(pairs)  # type: ignore[call-arg]  # as OrderedDict does
    if isinstance(tree, tuple | list):
        values_in_order = [mapped(function, *each) for each in zip(tree, *others, strict=True)]
        is_named = isinstance(tree, tuple) and hasattr(tree, "_fields")
        return type(tree)(*values_in_order) if is_named else type(tree)(values_in_order)
    return None if tree is None else function(tree, *others)


def has_rows(tree: Any, rows: int) -> bool:
    """Return whether every leaf is a tensor with so many rows."""
    return all(isinstance(each, Tensor) and each.dim() > 0 and len(each) == rows for each in leaves(tree))


def joined(trees: Sequence[Any]) -> Any:
    """Return the rows of several trees as one."""
    return mapped(lambda *parts: torch.cat(parts), *trees)


def is_finite(tree: Any) -> bool:
    """Return whether all tensors of floating-point numbers in a tree are finite."""
    tensors = (each for each in leaves(tree) if isinstance(each, Tensor) and each.is_floating_point())
    return all(bool(each.isfinite().all()) for each in tensors)


def _is_dataclass(tree: Any) -> bool:
    return is_dataclass(tree) and not isinstance(tree, type)
