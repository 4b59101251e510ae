"""Find the line of the user's code that makes a call, and the module whose `forward` contains it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from torch import nn
from torch.fx import GraphModule

from actlab.nn.user_lines import noted_line, owner_of
from actlab.sites.trace.construction import constructed_at

_ENDS = (str(Path(__file__).with_name("run.py")), str(Path(__file__).parents[1] / "listening.py"))
"""What calls the model and the loss: beyond it is only the code that called actlab."""


class Place(NamedTuple):
    """The place of a call.

    Attributes:
        path: the dotted path of the innermost module whose `forward` makes it; empty for the model itself.
        module: the class of PyTorch's module that makes it, such as `ReLU`; empty if the user's code does.
        file, line: the innermost line outside PyTorch and actlab.
        instruction: the bytecode offset, which tells the calls of one line apart.
    """

    path: str
    module: str
    file: str
    line: int
    instruction: int


class Places(dict[int, str]):
    """The dotted path of every module of a model, by identity.

    Attributes:
        model: the model.
        caller: the file of the innermost code of the user that made this object: it calls the model.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = reversed(list(model.named_modules(remove_duplicate=False)))
        super().__init__({id(module): without_compiler(path) for path, module in modules})
        for path, layer in _keras_layers(model, ""):
            self[id(layer)] = path
        self.model = model
        self.caller = _caller()
        self._lines: dict[int, tuple[str, int]] = {}

    def constructed_at(self, module: nn.Module | None) -> tuple[str, int]:
        """Return the file and the line that construct the module; an empty file and 0 if they are unknown."""
        if module is None:
            return "", 0
        found = noted_line(module) or self._lines.get(id(module))
        if found is None:
            path = self.get(id(module), "")
            found = (constructed_at(self.model, path, self.caller) if path else None) or ("", 0)
            self._lines[id(module)] = found
        return found


def _keras_layers(model: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield the layers of a Keras model with their dotted names: PyTorch does not know them as submodules."""
    is_keras = any(kind.__module__.startswith("keras.") for kind in type(model).__mro__)
    flatten = getattr(model, "_flatten_layers", None) if is_keras else None
    for layer in () if flatten is None else flatten(include_self=False, recursive=False):
        name = f"{path}.{layer.name}" if path else layer.name
        yield name, layer
        yield from _keras_layers(layer, name)


def places_of(model: nn.Module) -> Places:
    """Return the dotted path of every module of the model, by identity."""
    return Places(model)


def _caller() -> str:
    """Return the file of the innermost code of the user."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and owner_of(frame.f_code.co_filename) != "user":
        frame = frame.f_back
    return "" if frame is None else frame.f_code.co_filename


def without_compiler(path: str) -> str:
    """Return the path without the wrappers that `torch.compile` adds."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def spot(paths: Places, frame: FrameType | None) -> Place:
    """Return the place of the call that the frame makes.

    The line is that of the user's code that makes the call, or that calls the module of PyTorch that makes it. A module
    that another module of PyTorch calls, such as `nn.Sequential`, has the line that constructs it: the user's code that
    calls the outer one is the same for all modules in it.
    """
    path, module = None, ""
    inner: nn.Module | None = None  # the innermost module of PyTorch
    is_nested = is_past_model = False
    while frame is not None and not is_outside(frame):
        name = frame.f_code.co_filename
        whose = owner_of(name)
        owner = _self_of(frame) if whose != "ours" else None
        if is_past_model and (owner is None or paths.get(id(owner)) != ""):
            break
        if owner is not None and path is None and id(owner) in paths:
            path = paths[id(owner)]
            # the frame of PyTorch's `__call__` says nothing about whose `forward` it is
            is_theirs = (
                whose == "torch"
                and type(owner).__module__.startswith("torch.")
                and not frame.f_code.co_name.endswith("call_impl")
            )
            module = type(owner).__name__ if is_theirs else ""
        if whose == "user":
            if path is None:
                path = _path_of_callers(frame.f_back, paths)
            file, line = _written_at(frame)
            instruction = frame.f_lasti
            if is_nested:
                # still tells two calls of one `nn.Sequential` apart
                instruction += line << 20
                file, line = paths.constructed_at(inner)
            return Place(path, module, file, line, instruction)
        if owner is not None and whose == "torch":
            is_nested = is_nested or (inner is not None and owner is not inner)
            inner = owner if inner is None else inner
        is_past_model = is_past_model or (owner is not None and paths.get(id(owner)) == "")
        frame = frame.f_back
    return Place(path or "", module, *paths.constructed_at(inner), -1)


def is_outside(frame: FrameType) -> bool:
    """Return whether the frame calls the model or the loss, so that the calls beyond it are not theirs."""
    return frame.f_code.co_filename in _ENDS and frame.f_code.co_name != "__torch_function__"


def _self_of(frame: FrameType) -> nn.Module | None:
    """Return the module to which the frame belongs."""
    code = frame.f_code
    owner = frame.f_locals.get("self") if code.co_argcount and code.co_varnames[0] == "self" else None
    return owner if isinstance(owner, nn.Module) else None


def _path_of_callers(frame: FrameType | None, paths: Places) -> str:
    """Return the path of the innermost module of the model among the callers; empty if there is none."""
    while frame is not None:
        owner = _self_of(frame) if owner_of(frame.f_code.co_filename) != "ours" else None
        if owner is not None and id(owner) in paths:
            return paths[id(owner)]
        frame = frame.f_back
    return ""


def _written_at(frame: FrameType) -> tuple[str, int]:
    """Return file and line of the code; for code generated by `torch.fx` or `torch.export`, those of its source."""
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
