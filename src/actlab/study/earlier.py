"""What earlier runs in a store showed on similar tasks; a measurement on the task outranks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import sqlalchemy as sa
from torch import Tensor

from actlab.study.again import is_again
from actlab.study.database import sqlite_file
from actlab.study.schema import RESULTS
from actlab.study.store import Store
from actlab.study.verdict import BETTER, EQUIVALENT, MINOR, UNDECIDED, WORSE
from actlab.train.own_training import OwnTraining
from actlab.train.task import Learnable

TIMES = 5
"""A task is similar in size if it has at most so many times the rows, and at least this part of them."""

READ, MOST = 50, 8
"""The newest results that are read, and the tasks that are shown."""


@final
@dataclass(frozen=True)
class Likeness:
    """What a task is like.

    Attributes:
        data: the kind of its data.
        target: the kind of its target.
        rows: the number of its rows; 0 if it is not known.
    """

    data: str
    target: str
    rows: int

    @property
    def sentence(self) -> str:
        """What a similar task has in common with it."""
        size = f", {-(-self.rows // TIMES):,} to {TIMES * self.rows:,} rows" if self.rows else ""
        return f"{self.data}, {self.target}{size}"


@final
@dataclass(frozen=True)
class EarlierRun:
    """What a finished study showed about its arms, by their verdicts against its control.

    Attributes:
        study: its number in the store.
        task: the name of its task.
        rows: the number of rows of the task.
        control: the control.
        recommended: the arm that was recommended.
        better, minor, equivalent, worse, undecided: the arms with these verdicts.
    """

    study: int
    task: str
    rows: int
    control: str
    recommended: str
    better: tuple[str, ...]
    minor: tuple[str, ...]
    equivalent: tuple[str, ...]
    worse: tuple[str, ...]
    undecided: tuple[str, ...]


@final
@dataclass(frozen=True)
class Earlier:
    """The newest finished study of every similar task, the newest first.

    Attributes:
        like: what makes a task similar.
        runs: the studies.
    """

    like: Likeness
    runs: tuple[EarlierRun, ...]


def likeness(task: Learnable) -> Likeness:
    """Return what a task is like, by the shape and dtype of its inputs and by its kind.

    Example:
        >>> from actlab.train.builtin import builtin_task
        >>> likeness(builtin_task("diabetes"))
        Likeness(data='rows of numbers', target='regression', rows=442)
    """
    if isinstance(task, OwnTraining):
        return Likeness("a training of your own", task.metric.name[:40], 0)
    target = "classification" if task.kind.name == "binary" else task.kind.name
    return Likeness(_data(task.train.inputs), target[:40], task.rows)


def _data(inputs: object) -> str:
    if not isinstance(inputs, Tensor):
        return "several inputs"
    if not inputs.is_floating_point():
        return "text or other symbols"
    return {2: "rows of numbers", 3: "sequences of numbers", 4: "images"}.get(inputs.dim(), "arrays of numbers")


def earlier_in(where: str | Path | None, task: Learnable, *, resume: bool = False) -> Earlier | None:
    """Return what earlier runs in a store showed on tasks like this one; None without a store.

    Args:
        where: the store.
        task: the task that is to be run.
        resume: whether a stored study of this task is continued, which is not an earlier one then.

    Raises:
        BadStudy: the store cannot be read.
    """
    if where is None:
        return None
    file = sqlite_file(where)
    if file is not None and not file.exists():
        return Earlier(likeness(task), ())
    with Store(where) as store:
        return earlier(store, likeness(task), without=task.name if resume else None)


def earlier(store: Store, like: Likeness, *, before: int | None = None, without: str | None = None) -> Earlier:
    """Return the newest finished study of every task that is similar, the newest first.

    Args:
        store: the store.
        like: what the task is like.
        before: the number of a study: only earlier ones count.
        without: the name of a task that is left out.
    """
    alike = sa.select(RESULTS.c.study_id).where(
        RESULTS.c.data == like.data,
        RESULTS.c.target == like.target,
        RESULTS.c.rows.between(-(-like.rows // TIMES), TIMES * like.rows),
    )
    if before is not None:
        alike = alike.where(RESULTS.c.study_id < before)
    newest = alike.order_by(RESULTS.c.study_id.desc()).limit(READ)
    found = RESULTS.c.comparison
    # JSON is read of the newest alone: while rows are sorted, that of all would be.
    query = sa.select(
        RESULTS.c.study_id,
        RESULTS.c.rows,
        found["task"].as_string().label("task"),
        found["recommended"].as_string().label("recommended"),
        found["arms"].label("arms"),
    ).where(RESULTS.c.study_id.in_(newest))
    query = query.order_by(RESULTS.c.study_id.desc())
    rows = store.database.read(lambda connection: connection.execute(query).all())
    runs: dict[tuple[str, str], EarlierRun] = {}
    for row in rows:
        run = _run(row)
        if run is not None and run.task != without:
            runs.setdefault((run.task, run.control), run)
    return Earlier(like, tuple(runs.values())[:MOST])


def earlier_than(store: Store, study: int) -> Earlier | None:
    """Return what was known before a finished study; None if an older version stored it, without its likeness."""
    query = sa.select(RESULTS.c.data, RESULTS.c.target, RESULTS.c.rows).where(RESULTS.c.study_id == study)
    row = store.database.read(lambda connection: connection.execute(query).one_or_none())
    if row is None or None in row:
        return None
    return earlier(store, Likeness(str(row.data), str(row.target), int(row.rows)), before=study)


def _run(row: Any) -> EarlierRun | None:
    """Return what a stored result says; None if it compares no two activations, or another version wrote it."""
    arms = row.arms if isinstance(row.arms, list) else []
    verdicts = {
        arm["activation"]: str(arm.get("verdict"))
        for arm in arms
        if isinstance(arm, Mapping) and isinstance(arm.get("activation"), str)
    }
    verdicts = {name: verdict for name, verdict in verdicts.items() if not is_again(name)}
    if len(verdicts) < 2:
        return None

    def of(verdict: str) -> tuple[str, ...]:
        return tuple(name for name, each in verdicts.items() if each == verdict)

    return EarlierRun(
        study=row.study_id,
        task=str(row.task),
        rows=row.rows,
        control=next(iter(verdicts)),
        recommended=str(row.recommended),
        better=of(BETTER),
        minor=of(MINOR),
        equivalent=of(EQUIVALENT),
        worse=of(WORSE),
        undecided=of(UNDECIDED),
    )
