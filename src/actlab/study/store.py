"""The store of trials, in SQLite or PostgreSQL: one row per trial, written when it is done."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final
from zlib import crc32

import numpy as np
import sqlalchemy as sa

from actlab.errors import BadStudy
from actlab.sites.site_text import name_text
from actlab.study.database import PATIENCE, Database, damaged, sqlite_file
from actlab.study.fitting import fits
from actlab.study.outcome import Outcome
from actlab.study.plan import Plan, Trial, digest_of
from actlab.study.schema import CURVES, LEASES, RESULTS, STUDIES, TRIALS
from actlab.train.loop import Epoch


@final
@dataclass(frozen=True)
class StoredStudy:
    """A study in a store. Its texts may come from a stranger: show them with `name_text`.

    Attributes:
        id: its number in the store.
        name: its name; by default that of its task.
        attempt: how many studies of this name there were when it began, with itself.
        created: when it began.
        version: the version of actlab that began it.
        done: the number of trials that are stored.
        planned: the number of trials planned, without those of an extended range of rates; None without a plan.
        plan: its plan; None if another version of actlab wrote one that this version cannot read.
    """

    id: int
    name: str
    attempt: int
    created: datetime
    version: str
    done: int
    planned: int | None
    plan: Plan | None


@final
class Store:
    """The trials of many studies, in one database.

    Args:
        where: the path of an SQLite file, a database URL, or None for a store in memory.
        patience: how many seconds to wait for a server that has answered and does not any more.

    Raises:
        BadStudy: the database cannot be opened.
        MissingExtra: the driver of PostgreSQL is not installed.

    Example:
        >>> with Store(None) as store:
        ...     store.studies()
        ()
    """

    def __init__(self, where: str | Path | None, *, patience: float = PATIENCE) -> None:
        self.database = Database(where, patience=patience)
        self._unwritten: list[tuple[int, Outcome]] = []

    @classmethod
    def existing(cls, where: str | Path) -> Self:
        """Open a store that is there already.

        Raises:
            BadStudy: it cannot be opened, or no file has this name.
        """
        file = sqlite_file(where)
        if file is not None and not file.exists():
            raise BadStudy(f"there is no store '{file}'. --store names one, or run `actlab advise` first.")
        return cls(where)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what could not be written before, if that is possible now, and close the connections."""
        self.database.patience = 0.0
        try:
            self._write_outcomes()
        except BadStudy:
            pass  # it was said when the trial ended, and the trial will be run again
        finally:
            self.database.close()

    def studies(self) -> tuple[StoredStudy, ...]:
        """Return the studies in the store, the oldest first."""
        return tuple(self._studies(sa.true()))

    def load(self, study: int) -> StoredStudy:
        """Return one study.

        Raises:
            BadStudy: the store has no study of this number.
        """
        for found in self._studies(STUDIES.c.id == study):
            return found
        raise BadStudy(f"{self.database.shown} has no study {study}. `actlab runs` lists those that it has.")

    def _studies(self, wanted: sa.ColumnElement[bool]) -> Iterator[StoredStudy]:
        stored = sa.select(sa.func.count()).select_from(TRIALS).where(TRIALS.c.study_id == STUDIES.c.id)
        done = stored.scalar_subquery().label("done")
        # As text where the database stores text: a damaged date must not raise while rows are read.
        created = sa.type_coerce(STUDIES.c.created, sa.types.NullType()).label("created")
        query = sa.select(*(STUDIES.c[name] for name in _OF_STUDY), created, done).where(wanted)
        for row in self._all(query.order_by(STUDIES.c.id)):
            self._check_plan(row)
            values = {**row._asdict(), "created": _time(row.created), "plan": _plan(row.plan)}
            del values["digest"]
            found = StoredStudy(**values, planned=None if values["plan"] is None else values["plan"].trials)
            self._check(found, "the row of a study")
            yield found

    def begin(self, name: str, plan: Plan) -> int:
        """Add a new study and return its number; earlier ones of the same name stay."""
        latest = sa.select(sa.func.coalesce(sa.func.max(STUDIES.c.attempt), 0)).where(STUDIES.c.name == name)
        while True:
            attempt = self.database.read(lambda connection: connection.execute(latest).scalar_one()) + 1
            number = self._added(name, plan, attempt=attempt)
            if number is not None:  # else another process has just added one of this name: take the next attempt
                return number

    def _added(self, name: str, plan: Plan, *, attempt: int) -> int | None:
        """Add a study and return its number; None if the attempt is taken."""
        row = row_of(name, plan, attempt=attempt)
        added = self.database.insert(STUDIES).values(row).on_conflict_do_nothing().returning(STUDIES.c.id)
        return self.database.write(lambda connection: connection.execute(added).scalar_one_or_none())

    def resume(self, name: str, plan: Plan, *, seeds: int | None = None, number: int | None = None) -> tuple[int, Plan]:
        """Return number and plan of the newest study of this name, or of a new one if there is none.

        With `number`, it is the study of this number, which is there.

        The stored plan may have other seeds and looks than `plan`: its own go on to count, and if `seeds` is larger
        than their number, seeds and one more look are added, and stored.

        Raises:
            BadStudy: the newest study of this name has another plan or more seeds; the message says what differs.
        """
        wanted = STUDIES.c.name == name if number is None else STUDIES.c.id == number
        newest = sa.select(STUDIES.c.id, STUDIES.c.plan, STUDIES.c.digest).where(wanted)
        newest = newest.order_by(STUDIES.c.attempt.desc()).limit(1)
        row = next(iter(self._all(newest)), None)
        if row is None:
            begun = self._added(name, plan, attempt=1)
            # None: another process has just begun it, and is joined
            return self.resume(name, plan, seeds=seeds) if begun is None else (begun, plan)
        if _without_seeds(row.plan) != _without_seeds(plan.to_json()):
            raise BadStudy(_refusal(name, _without_seeds(row.plan), _without_seeds(plan.to_json())))
        self._check_plan(row)
        stored = _plan(row.plan)
        if stored is None:
            raise damaged(self.database.shown, f"the plan of study {row.id} has a value of another type")
        longer = stored if seeds is None else stored.with_seeds(seeds)
        if longer != stored:
            changed = sa.update(STUDIES).where(STUDIES.c.id == row.id)
            changed = changed.values(digest=longer.digest(), plan=longer.to_json())
            self.database.write(lambda connection: connection.execute(changed))
        return int(row.id), longer

    def newest_plan(self, name: str) -> Plan | None:
        """Return the plan of the newest study of this name; None if there is none of this version."""
        query = sa.select(STUDIES.c.plan).where(STUDIES.c.name == name).order_by(STUDIES.c.attempt.desc()).limit(1)
        return next((_plan(row.plan) for row in self._all(query)), None)

    def plan_of(self, study: int) -> Plan | None:
        """Return the plan of a study; None if it is of another version."""
        return next(
            (_plan(row.plan) for row in self._all(sa.select(STUDIES.c.plan).where(STUDIES.c.id == study))), None
        )

    def keep(self, study: int, outcome: Outcome) -> None:
        """Store a trial and end its lease; a trial that is already stored stays unchanged.

        Raises:
            BadStudy: it cannot be written now. It is kept, and written with the next one or when the store is closed.
        """
        self._unwritten.append((study, outcome))
        try:
            self._write_outcomes()
        except BadStudy as error:
            count = len(self._unwritten)
            what = "1 finished trial is" if count == 1 else f"{count} finished trials are"
            raise BadStudy(f"{error} {what} not stored; the others are.") from error

    def _write_outcomes(self) -> None:
        if self._unwritten:
            self.database.write(self._insert_outcomes)
            self._unwritten.clear()

    def _insert_outcomes(self, connection: sa.Connection) -> None:
        insert = self.database.insert
        add_trial = insert(TRIALS).on_conflict_do_nothing().returning(TRIALS.c.id)
        end_lease = sa.delete(LEASES).where(
            *(column == sa.bindparam(f"the_{column.name}") for column in LEASES.primary_key)
        )
        for study, outcome in self._unwritten:
            row = {
                "study_id": study,
                **_values(outcome),
                "status": "diverged" if outcome.diverged else "finished",
                "version": _version(),
                "finished": datetime.now(UTC),
                "checksum": _checksum(outcome),
            }
            number = connection.execute(add_trial, row).scalar_one_or_none()
            if number is not None:
                connection.execute(insert(CURVES), {"trial_id": number, "points": _packed(outcome.curve)})
            connection.execute(end_lease, {"the_study_id": study, **{f"the_{name}": row[name] for name in _KEY}})

    def outcomes(self, study: int, *, known: Collection[Trial] = ()) -> dict[Trial, Outcome]:
        """Return the stored trials of a study, but for those known, without their learning curves."""
        columns = [TRIALS.c[name] for name in (*_COLUMNS, "checksum")]
        query = sa.select(*columns).where(TRIALS.c.study_id == study)
        rows = self._all(query)
        trials = {Trial(row.arm, row.point, row.seed): row for row in rows}
        return {trial: self._outcome(row) for trial, row in trials.items() if trial not in known}

    def keep_result(self, study: int, values: Mapping[str, Any], *, about: Mapping[str, Any]) -> None:
        """Store the result of a study; it takes the place of an earlier one, of fewer seeds.

        Args:
            study: the number of the study.
            values: the result as plain values.
            about: what its task is like, by which it is found: data, target and rows.
        """
        row = {"study_id": study, "comparison": dict(values), "version": _version(), "created": datetime.now(UTC)}
        row |= about
        insert = self.database.insert(RESULTS).values(row)
        # Two processes that shared the study end at the same moment.
        kept = insert.on_conflict_do_update(index_elements=[RESULTS.c.study_id], set_=row)
        self.database.write(lambda connection: connection.execute(kept))

    def result(self, study: int) -> dict[str, Any] | None:
        """Return the stored result of a study; None if it is not finished."""
        rows = self._all(sa.select(RESULTS.c.comparison).where(RESULTS.c.study_id == study))
        return rows[0].comparison if rows else None

    def curves(self, study: int, trials: Collection[Trial]) -> dict[Trial, tuple[Epoch, ...]]:
        """Return the learning curves of those of these trials that are stored."""
        query = sa.select(*keys(TRIALS), CURVES.c.points).join(CURVES)
        found = {}
        for some in batched(trials):
            for row in self._all(query.where(are(TRIALS, some, study=study))):
                found[Trial(row.arm, row.point, row.seed)] = self._curve(row.points)
        return found

    def _all(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        return self.database.read(lambda connection: connection.execute(query).all())

    def _outcome(self, row: sa.Row[Any]) -> Outcome:
        values = {name: each for name, each in row._asdict().items() if name in _COLUMNS}
        trial = Trial(*(values.pop(name) for name in _KEY))
        values["beside"] = _numbers(values["beside"])
        if values["test"] is None:  # a trial that the first release ran only to choose a rate
            values["test"] = math.nan
        found = Outcome(trial=trial, curve=(), **values)
        self._check(found, "the row of a trial")
        if row.checksum is not None and row.checksum != _checksum(found):
            raise damaged(self.database.shown, f"a trial of {name_text(trial.arm)} does not agree with its checksum")
        return found

    def _curve(self, points: Any) -> tuple[Epoch, ...]:
        numbers, check = (points[:-4], points[-4:]) if isinstance(points, bytes) else (b"", b"")
        if len(numbers) % 16 or crc32(numbers).to_bytes(4, "little") != check:
            raise damaged(self.database.shown, "a learning curve does not agree with its checksum")
        return tuple(Epoch(loss, valid) for loss, valid in np.frombuffer(numbers, "<f8").reshape(-1, 2).tolist())

    def _check_plan(self, row: sa.Row[Any]) -> None:
        if digest_of(row.plan) != row.digest:
            raise damaged(self.database.shown, f"the plan of study {row.id} does not agree with its digest")

    def _check(self, found: Outcome | StoredStudy, what: str) -> None:
        if not fits(found, type(found)):
            raise damaged(self.database.shown, f"{what} has a value of another type")


def row_of(name: str, plan: Plan, *, attempt: int = 1) -> dict[str, Any]:
    """Return the row of a new study."""
    return {
        "name": name,
        "attempt": attempt,
        "digest": plan.digest(),
        "plan": plan.to_json(),
        "version": _version(),
        "created": datetime.now(UTC),
    }


AT_ONCE = 500
"""Trials of one query: a database limits the number of values in one."""


def batched(trials: Collection[Trial]) -> Iterator[list[Trial]]:
    """Yield the trials in parts that one query can take."""
    rest = iter(trials)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def keys(table: sa.Table) -> list[sa.Column[Any]]:
    """Return the columns that identify a trial within its study."""
    return [table.c[name] for name in _KEY]


def are(table: sa.Table, trials: Collection[Trial], *, study: int) -> sa.ColumnElement[bool]:
    """Return the condition that a row is about one of these trials of a study."""
    return sa.and_(table.c.study_id == study, sa.tuple_(*keys(table)).in_([astuple(trial) for trial in trials]))


_OF_STUDY = ("id", "name", "attempt", "version", "plan", "digest")
_KEY = ("arm", "point", "seed")
_COLUMNS = tuple(each.name for kind in (Trial, Outcome) for each in fields(kind) if each.name not in ("trial", "curve"))
# Fixed: rows that are there have the checksum of these.
_CHECKED = (*_KEY, "rate", "valid", "test", "diverged", "still_learning", "best", "steps", "seconds")
# Columns that came later count unless they are empty, as they are in the older rows.
_ADDED = ("beside", "message")


def _values(outcome: Outcome) -> dict[str, Any]:
    values = {name: getattr(outcome.trial if hasattr(outcome.trial, name) else outcome, name) for name in _COLUMNS}
    # JSON has no number that is not finite.
    beside = {name: value if math.isfinite(value) else str(value) for name, value in outcome.beside.items()}
    return {**values, "beside": beside}


def _checksum(outcome: Outcome) -> int:
    values = _values(outcome)
    added = [values[name] for name in _ADDED if values[name]]
    return crc32(repr([values[name] for name in _CHECKED] + added).encode())


def _numbers(values: Any) -> Any:
    """Return the numbers by name that JSON holds; another value stays, for the check of types."""
    if not isinstance(values, dict):
        return values
    return {name: float(each) if each in ("nan", "inf", "-inf") else each for name, each in values.items()}


def _packed(curve: Sequence[Epoch]) -> bytes:
    """Return a learning curve as float64, the loss and the validation metric of each epoch, with a checksum."""
    numbers = np.array([(epoch.loss, epoch.valid) for epoch in curve], dtype="<f8").tobytes()
    return numbers + crc32(numbers).to_bytes(4, "little")


def _plan(values: Any) -> Plan | None:
    """Return the plan that stored values describe; None if this version cannot read them."""
    try:
        plan = Plan.from_json(values)
    except BadStudy:
        return None
    return plan if fits(plan, Plan) else None


def _time(value: Any) -> Any:
    """Return a time that SQLite stores as text; another text stays, for the check of types."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) and found.tzinfo is None else found


def _refusal(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Return why a stored study cannot be continued, and what to do."""
    before, now = stored.get("contents"), asked.get("contents", {})
    plans = [{key: each for key, each in plan.items() if key not in _DIGESTS} for plan in (stored, asked)]
    settings = _what_differs(*plans)
    name = name_text(name)
    if settings or not isinstance(before, Mapping | None) or (before is None and not now):
        return (
            f"the stored study '{name}' has another plan ({settings or _what_differs(stored, asked)})."
            " Resume with the settings of the first run, or run without --resume."
        )
    if before is None:
        what = "it was stored by an older actlab, which did not note the code that its results depend on"
    else:
        changed = [name_text(key) for key in {**before, **now} if before.get(key) != now.get(key)]
        what = f"what its results depend on has changed: {', '.join(changed)}"
    return (
        f"the stored study '{name}' cannot be resumed: {what}. Run without --resume to start anew (the stored runs"
        " stay), or undo the change."
    )


_DIGESTS = ("contents", "fingerprint")


def _without_seeds(plan: Any) -> dict[str, Any]:
    """Return a plan as it is stored, without what more seeds change, and without measured times."""
    values = json.loads(json.dumps(plan)) if isinstance(plan, Mapping) else {}
    budget = values.get("budget")
    if isinstance(budget, dict) and budget.get("equal") == "seconds":
        values["budget"] = {"equal": "seconds"}
    return {name: each for name, each in values.items() if name not in ("seeds", "looks")}


def _what_differs(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    names = [name for name in {**asked, **stored} if stored.get(name) != asked.get(name)]
    return "; ".join(
        f"{name_text(name)}: {_brief(stored.get(name))} stored, {_brief(asked.get(name))} now" for name in names
    )


def _brief(value: Any) -> str:
    return name_text(str(value))


@cache
def _version() -> str:
    try:
        return version("actlab")
    except PackageNotFoundError:
        return "unknown"
