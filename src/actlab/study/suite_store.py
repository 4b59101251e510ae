"""The suites of a store: which studies belong together, and what was concluded over their tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, final

import sqlalchemy as sa

from actlab.catalog.index import get
from actlab.errors import ActlabError, BadInput, BadStudy
from actlab.formula.activation import Activation
from actlab.jsonable import plain
from actlab.study.archive import ANOTHER_VERSION, DECIDED, UNFINISHED, Stored, comparison_of, studies
from actlab.study.comparison import Comparison
from actlab.study.database import damaged
from actlab.study.fitting import fits
from actlab.study.over_tasks import Overall, conclude
from actlab.study.plan import Plan
from actlab.study.schema import LOCKS, STUDIES, SUITE_STUDIES, SUITES
from actlab.study.store import Store, row_of
from actlab.study.typed_values import read_as
from actlab.study.verdict import UNDECIDED
from actlab.theory.operations import operations

SIGN = "S"
"""The number of a suite is shown with this letter before it, since studies have numbers too."""


@final
@dataclass(frozen=True)
class StoredSuite:
    """A suite in a store, and how far it is.

    Attributes:
        id: its number among the suites.
        tasks: the names of its tasks.
        created: when it began.
        version: the version of actlab that began it.
        members: its studies, in the order of the tasks.
        state: "decided", "undecided" for some arm, "unfinished", or "another version" of actlab wrote a plan.
        verdict: the recommendation over all tasks; empty if it is not finished.
    """

    id: int
    tasks: tuple[str, ...]
    created: datetime
    version: str
    members: tuple[Stored, ...]
    state: str
    verdict: str

    @property
    def shown(self) -> str:
        """Its number as it is shown and typed."""
        return f"{SIGN}{self.id}"


def begin_suite(
    store: Store, names: Sequence[str], plans: Sequence[Plan], *, join: bool = False
) -> tuple[int, tuple[int, ...]]:
    """Add a suite and a study for each of its tasks, all or none; return its number and those of the studies.

    Args:
        store: the store.
        names: the names of the tasks.
        plans: the plans of the studies.
        join: whether a suite of these tasks that another process has just begun is returned instead.
    """

    def add(connection: sa.Connection) -> tuple[int, tuple[int, ...]]:
        connection.exec_driver_sql(LOCKS[connection.dialect.name])
        there = _newest(_rows(connection, store), names) if join else None
        if there is not None:
            return there
        row = {"tasks": list(names), "version": row_of("", plans[0])["version"], "created": datetime.now(UTC)}
        suite = connection.execute(sa.insert(SUITES).values(row).returning(SUITES.c.id)).scalar_one()
        studies = []
        for place, plan in enumerate(plans):
            latest = sa.select(sa.func.coalesce(sa.func.max(STUDIES.c.attempt), 0)).where(STUDIES.c.name == plan.task)
            values = row_of(plan.task, plan, attempt=connection.execute(latest).scalar_one() + 1)
            added = store.database.insert(STUDIES).values(values).on_conflict_do_nothing().returning(STUDIES.c.id)
            study = connection.execute(added).scalar_one_or_none()
            if study is None:
                raise _Taken
            studies.append(study)
            link = {"suite_id": suite, "place": place, "study_id": study}
            connection.execute(sa.insert(SUITE_STUDIES).values(link))
        return suite, tuple(studies)

    while True:
        try:
            return store.database.write(add)
        except _Taken:  # nothing was written: take the next attempt
            continue


class _Taken(Exception):
    """Another process has just added a study of the same name."""


def resumed_suite(
    store: Store, names: Sequence[str], plans: Sequence[Plan], *, seeds: int | None = None
) -> tuple[int, tuple[int, ...]]:
    """Return the newest suite of these tasks and its studies, or a new one if there is none.

    If `seeds` is larger than the number that the studies have, seeds and one more look are added to each.

    Raises:
        BadStudy: its studies have other plans or more seeds; the message says what differs.
    """
    there = _newest(store.database.read(lambda connection: _rows(connection, store)), names)
    number, members = there or begin_suite(store, names, plans, join=True)
    # Adding seeds may have been interrupted between two studies: all go on to the largest number.
    pairs = list(zip(plans, members, strict=True))
    most = max(len(store.resume(plan.task, plan, number=each)[1].seeds) for plan, each in pairs)
    for plan, each in pairs:
        store.resume(plan.task, plan, seeds=seeds or most, number=each)
    return number, members


def _newest(
    rows: Sequence[tuple[int, tuple[str, ...], tuple[int, ...]]], names: Sequence[str]
) -> tuple[int, tuple[int, ...]] | None:
    return next(((number, members) for number, tasks, members in reversed(rows) if tasks == tuple(names)), None)


def newest_plans(store: Store, names: Sequence[str]) -> tuple[Plan | None, ...]:
    """Return the plans of the newest suite of these tasks; None for each if there is none of this version."""
    there = _newest(store.database.read(lambda connection: _rows(connection, store)), names)
    return tuple(store.plan_of(study) for study in there[1]) if there is not None else (None,) * len(names)


def keep_conclusion(store: Store, suite: int, overall: Overall) -> None:
    """Store the conclusion of a suite; it takes the place of an earlier one, of fewer seeds."""
    changed = sa.update(SUITES).where(SUITES.c.id == suite).values(conclusion=plain(overall))
    store.database.write(lambda connection: connection.execute(changed))


def suites(store: Store, every: Sequence[Stored]) -> tuple[StoredSuite, ...]:
    """Return the suites of a store, the newest first.

    Args:
        store: the store.
        every: its studies.

    Raises:
        BadStudy: the store cannot be read.
    """
    by_number = {each.study.id: each for each in every}
    query = sa.select(SUITES.c.id, SUITES.c.version, SUITES.c.created, SUITES.c.conclusion).order_by(SUITES.c.id)
    rows = {row.id: row for row in store.database.read(lambda connection: connection.execute(query).all())}
    found = []
    known = store.database.read(lambda connection: _rows(connection, store))
    for number, tasks, members in reversed(known):
        if not set(members) <= set(by_number):
            raise damaged(store.database.shown, f"a study of suite {number} is missing")
        row, own = rows[number], tuple(by_number[each] for each in members)
        state, verdict = _state(row.conclusion, own)
        found.append(StoredSuite(number, tasks, _utc(row.created), row.version, own, state, verdict))
    return tuple(found)


def _state(conclusion: Any, members: Sequence[Stored]) -> tuple[str, str]:
    states = {member.state for member in members}
    if ANOTHER_VERSION in states:
        return ANOTHER_VERSION, ""
    if UNFINISHED in states or not isinstance(conclusion, Mapping):
        return UNFINISHED, ""
    arms = conclusion.get("arms")
    verdicts = {arm.get("verdict") for arm in arms if isinstance(arm, Mapping)} if isinstance(arms, list) else set()
    return UNDECIDED if UNDECIDED in verdicts else DECIDED, str(conclusion.get("verdict", ""))


def conclusion_of(store: Store, suite: StoredSuite) -> tuple[Overall, tuple[Comparison, ...]]:
    """Return the conclusion of a finished suite and the comparisons that it rests on, without running anything.

    If the comparisons have changed since, such as by seeds that were added to one of them, they are concluded anew.

    Raises:
        BadStudy: the suite is not finished, or its conclusion cannot be read.
    """
    if suite.state == UNFINISHED:
        done = sum(member.study.done for member in suite.members)
        planned = sum(member.study.planned or 0 for member in suite.members)
        raise BadStudy(
            f"suite {suite.shown} is not finished: {done:,} of {planned:,} trials are done. Continue it with --resume."
        )
    query = sa.select(SUITES.c.conclusion).where(SUITES.c.id == suite.id)
    values = store.database.read(lambda connection: connection.execute(query).scalar_one())
    try:
        overall: Overall = read_as(Overall, values, at="the conclusion")
    except BadInput as error:
        raise BadStudy(f"the conclusion of suite {suite.shown} cannot be read: {error}") from error
    comparisons = tuple(comparison_of(store, member) for member in suite.members)
    arms = {tuple(arm.activation for arm in found.arms) for found in comparisons}
    if len(arms) > 1:
        raise damaged(store.database.shown, f"the studies of suite {suite.shown} have different arms")
    anew = conclude(
        comparisons,
        names=suite.tasks,
        studies=[member.study.id for member in suite.members],
        operations=_operations(*arms),
    )
    if _found(anew) == _found(overall):
        return overall, comparisons
    return replace(
        anew, notes=(*anew.notes, "The studies have changed since all was run; concluded anew.")
    ), comparisons


def _found(overall: Overall) -> tuple[object, ...]:
    return overall.tasks, overall.arms, overall.pairs, overall.group


def _operations(names: Sequence[str]) -> dict[str, int]:
    """Return how many operations each arm takes per element, of those that the catalog knows or that are formulas."""
    found = {}
    for name in names:
        try:
            act = get(name)
        except ActlabError:
            continue
        if isinstance(act, Activation):
            found[name] = operations(act)
    return found


def suite_named(store: Store, name: str | int | None = None) -> StoredSuite | None:
    """Return the suite with this number, such as S1; without a name, the newest if no study is newer; None otherwise.

    Raises:
        BadStudy: the store has no suite of this number.
    """
    is_number = isinstance(name, str) and name[:1] == SIGN and name[1:].isdecimal()
    if not (is_number or name is None):
        return None
    rows = store.database.read(lambda connection: _rows(connection, store))
    # Only the numbers first: to count the trials of every study takes its time.
    if name is None:
        newest = sa.select(sa.func.max(STUDIES.c.id))
        last = store.database.read(lambda connection: connection.execute(newest).scalar_one())
        if not rows or last > max(rows[-1][2]):
            return None
        number = rows[-1][0]
    else:
        named = sa.select(STUDIES.c.id).where(STUDIES.c.name == name).limit(1)
        if store.database.read(lambda connection: connection.execute(named).first()) is not None:
            return None  # a task of this name
        number = int(str(name)[1:])
    for suite in suites(store, studies(store)):
        if suite.id == number:
            return suite
    raise BadStudy(f"{store.database.shown} has no suite {name}; `actlab runs` lists {len(rows)}.")


def _rows(connection: sa.Connection, store: Store) -> list[tuple[int, tuple[str, ...], tuple[int, ...]]]:
    """Return number, tasks and studies of every suite, the oldest first.

    Raises:
        BadStudy: a row has a value of another type.
    """
    query = sa.select(SUITES.c.id, SUITES.c.tasks, SUITE_STUDIES.c.study_id).join(SUITE_STUDIES)
    query = query.order_by(SUITES.c.id, SUITE_STUDIES.c.place)
    members: dict[int, list[int]] = {}
    tasks: dict[int, Any] = {}
    for row in connection.execute(query):
        members.setdefault(row.id, []).append(row.study_id)
        tasks[row.id] = row.tasks
    found = []
    for number, own in members.items():
        names = tuple(tasks[number]) if isinstance(tasks[number], list) else ()
        if len(names) != len(own) or not fits(names, tuple[str, ...]):
            raise damaged(store.database.shown, f"the tasks of suite {number} have a value of another type")
        found.append((number, names, tuple(own)))
    return found


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
