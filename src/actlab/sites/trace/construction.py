"""Find the line that constructs a module of an `nn.Sequential`, whose `forward` has no line of the user's code."""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from pathlib import Path

from torch import nn

from actlab.nn.user_lines import owner_of


def constructed_at(model: nn.Module, path: str, file: str) -> tuple[str, int] | None:
    """Return the file and the line that construct a module which an `nn.Sequential` applies; None if they are unknown.

    The line is known if exactly one call in the source code constructs such a sequence, argument by argument.

    Args:
        model: the model.
        path: the dotted path of the module.
        file: the file that calls the model, for a model that is an `nn.Sequential` itself.
    """
    owners, names = [model], path.split(".")
    for name in names[:-1]:
        child = owners[-1]._modules.get(name)
        if child is None:
            return None
        owners.append(child)
    start = len(owners)
    while start > 0 and type(owners[start - 1]) is nn.Sequential:
        start -= 1
    if start == len(owners):
        return None
    if start > 0:
        file = _file_of(type(owners[start - 1]))
    within = [type(owners[start - 1]).__name__] if start > 0 else []
    for scope in (*within, ""):  # the class of the owner, then the whole file, of which it may call a function
        calls = [call for call in _sequences(file, _changed(file), scope) if _constructs(call, owners[start])]
        if calls:
            break
    return (file, _line_of(calls[0], owners[start], names[start:])) if len(calls) == 1 else None


def _line_of(call: ast.expr, module: nn.Module, names: list[str]) -> int:
    for name in names:
        is_sequence = type(module) is nn.Sequential and isinstance(call, ast.Call) and _name(call) == "Sequential"
        if not is_sequence or not isinstance(call, ast.Call) or not _constructs(call, module):
            break
        call, module = call.args[list(module._modules).index(name)], module.get_submodule(name)
    return call.lineno


def _file_of(kind: type) -> str:
    """Return the source file of a class of the user; empty if it has none."""
    try:
        file = inspect.getsourcefile(kind) or ""
    except TypeError:  # a built-in class, or one that was typed into an interpreter
        return ""
    return file if owner_of(file) == "user" else ""


def _changed(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:
        return 0.0


@lru_cache(maxsize=64)
def _sequences(file: str, changed: float, within: str) -> tuple[ast.Call, ...]:
    """Return the calls of `Sequential` in a file, or in the class of this name there."""
    try:
        tree: ast.AST = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):  # no source, or not Python's
        return ()
    if within:
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == within]
        if len(classes) != 1:
            return ()
        tree = classes[0]
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node) == "Sequential")


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _constructs(call: ast.Call, module: nn.Module) -> bool:
    """Return whether the call may construct the sequence: as many arguments, and no other class among them."""
    children = list(module.children())
    if call.keywords or len(call.args) != len(children) or any(isinstance(arg, ast.Starred) for arg in call.args):
        return False
    classes = 0
    for arg, child in zip(call.args, children, strict=True):
        if not isinstance(arg, ast.Call):
            continue
        kind = type(child).__name__
        if _name(arg).removeprefix("Lazy") == kind:
            if type(child) is nn.Sequential and not _constructs(arg, child):
                return False
            classes += 1
        elif _name(arg)[:1].isupper():
            return False
    return classes > 0
