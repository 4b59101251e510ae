"""Load a task from the user's own file: `file.py:make_task`."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from torch import nn

from actlab.errors import BadTask
from actlab.nn.user_lines import noting_lines
from actlab.train.examples import article
from actlab.train.own_training import OwnTraining
from actlab.train.task import Learnable, Task
from actlab.user_code import imported, their_code

DEFAULT_FUNCTION = "make_task"
WHY = "A comparison trains many fresh models; `actlab check` also accepts a model, a batch and a loss."


def file_task(where: str) -> Learnable:
    """Return the task that the user's file holds under a name, or that its function of this name returns.

    Args:
        where: `file.py:name`; without a name, `make_task`.

    Raises:
        BadTask: the file is missing or raises, does not hold the name, or holds something else.
    """
    path, name = parts(where)
    with noting_lines():
        module = imported(path)
    if not hasattr(module, name):
        near = get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise BadTask(f"'{path}' has no '{name}'.{hint} It must be an actlab.Task or a function that returns one.")
    found = getattr(module, name)
    if callable(found) and not isinstance(found, nn.Module):
        with their_code(f"'{path.name}:{name}'"), noting_lines():
            found = found()
    if isinstance(found, OwnTraining):
        return found.with_settings(origin=("file", f"{path.resolve()}:{name}"))
    if not isinstance(found, Task):
        raise BadTask(
            f"'{path.name}:{name}' must be an actlab.Task or a function that returns one; got {article(found)}. {WHY}"
        )
    return replace(found, origin=("file", f"{path.resolve()}:{name}"))


def parts(where: str) -> tuple[Path, str]:
    """Split `file.py:name` into file and name; without a name, `make_task`."""
    path, separator, function = where.rpartition(":")
    # A colon may also follow a Windows drive ('C:\\task.py'): a function's name is an identifier.
    if separator and function.isidentifier():
        return Path(path), function
    return Path(where), DEFAULT_FUNCTION
