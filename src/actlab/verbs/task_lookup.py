"""Find the task or the model that a text names: in the user's file, in a table, or built in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from actlab.errors import BadInput, BadTask
from actlab.train.adjusted import adjusted
from actlab.train.arrays import arrays_task
from actlab.train.builtin import DEFAULT, builtin_task
from actlab.train.images import image_task
from actlab.train.options import TaskOptions
from actlab.train.own_training import OwnTraining
from actlab.train.subject import Subject, named_subject, names_program
from actlab.train.table import table_task
from actlab.train.task import Learnable, Task
from actlab.train.taskfile import file_task
from actlab.train.text import text_task

TEXTS = (".txt", ".md", ".text")


def task_named(
    data: str | Path | Learnable | None,
    *,
    target: str | None,
    task: str | None,
    verb: str,
    options: TaskOptions | None = None,
) -> Learnable:
    """Return the task: `data` itself, a table and its target, a task file, a built-in one, or the built-in example.

    Args:
        data: a path (of a table, a folder of images or an .npz file), `data.csv:column` for a table with its target,
            `file.py:name`, or a `Task`.
        target: the table column to predict, unless the table is named with its own.
        task: the name of a built-in task.
        verb: the command that asks, for error messages.
        options: how the task is read and trained.

    Raises:
        BadInput: `data` is of another type.
        BadTask: nothing is found, or the arguments contradict each other.
    """
    options = options or TaskOptions()
    if isinstance(data, str) and not data.strip():
        raise BadTask(f"a task must have a name; got '{data}'. Name a table, file.py:name or a built-in task.")
    data, target = _with_own_target(data, target)
    if data is not None and not isinstance(data, str | Path | Learnable):
        found = type(data).__name__
        raise BadInput(f"{verb} requires a table's path, file.py:name or an actlab.Task; got {found}.")
    if options.text is not None:
        if data is not None or target is not None or task is not None:
            raise BadTask("--text names the whole task: leave out a table, a file, --target and --task.")
        _refuse_for_tables(options, verb=verb)
        found_task: Learnable = text_task(str(options.text))
    elif isinstance(data, str | Path) and task is None and target is not None:
        found_task = table_task(
            str(data), target=target, kind=options.kind, header=options.header, without=tuple(options.without)
        )
    else:
        _refuse_for_tables(options, verb=verb)
        found_task = _named(data, target=target, task=task, verb=verb)
    return adjusted(found_task, epochs=options.epochs, rates=options.rates, metric=options.metric)


_WITH_TARGET = re.compile(r"(?P<path>.+?\.(?:csv|tsv|tab|data|txt)):(?P<target>.+)", re.IGNORECASE | re.DOTALL)


def _with_own_target(
    data: str | Path | Learnable | None, target: str | None
) -> tuple[str | Path | Learnable | None, str | None]:
    """Return a table and its target, if `data` names both as `data.csv:column`."""
    found = _WITH_TARGET.fullmatch(data) if isinstance(data, str) and not Path(data).exists() else None
    return (found["path"], found["target"]) if found else (data, target)


def is_table(data: object, target: str | None) -> bool:
    """Return whether `data` is read as a table: it has a target.

    Example:
        >>> is_table("wine.csv:cultivar", None), is_table("wine.csv", "cultivar"), is_table("digits-relu", None)
        (True, True, False)
    """
    own, column = _with_own_target(data, target) if isinstance(data, str | Path) else (None, None)
    return isinstance(own, str | Path) and column is not None


def _named(data: str | Path | Learnable | None, *, target: str | None, task: str | None, verb: str) -> Learnable:
    """Return the task of a file, a built-in one, or `data` itself."""
    if isinstance(data, Learnable):
        return data
    if data is None:
        if target is not None:
            raise BadTask(f"--target {target} requires a table: actlab {verb} data.csv --target {target}.")
        return builtin_task(task or DEFAULT)
    where = str(data)
    if task is not None:
        raise BadTask(f"both {where} and the built-in task '{task}' were named; name one.")
    if Path(where).is_dir():
        return image_task(where)
    if Path(where).suffix.lower() == ".npz":
        return arrays_task(where)
    if not names_program(where):
        if not Path(where).suffix and not Path(where).exists():
            raise BadTask(f"there is no file or folder '{where}'; name a table, a folder of images or file.py:name.")
        program = Path(where).with_suffix(".py")
        hint = f", or a program as {program}:NAME" if program.is_file() else ""
        if Path(where).suffix.lower() in TEXTS:
            hint = f", or read it as a text: actlab advise --text {where}"
        raise BadTask(f"{where} is read as a table: name the column to predict with --target{hint}.")
    if ".py" not in where:
        raise BadTask(f"{verb} reads a task from a file, not from a module; got '{where}'. Name it as file.py:name.")
    return file_task(where)


def _refuse_for_tables(options: TaskOptions, *, verb: str) -> None:
    """Refuse the options that say how a table is read, where none is read."""
    asked = {"--kind": bool(options.kind), "--no-header": not options.header, "--without": bool(options.without)}
    for option, is_asked in asked.items():
        if is_asked:
            raise BadTask(f"{option} requires a table: actlab {verb} data.csv --target COLUMN {option}.")


def subject_named(
    data: str | Path | Learnable | Subject | None,
    *,
    target: str | None,
    task: str | None,
    verb: str,
    input: Sequence[str] = (),
) -> Task | Subject:
    """Return the task as `task_named` does, or the model with a batch and a loss that `data` names.

    Args:
        data, target, task, verb: as for `task_named`.
        input: the shapes of random inputs, for a model without a batch.

    Raises:
        BadInput, BadTask: as `task_named`.
    """
    if isinstance(data, Subject):
        return data
    is_program = isinstance(data, str | Path) and names_program(str(data)) and not is_table(data, target)
    if is_program and target is None and task is None:
        return named_subject(str(data), shapes=input)
    if input:
        raise BadTask(f"--input requires a model of yours: actlab {verb} file.py:name --input {input[0]}.")
    found = task_named(data, target=target, task=task, verb=verb)
    if isinstance(found, OwnTraining):
        raise BadTask(
            f"{verb} requires a model: task '{found.name}' is a training of your own, and shows none. Name a function"
            " that returns a model, a batch and a loss; inside of the training, use actlab.watch."
        )
    return found
