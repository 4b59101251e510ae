"""Digests of what the results of a task depend on: data, settings, model, loss, and the user's code."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actlab.nn.user_lines import owner_of
from actlab.train.tree import leaves

DEEPEST = 6
"""Values are followed into containers and closures so far."""


def digest_of(*parts: object) -> str:
    """Return a short digest, the same in every process for equal values.

    Example:
        >>> digest_of({"a": [1, 2.0]}) == digest_of({"a": [1, 2.0]})
        True
        >>> digest_of(lambda x: x + 1) == digest_of(lambda x: x + 2)
        False
    """
    return hashlib.sha256("\x1f".join(token(part) for part in parts).encode()).hexdigest()[:32]


def behavior_of(outputs: object) -> list[str]:
    """Return a few numbers about a model's outputs, to three digits, so that they agree on different machines.

    They change with whatever the outputs depend on, also with code and files that no digest follows.

    Example:
        >>> behavior_of({"logits": torch.tensor([[3.0, 4.0]])})
        ['3.54e+00', '2.55e+00']
    """
    return [text for each in leaves(outputs) if isinstance(each, Tensor) for text in _sizes(each)]


def _sizes(tensor: Tensor) -> tuple[str, ...]:
    values = tensor.detach().double().flatten()
    places = torch.linspace(1, 0.5, len(values), dtype=torch.float64)
    return tuple(f"{each.square().mean().sqrt().item():.2e}" for each in (values, values * places))


def token(value: object, *, depth: int = DEEPEST) -> str:
    """Return a text that is equal for equal values, without addresses in memory."""
    inside = partial(token, depth=depth - 1)
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes():
            return repr(value)
        case Tensor():
            return _array(value.detach().cpu().contiguous().view(-1).numpy()) + str(tuple(value.shape))
        case np.ndarray():
            return _array(value) + str(value.shape)
        case _ if depth == 0:
            return type(value).__qualname__
        case list() | tuple():
            return f"({','.join(map(inside, value))})"
        case set() | frozenset():
            return f"{{{','.join(sorted(map(inside, value)))}}}"
        case Mapping():
            return f"{{{','.join(f'{inside(key)}:{inside(each)}' for key, each in value.items())}}}"
        case CodeType():
            return inside((value.co_code, value.co_consts, value.co_names, value.co_varnames))
        case FunctionType():
            cells = [_content(cell) for cell in value.__closure__ or ()]
            return inside((value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, cells))
        case MethodType():
            return inside((value.__func__, value.__self__))
        case partial():
            return inside((value.func, value.args, value.keywords))
        case nn.Module():
            return inside((_name(type(value)), str(value), dict(value.state_dict()), _plain(vars(value))))
        case type():
            return _name(value)
        case _:
            return inside((_name(type(value)), _plain(getattr(value, "__dict__", {}))))


def sources(*things: object) -> dict[str, str]:
    """Return, by file name, a digest of each file of the user that the things come from, and of those it imports.

    Comments and layout do not count.
    """
    found: dict[str, str] = {}
    waiting = list(_modules_of(things))
    known: set[str] = set()
    while waiting:
        module = waiting.pop()
        file = getattr(module, "__file__", None)
        if not _is_users(file) or module.__name__ in known:
            continue
        known.add(module.__name__)
        text = _source(str(file))
        if text is not None:
            found[Path(str(file)).name] = digest_of(found.get(Path(str(file)).name), text)
        waiting += _modules_of(list(vars(module).values()))
    return dict(sorted(found.items()))


def _source(file: str) -> str | None:
    try:
        return ast.dump(ast.parse(Path(file).read_text(encoding="utf-8")))
    except (OSError, SyntaxError, ValueError):  # a notebook, or a compiled extension
        return None


def _modules_of(things: Iterable[object]) -> Iterator[ModuleType]:
    """Yield the modules that the things are or come from."""
    for thing in things:
        inner = thing.func if isinstance(thing, partial) else thing
        name = inner.__name__ if isinstance(inner, ModuleType) else getattr(inner, "__module__", None)
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is not None:
            yield module
        if isinstance(thing, nn.Module):
            kinds = {type(part).__module__ for part in thing.modules()}
            yield from (sys.modules[each] for each in sorted(kinds) if each in sys.modules)


def _is_users(file: object) -> bool:
    return isinstance(file, str) and owner_of(file) == "user" and "site-packages" not in file


def _array(values: np.ndarray[Any, Any]) -> str:
    if values.dtype == object:
        return token(values.tolist())
    return f"{values.dtype}:{hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()}"


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are plain values; the rest is known by other ways, or holds no setting."""
    kinds = (bool, int, float, str, list, tuple, Tensor, np.ndarray, type(None))
    return {name: each for name, each in values.items() if isinstance(each, kinds) and not name.startswith("_")}
