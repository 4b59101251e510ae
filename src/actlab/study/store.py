"""The store of trials, in SQLite or PostgreSQL: one row per trial, written when it is done."""

from __future__ import annotations

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
from actlab.study.schema import STUDIES, TRIALS, bring_up_to_date
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
        with self._engine.connect() as connection:
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

    def resume(self, name: str, plan: Plan) -> int:
        """Return the number of the newest study of this name, or of a new one if there is none.

        Raises:
            BadStudy: the newest study of this name has another plan; the message says what differs.
        """
        newest = sa.select(STUDIES).where(STUDIES.c.name == name).order_by(STUDIES.c.attempt.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(newest).one_or_none()
        if row is None:
            return self.begin(name, plan)
        if row.digest != plan.digest():
            raise BadStudy(_refusal(name, row.plan, plan.to_json()))
        return int(row.id)

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
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(TRIALS).where(TRIALS.c.study_id == study)).all()
        return {outcome.trial: outcome for outcome in map(_outcome, rows)}

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
        trial=Trial(arm=row.arm, point=row.point, seed=row.seed, role=row.role),
        rate=row.rate,
        valid=row.valid,
        test=row.test,
        diverged=row.diverged,
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


def _what_differs(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    now = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}
    names = [name for name in {**now, **stored} if stored.get(name) != now.get(name)]
    if "seeds" in names:
        names = [name for name in names if name != "looks"]  # they follow from the number of seeds
    return "; ".join(_difference(name, stored.get(name), now.get(name)) for name in names)


def _difference(name: str, before: Any, now: Any) -> str:
    """Return a setting's two values; of the seeds, which are long numbers, how many there are."""
    if name == "seeds" and isinstance(before, list) and isinstance(now, list) and len(before) != len(now):
        return f"{name}: {len(before)} stored, {len(now)} now"
    return f"{name}: {_brief(before)} stored, {_brief(now)} now"


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
