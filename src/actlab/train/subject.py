"""The subject of a diagnosis: a model, one batch and the loss, from the user's own file or module."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from actlab.deprecation import warn_renamed
from actlab.errors import BadTask
from actlab.nn.user_lines import noting_lines
from actlab.train.examples import article
from actlab.train.random_inputs import random_inputs
from actlab.train.task import Task
from actlab.train.taskfile import parts
from actlab.train.tree import called_with
from actlab.user_code import imported, imported_module, their_code

EXPECTED = (
    "an actlab.Task, a tuple (model, (inputs, targets), loss), or a dict with the keys model, batch and loss, and"
    " optimizer if there is one"
)


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A model with a batch and a loss.

    Attributes:
        name: the name in the user's file.
        model: the model; only a copy of it is trained.
        inputs: the inputs of one batch: a tensor, a tuple of arguments, or a dict of keyword arguments.
        targets: the targets; None if the loss takes the output alone.
        loss: a function of outputs and targets, or None.
        optimizer: the user's optimizer, or None.
        file, line: where the subject is defined; findings about a model of PyTorch's own modules point there.
    """

    name: str
    model: nn.Module
    inputs: Any
    targets: Any
    loss: Callable[..., Any] | None
    optimizer: Optimizer | None = None
    file: str = "<model>"
    line: int = 1


def defined_at(subject: Task | Subject) -> tuple[str, int]:
    """Return the file and the line of a subject, or of the factory of a task's model; without one, `<task 'digits'>`.

    Example:
        >>> from actlab.train.builtin import builtin_task
        >>> file, line = defined_at(builtin_task("digits-relu"))
        >>> Path(file).name
        'mlp.py'
    """
    if isinstance(subject, Subject):
        return subject.file, subject.line
    code = _code_of(subject.model)
    return (f"<task '{subject.name}'>", 1) if code is None else (code.co_filename, code.co_firstlineno)


def _code_of(factory: Any) -> CodeType | None:
    """Return the code of a factory: of a class its `__init__`, of an object its `__call__`."""
    while isinstance(factory, partial):
        factory = factory.func
    if isinstance(factory, type):
        own = [each for each in factory.__mro__ if not each.__module__.startswith(("torch.", "builtins"))]
        factory = next((vars(each)["__init__"] for each in own if "__init__" in vars(each)), None)
    elif not hasattr(factory, "__code__"):
        factory = type(factory).__call__
    code = None if factory is None else getattr(inspect.unwrap(factory), "__code__", None)
    return code if isinstance(code, CodeType) else None


def names_program(where: str) -> bool:
    """Return whether a text names an object in a Python file or module, not a table.

    Example:
        >>> [names_program(text) for text in ("net.py", "net.py:make", "pkg.net:make", "data.csv", "C:/data.csv")]
        [True, True, True, False, False]
    """
    path, separator, name = where.rpartition(":")
    if where.endswith(".py") or path.endswith(".py"):
        return True
    return bool(separator) and name.isidentifier() and all(part.isidentifier() for part in path.split("."))


def named_subject(where: str, *, shapes: Sequence[str] = ()) -> Task | Subject:
    """Return the task or the subject of a name in the user's file or module; call it if it is a function or a class.

    Args:
        where: `file.py:name`, `file.py` (for `make_task`), or `package.module:name`.
        shapes: the shapes of the inputs, for a model without a batch: as for `random_inputs`.

    Raises:
        BadTask: there is no such file, module or name, it raises, or it is neither a task nor a subject.
        BadInput: a shape cannot be read.
    """
    path, name = parts(where)
    with noting_lines():
        module = imported(path) if path.suffix == ".py" else imported_module(str(path))
    if not hasattr(module, name):
        near = get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise BadTask(f"'{path}' has no '{name}'.{hint} Define it as {EXPECTED}, or as a function that returns one.")
    found = getattr(module, name)
    label = f"{path.name}:{name}"
    if callable(found) and not isinstance(found, nn.Module):
        with their_code(f"'{label}'"), noting_lines():
            found = found()
    if shapes:
        found = _with_inputs(found, shapes, name=label)
    if isinstance(found, Task):
        return found
    made = replace(subject(found, name=label), file=str(module.__file__), line=_line_of(name, module))
    _initialize(made)
    return made


