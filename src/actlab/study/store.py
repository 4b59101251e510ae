"""The store of trials, in SQLite or PostgreSQL: one row per trial, written when it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, OperationalError

from actlab.errors import BadStudy, shortened
from actlab.extras_import import need
from actlab.study.outcome import Outcome
from actlab.study.plan import Plan, Trial
from actlab.study.schema import RESULTS, STUDIES, TRIALS, bring_up_to_date
from actlab.study.secrets import without_secrets, without_secrets_of
from actlab.train.loop import Epoch

BUSY_SECONDS = 30
"""How many seconds a writer waits for another process that writes to the same SQLite file."""

INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@final
class Store:
    """The trials of many studies, in one database.

    Args:
        where: the path of an SQLite file, a database URL, or None for a store in memory.

    Raises:
        BadStudy: the database cannot be opened.
        MissingExtra: the driver of PostgreSQL is not installed.

    Example:
        >>> with Store(None) as store:
        ...     store.names()
        ()
    """

    def __init__(self, where: str | Path | None) -> None:
        self.url = _url(where)
        try:
            self._engine = _engine(self.url)
            bring_up_to_date(self._engine)
        except (ArgumentError, DatabaseError, ValueError) as error:  # ValueError: the port
            raise BadStudy(
                f"the store {_shown(self.url)} cannot be opened: {_first_line(error, url=self.url)}"
            ) from error
        except CommandError as error:  # its schema has a revision that is not among ours
            raise BadStudy(
                f"the store {_shown(self.url)} was written by a newer actlab; update actlab, or name another store."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def names(self) -> tuple[str, ...]:
        """Return the names of the studies in the store."""
        query = sa.select(STUDIES.c.name).distinct().order_by(STUDIES.c.name)
        with self._reading() as connection:
            return tuple(connection.execute(query).scalars())

    def begin(self, name: str, plan: Plan) -> int:
        """Add a new study and return its number; earlier ones of the same name stay."""
        latest = sa.select(sa.func.coalesce(sa.func.max(STUDIES.c.attempt), 0)).where(STUDIES.c.name == name)
        while True:
            try:
                with self._writing() as connection:
                    attempt = connection.execute(latest).scalar_one() + 1
                    return _added(connection, name=name, attempt=attempt, plan=plan)
            except IntegrityError:
                continue  # another process has just added a study of this name: take the next number

    def resume(self, name: str, plan: Plan, *, seeds: int | None = None) -> tuple[int, Plan]:
        """Return number and plan of the newest study of this name, or of a new one if there is none.

        The stored plan may have other seeds and looks than `plan`: its own go on to count, and if `seeds` is larger
        than their number, seeds and one more look are added, and stored.

        Raises:
            BadStudy: the newest study of this name has another plan or more seeds; the message says what differs.
        """
        newest = sa.select(STUDIES).where(STUDIES.c.name == name).order_by(STUDIES.c.attempt.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(newest).one_or_none()
        if row is None:
            return self.begin(name, plan), plan
        if _without_seeds(row.plan) != _without_seeds(plan.to_json()):
            raise BadStudy(_refusal(name, _without_seeds(row.plan), _without_seeds(plan.to_json())))
        stored = Plan.from_json(row.plan)
        longer = stored if seeds is None else stored.with_seeds(seeds)
        if longer != stored:
            changed = sa.update(STUDIES).where(STUDIES.c.id == row.id)
            with self._writing() as connection:
                connection.execute(changed.values(digest=longer.digest(), plan=longer.to_json()))
        return int(row.id), longer

    def keep(self, study: int, outcome: Outcome) -> None:
        """Store a trial; a trial that is already stored stays unchanged."""
        trial = outcome.trial
        row = {
            "study_id": study,
            **asdict(trial),
            "status": "diverged" if outcome.diverged else "finished",
            "diverged": outcome.diverged,
            "rate": outcome.rate,
            "valid": outcome.valid,
            "test": outcome.test,
            "still_learning": outcome.still_learning,
            "best": outcome.best,
            "steps": outcome.steps,
            "curve": [asdict(epoch) for epoch in outcome.curve],
            "seconds": outcome.seconds,
            "version": _version(),
            "finished": datetime.now(UTC),
        }
        insert = INSERTS[self._engine.dialect.name]
        with self._writing() as connection:
            connection.execute(insert(TRIALS).values(row).on_conflict_do_nothing())

    def outcomes(self, study: int) -> dict[Trial, Outcome]:
        """Return the stored trials of a study."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(TRIALS).where(TRIALS.c.study_id == study)).all()
        return {outcome.trial: outcome for outcome in map(_outcome, rows)}

    def keep_result(self, study: int, values: Mapping[str, Any]) -> None:
        """Store the result of a study; it takes the place of an earlier one, of fewer seeds."""
        row = {"study_id": study, "comparison": dict(values), "version": _version(), "created": datetime.now(UTC)}
        with self._writing() as connection:
            connection.execute(sa.delete(RESULTS).where(RESULTS.c.study_id == study))
            connection.execute(sa.insert(RESULTS).values(row))

    def result(self, study: int) -> dict[str, Any] | None:
        """Return the stored result of a study; None if it is not finished."""
        query = sa.select(RESULTS.c.comparison).where(RESULTS.c.study_id == study)
        with self._reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DatabaseError as error:
            raise BadStudy(
                f"the store {_shown(self.url)} cannot be read: {_first_line(error, url=self.url)}"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise BadStudy(
                f"the store {_shown(self.url)} cannot be written: {_first_line(error, url=self.url)}"
            ) from error


def _added(connection: sa.Connection, *, name: str, attempt: int, plan: Plan) -> int:
    row = {
        "name": name,
        "attempt": attempt,
        "digest": plan.digest(),
        "plan": plan.to_json(),
        "version": _version(),
        "created": datetime.now(UTC),
    }
    return int(connection.execute(sa.insert(STUDIES).values(row).returning(STUDIES.c.id)).scalar_one())


def _outcome(row: sa.Row[Any]) -> Outcome:
    return Outcome(
        trial=Trial(arm=row.arm, point=row.point, seed=row.seed),
        rate=row.rate,
        valid=row.valid,
        test=row.test,
        diverged=row.diverged,
        still_learning=row.still_learning,
        best=row.best,
        steps=row.steps,
        curve=tuple(Epoch(**point) for point in row.curve),
        seconds=row.seconds,
    )


def _url(where: str | Path | None) -> str:
    if where is None:
        return "sqlite://"
    text = str(where)
    if text.startswith(("postgres://", "postgresql://")):
        return "postgresql+psycopg://" + text.partition("://")[2]
    return text if "://" in text else f"sqlite:///{text}"


def _engine(url: str) -> sa.Engine:
    if url.startswith("postgresql"):
        need("psycopg", extra="postgres")
        return sa.create_engine(url, pool_pre_ping=True)
    if sa.make_url(url).get_backend_name() not in INSERTS:
        raise ArgumentError("only SQLite and PostgreSQL can be used")
    in_memory = {"poolclass": sa.StaticPool} if url == "sqlite://" else {}
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, **in_memory)
    sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, record: object) -> None:
    """Allow readers beside one writer, and a file that a killed process cannot corrupt."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _refusal(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Return why a stored study cannot be continued, and what to do."""
    before, now = stored.get("contents"), asked.get("contents", {})
    plans = [{key: each for key, each in plan.items() if key not in _DIGESTS} for plan in (stored, asked)]
    settings = _what_differs(*plans)
    if settings or (before is None and not now):
        return (
            f"the stored study '{name}' has another plan ({settings or _what_differs(stored, asked)})."
            " Resume with the settings of the first run, or run without --resume."
        )
    if before is None:
        what = "it was stored by an older actlab, which did not note the code that its results depend on"
    else:
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        what = f"what its results depend on has changed: {', '.join(changed)}"
    return (
        f"the stored study '{name}' cannot be resumed: {what}. Run without --resume to start anew (the stored runs"
        " stay), or undo the change."
    )


_DIGESTS = ("contents", "fingerprint")


def _without_seeds(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan as it is stored, without what more seeds change."""
    return {name: each for name, each in json.loads(json.dumps(plan)).items() if name not in ("seeds", "looks")}


def _what_differs(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    names = [name for name in {**asked, **stored} if stored.get(name) != asked.get(name)]
    return "; ".join(f"{name}: {_brief(stored.get(name))} stored, {_brief(asked.get(name))} now" for name in names)


def _brief(value: Any) -> str:
    return shortened(str(value), limit=40)


def _shown(url: str) -> str:
    """Return the URL without its passwords."""
    return f"'{without_secrets(url)}'"


def _first_line(error: Exception, *, url: str) -> str:
    """Return the error's text without the passwords of the URL."""
    text = str(getattr(error, "orig", None) or error)
    return shortened(without_secrets_of(url, text), limit=160)


def _version() -> str:
    try:
        return version("actlab")
    except PackageNotFoundError:
        return "unknown"
