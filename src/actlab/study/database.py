"""The database of a store: how it is opened, read and written, and how each failure is said."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from actlab.errors import BadStudy, shortened
from actlab.extras_import import need
from actlab.sites.site_text import name_text
from actlab.study.schema import bring_up_to_date
from actlab.study.secrets import without_secrets, without_secrets_of

BUSY_SECONDS = 30
"""How many seconds a writer waits for another process that writes to the same SQLite file."""

PATIENCE = 30.0
"""How many seconds a run waits for a server that does not answer."""

CONNECT_SECONDS = 10

INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

# The time of the database in seconds: the clocks of several machines may differ.
CLOCKS = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)",
}

# What to do, by a part of the database's own words.
ADVICE = {
    "readonly": "Allow writing to it, or name another store.",
    "read-only": "Allow writing to it, or name another store.",
    "full": "Free some space and resume.",
    "I/O error": "Check that the disk is not full, and resume.",
    "locked": "Another program writes to it; end that one and resume.",
    "malformed": "Restore it from a copy, or name another store.",
    "not a database": "Name another store.",
    "connection": "Check that the server runs, and resume.",
}

Result = TypeVar("Result")


@final
class Database:
    """An SQLite file or a database on a server, with the tables of a store.

    Args:
        where: the path of an SQLite file, a database URL, or None for a database in memory.
        patience: how many seconds to wait for a server that does not answer, once it has answered.

    Raises:
        BadStudy: the database cannot be opened.
        MissingExtra: the driver of PostgreSQL is not installed.
    """

    def __init__(self, where: str | Path | None, *, patience: float = PATIENCE) -> None:
        self.url, self.patience = _url(where), patience
        try:
            self._engine = _engine(self.url, shown=self.shown)
            is_ours = bring_up_to_date(self._engine)
        except (ArgumentError, DBAPIError, ValueError) as error:  # ValueError: the port
            raise self._refusal("opened", error) from error
        if not is_ours:
            raise BadStudy(f"{self.shown} was written by a newer actlab; update actlab, or name another store.")

    @property
    def shown(self) -> str:
        """The store as it is shown, without passwords."""
        return f"the store '{name_text(without_secrets(self.url), len(self.url))}'"

    @property
    def is_shared(self) -> bool:
        """Whether another process can open it."""
        return self.url != IN_MEMORY

    @property
    def insert(self) -> Any:
        """The INSERT statement that can say what to do about a row that is there already."""
        return INSERTS[self._engine.dialect.name]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def read(self, action: Callable[[sa.Connection], Result]) -> Result:
        """Return what `action` reads; it may be called several times if the connection is lost.

        Raises:
            BadStudy: the database cannot be read.
        """
        return self._patiently(action, "read")

    def write(self, action: Callable[[sa.Connection], Result]) -> Result:
        """Carry out `action` whole or not at all; it may be called several times if the connection is lost.

        Raises:
            BadStudy: the database cannot be written.
        """
        return self._patiently(action, "written")

    def now(self, connection: sa.Connection) -> float:
        """Return the time of the database, in seconds."""
        return float(connection.exec_driver_sql(CLOCKS[self._engine.dialect.name]).scalar_one())

    def _patiently(self, action: Callable[[sa.Connection], Result], done: str) -> Result:
        start, pause = time.monotonic(), 0.1
        while True:
            try:
                with self._engine.begin() as connection:
                    return action(connection)
            except DBAPIError as error:
                if not self._may_pass(error) or time.monotonic() - start > self.patience:
                    raise self._refusal(done, error) from error
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _may_pass(self, error: DBAPIError) -> bool:
        """Return whether a server may answer again: it restarts, or the network is gone for a moment."""
        is_server = self._engine.dialect.name != "sqlite"
        return is_server and (error.connection_invalidated or isinstance(error, OperationalError))

    def _refusal(self, done: str, error: Exception) -> BadStudy:
        reason = self._reason(error)
        advice = next((each for part, each in ADVICE.items() if part in reason), "")
        return BadStudy(f"{self.shown} cannot be {done}: {reason}{'.' if advice else ''} {advice}".rstrip())

    def _reason(self, error: Exception) -> str:
        """Return the error's own words, without the passwords of the URL."""
        text = str(getattr(error, "orig", None) or error)
        words = name_text(shortened(without_secrets_of(self.url, text), limit=160), 160)
        return words.rstrip(".")


IN_MEMORY = "sqlite://"


def _url(where: str | Path | None) -> str:
    if where is None or str(where) == "sqlite:///:memory:":
        return IN_MEMORY
    text = str(where)
    if text.startswith(("postgres://", "postgresql://")):
        return "postgresql+psycopg://" + text.partition("://")[2]
    return text if "://" in text else f"sqlite:///{text}"


def sqlite_file(where: str | Path) -> Path | None:
    """Return the file of an SQLite store; None for a server."""
    url = _url(where)
    return Path(url.partition(":///")[2].partition("?")[0]) if url.startswith("sqlite:///") else None


def _engine(url: str, *, shown: str) -> sa.Engine:
    def parsed(text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError, TypeError) as error:
            raise damaged(shown, "a stored value is not JSON") from error

    if url.startswith("postgresql"):
        need("psycopg", extra="postgres")
        wait = {} if "connect_timeout" in sa.make_url(url).query else {"connect_timeout": CONNECT_SECONDS}
        return sa.create_engine(url, pool_pre_ping=True, json_deserializer=parsed, connect_args=wait)
    if sa.make_url(url).get_backend_name() not in INSERTS:
        raise ArgumentError("only SQLite and PostgreSQL can be used")
    in_memory = {"poolclass": sa.StaticPool} if url == IN_MEMORY else {}
    file = sqlite_file(url)
    is_readonly = file is not None and file.exists() and not (_may_write(file) and _may_write(file.parent))
    waiting = {"timeout": BUSY_SECONDS}
    engine = sa.create_engine(
        _to_read(url, file) if file and is_readonly else url,
        connect_args=waiting,
        json_deserializer=parsed,
        **in_memory,
    )
    sa.event.listen(engine, "connect", _set_up_reader if is_readonly else _set_up_sqlite)
    return engine


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _to_read(url: str, file: Path) -> str:
    """Return the URL that only reads a file; without the log of a writer beside it, SQLite needs no lock."""
    if "?" in url:
        return url
    is_open = file.with_name(f"{file.name}-wal").exists()
    return f"sqlite:///file:{quote(str(file.absolute()))}?{'mode=ro' if is_open else 'immutable=1'}&uri=true"


def _set_up_sqlite(connection: Any, record: object) -> None:
    """Allow readers beside one writer, and a file that a killed process cannot corrupt."""
    _execute(connection, "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON")
    _set_up_reader(connection, record)


def _set_up_reader(connection: Any, record: object) -> None:
    """Let a stranger's or a damaged file call no function from its schema, and check sizes as pages are read."""
    _execute(connection, "trusted_schema=OFF", "cell_size_check=ON")


def _execute(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def damaged(shown: str, what: str) -> BadStudy:
    """Return the error for a store with a value that actlab does not write."""
    return BadStudy(f"{shown} is damaged: {what}. Restore it from a copy, or name another store.")