def _initialize(of: Subject) -> None:
    """Run a model with lazy modules once in evaluation mode: they take their shapes, and nothing else changes."""
    if not any(is_lazy(each) for each in (*of.model.parameters(), *of.model.buffers())):
        return
    modes = [(module, module.training) for module in of.model.modules()]
    args, kwargs = called_with(of.inputs)
    of.model.eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad(), their_code(f"'{of.name}': the model"):
        of.model(*args, **kwargs)
    for module, mode in modes:
        module.training = mode


def _with_inputs(found: object, shapes: Sequence[str], *, name: str) -> tuple[nn.Module, tuple[Any, None]]:
    """Return the model with random inputs."""
    if not isinstance(found, nn.Module):
        raise BadTask(f"'{name}' must be a model if --input is given; got {article(found)}. Leave out --input.")
    return found, (random_inputs(shapes, found), None)


def _line_of(name: str, module: ModuleType) -> int:
    """Return the last line of a module that defines this name; 1 if no statement of the module does."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    lines = [
        node.lineno
        for node in tree.body
        if name == getattr(node, "name", None)
        or any(isinstance(part, ast.Name) and part.id == name for part in _targets(node))
    ]
    return lines[-1] if lines else 1


def _targets(node: ast.stmt) -> Iterator[ast.AST]:
    """Yield the parts of the targets of an assignment."""
    for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
        if isinstance(target, ast.AST):
            yield from ast.walk(target)


def subject(given: object, *, name: str) -> Subject:
    """Convert a tuple or a dict of model, batch and loss to a `Subject`.

    Raises:
        BadTask: it is neither.
    """
    match given:
        case Subject():
            return given
        case Mapping():
            given = _with_new_names(given, name=name)
            unknown = set(given) - {"model", "batch", "loss", "optimizer"}
            if unknown or not {"model", "batch"} <= set(given):
                keys = ", ".join(map(str, given))
                raise BadTask(f"'{name}' must be {EXPECTED}; got a dict with the keys {keys}.")
            return _made(name, given["model"], given["batch"], given.get("loss"), given.get("optimizer"))
        case nn.Module():
            raise BadTask(
                f"'{name}' must have inputs; got a model alone. Add --input with the shape of a batch, such as"
                " --input 32,4 (once for each input; 32,16:int64 names the type), or write a tuple"
                " (model, (inputs, targets), loss)."
            )
        case (model, batch) | (model, batch, _):
            return _made(name, model, batch, given[2] if len(given) == 3 else None, None)
        case _:
            raise BadTask(f"'{name}' must be {EXPECTED}; got {article(given)}.")


def _with_new_names(given: Mapping[Any, Any], *, name: str) -> Mapping[Any, Any]:
    """Return the dict with the key `optimizer`, which was spelled `optimiser` once."""
    if "optimiser" not in given or "optimizer" in given:
        return given
    warn_renamed(f"'{name}': the key 'optimiser'", "'optimizer'")
    return {"optimizer" if key == "optimiser" else key: value for key, value in given.items()}


def _made(name: str, model: object, batch: object, loss: object, optimizer: object) -> Subject:
    def refuse(what: str, found: object, wanted: str) -> BadTask:
        return BadTask(f"'{name}': the {what} must be {wanted}; got {article(found)}.")

    if not isinstance(model, nn.Module):
        raise refuse("model", model, "a torch.nn.Module")
    if isinstance(batch, Tensor) and loss is None:
        batch = (batch, None)
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        raise refuse("batch", batch, "a pair of inputs and targets")
    if loss is not None and not callable(loss):
        raise refuse("loss", loss, "a function of outputs and targets")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise refuse("optimizer", optimizer, "a torch.optim.Optimizer")
    return Subject(name, model, batch[0], batch[1], loss, optimizer)
