"""Where in the user's code a call stands, and in which module's `forward`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import final

import torch
from torch import nn
from torch.fx import GraphModule

_TORCH = str(Path(torch.__file__).parent) + os.sep
_OURS = str(Path(__file__).parents[2]) + os.sep


@final
@dataclass(frozen=True)
class Place:
    """Where a call stands.

    Attributes:
        path: the dotted path of the innermost module whose `forward` makes it; empty for the model itself.
        module: the class of PyTorch's own module that makes it, such as `ReLU`; empty where the user's code does.
        file, line: of the innermost line that is neither PyTorch's nor actlab's.
        instruction: which of the calls on that line it is.
    """

    path: str
    module: str
    file: str
    line: int
    instruction: int


def places_of(model: nn.Module) -> dict[int, str]:
    """The dotted path of every module of the model, by its identity."""
    modules = reversed(list(model.named_modules(remove_duplicate=False)))
    return {id(module): without_compiler(path) for path, module in modules}


def without_compiler(path: str) -> str:
    """The path without the wrappers that `torch.compile` puts around modules."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def here(paths: Mapping[int, str], *, depth: int = 2) -> Place:
    """The place of the call that is being made: looked for from the frame `depth` above this one."""
    return Place(*spot(paths, depth=depth + 1))


def spot(paths: Mapping[int, str], *, depth: int) -> tuple[str, str, str, int, int]:
    """The same, as what a `Place` is made of."""
    frame: FrameType | None = sys._getframe(depth)
    file, line, instruction, path, module = "", 0, -1, None, ""
    while frame is not None:
        name = frame.f_code.co_filename
        whose = owner_of(name)
        if not file and (whose == "user" or _stands_for_the_users(frame)):
            (file, line), instruction = _written_at(frame), frame.f_lasti
        if path is None and whose != "ours" and frame.f_code.co_argcount and frame.f_code.co_varnames[0] == "self":
            owner = frame.f_locals.get("self")
            if id(owner) in paths and isinstance(owner, nn.Module):
                path = paths[id(owner)]
                # a module with a forward of the user's own is met in PyTorch's call of it
                is_theirs = (
                    whose == "torch"
                    and type(owner).__module__.startswith("torch.")
                    and not frame.f_code.co_name.endswith("call_impl")
                )
                module = type(owner).__name__ if is_theirs else ""
        if file and path is not None:
            break
        frame = frame.f_back
    return path or "", module, file, line, instruction


def _stands_for_the_users(frame: FrameType) -> bool:
    """Whether it is a line of ours that a model of a built-in task is said to be called from."""
    return (
        frame.f_code.co_name == "<module>"
        and "call" in frame.f_globals
        and owner_of(frame.f_code.co_filename) == "ours"
    )


def _written_at(frame: FrameType) -> tuple[str, int]:
    """File and line of the code; of code that `torch.fx` or `torch.export` generated, those that it was made from."""
    file, line = frame.f_code.co_filename, frame.f_lineno
    if not file.startswith("<eval_with_key>"):
        return file, line
    module = frame.f_locals.get("self")
    if not isinstance(module, GraphModule):
        return file, line
    at = getattr(module, "_lineno_map", {}).get(line - (getattr(module, "_prologue_start", 0) or 0))
    nodes = list(module.graph.nodes)
    trace = nodes[at].stack_trace if at is not None and at < len(nodes) else None
    lines = [(found[1], int(found[2])) for found in re.finditer(r'File "([^"]+)", line (\d+)', trace or "")]
    users = [each for each in lines if owner_of(each[0]) == "user"]
    return users[-1] if users else (file, line)


@lru_cache(maxsize=4096)
def owner_of(file: str) -> str:
    """Whose code the file is: `ours`, `torch` or the `user`'s."""
    if file.startswith((_OURS, "<frozen")):
        return "ours"
    return "torch" if file.startswith(_TORCH) else "user"
