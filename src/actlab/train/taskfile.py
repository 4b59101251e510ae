"""Load a task from the user's own file: `file.py:make_task`."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from actlab.errors import BadTask
from actlab.train.examples import article
from actlab.train.task import Task
from actlab.user_code import imported, their_code

DEFAULT_FUNCTION = "make_task"


def file_task(where: str) -> Task:
    """Return the task of a function in the user's file.

    Args:
        where: `file.py:function`; without a function, `make_task`.

    Raises:
        BadTask: the file is missing or raises, has no such function, or the function raises or returns no task.
    """
    path, function = parts(where)
    module = imported(path)
    found = getattr(module, function, None)
    if found is not None and not callable(found):
        raise BadTask(
            f"'{path.name}:{function}' must be a function that returns an actlab.Task; got {article(found)}. A"
            " comparison requires a Task; `actlab check` also takes a model, a batch and a loss."
        )
    if found is None:
        near = get_close_matches(function, [name for name in vars(module) if callable(getattr(module, name))], n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise BadTask(f"'{path}' has no function '{function}'.{hint} Define one that returns an actlab.Task.")
    with their_code(f"'{path.name}:{function}'"):
        task = found()
    if not isinstance(task, Task):
        raise BadTask(f"'{path.name}:{function}' must return an actlab.Task; got {article(task)}.")
    return replace(task, origin=("file", f"{path.resolve()}:{function}"))


def parts(where: str) -> tuple[Path, str]:
    """Split `file.py:name` into file and name; the default name is `make_task`."""
    path, separator, function = where.rpartition(":")
    # A colon may also follow a Windows drive ('C:\\task.py'): a function's name is an identifier.
    if separator and function.isidentifier():
        return Path(path), function
    return Path(where), DEFAULT_FUNCTION
