"""Leases: which trials a process is running, so that several share a study and no trial is run twice."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple
from functools import cache, partial
from pathlib import Path
from typing import Any, final
from uuid import uuid4

import sqlalchemy as sa

from actlab.errors import BadStudy
from actlab.study.plan import Trial
from actlab.study.runner import Claim, all_of
from actlab.study.schema import LEASES, TRIALS
from actlab.study.store import Store, are, batched, keys

LEASE_SECONDS = 30.0
"""How long a process may be silent before its trials are taken from it."""

RENEWALS = 4
"""How often a lease is renewed in this time, so that one delay does not end it."""


@contextmanager
def leases(store: Store, study: int, *, seconds: float = LEASE_SECONDS) -> Iterator[Claim]:
    """Return a context in which trials of a study can be claimed; other processes do not run them meanwhile.

    The claims are renewed until the context ends, and end with it.

    Args:
        store: the store.
        study: the number of the study in it.
        seconds: how long a claim holds after the last renewal.

    Raises:
        BadStudy: the store cannot be written.
    """
    if not store.database.is_shared:
        yield all_of
        return
    ours = _Leases(store, study, seconds)
    ended = threading.Event()
    renewing = threading.Thread(target=ours.renew_until, args=(ended,), daemon=True)
    renewing.start()
    try:
        yield ours.claim
    finally:
        ended.set()
        renewing.join()
        with suppress(BadStudy):  # then they expire
            ours.end()


@final
class _Leases:
    """The leases of one run."""

    def __init__(self, store: Store, study: int, seconds: float) -> None:
        self.database, self.study, self.seconds = store.database, study, seconds
        self.owner = f"{_machine()}:{os.getpid()}:{uuid4().hex}"

    def claim(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Return those of the trials that nobody runs or has run; they are now ours to run."""
        ours: set[Trial] = set()
        for some in batched(trials):
            ours |= self.database.write(partial(self._take, trials=some))
        return [trial for trial in trials if trial in ours]

    def _take(self, connection: sa.Connection, *, trials: Sequence[Trial]) -> set[Trial]:
        now = self.database.now(connection)
        ours = {"study_id": self.study, "owner": self.owner, "until": now + self.seconds}
        # always in the same order: two transactions on a server that wait for each other would both end
        rows = [{**ours, **asdict(trial)} for trial in sorted(trials, key=astuple)]
        insert = self.database.insert(LEASES).values(rows)
        taken = insert.on_conflict_do_update(
            index_elements=list(LEASES.primary_key.columns),
            set_={"owner": insert.excluded.owner, "until": insert.excluded.until},
            where=(LEASES.c.until < now) | LEASES.c.owner.in_([self.owner, *self._ended(connection)]),
        )
        claimed = _trials(connection, taken.returning(*keys(LEASES)))
        # After the leases: who ends one has stored the trial in the same transaction.
        done = _trials(connection, sa.select(*keys(TRIALS)).where(are(TRIALS, trials, study=self.study)))
        if claimed & done:
            connection.execute(sa.delete(LEASES).where(are(LEASES, claimed & done, study=self.study)))
        return claimed - done

    def _ended(self, connection: sa.Connection) -> list[str]:
        """Return the owners of leases in this study that were processes of this machine and have ended."""
        owners = sa.select(LEASES.c.owner).where(LEASES.c.study_id == self.study).distinct()
        return [owner for owner in connection.execute(owners).scalars() if _has_ended(owner)]

    def renew_until(self, ended: threading.Event) -> None:
        """Renew all leases again and again."""
        while not ended.wait(self.seconds / RENEWALS):
            with suppress(BadStudy):  # the run itself will say it, or the next renewal succeeds
                self.database.write(self._renew)

    def _renew(self, connection: sa.Connection) -> None:
        until = self.database.now(connection) + self.seconds
        connection.execute(sa.update(LEASES).where(LEASES.c.owner == self.owner).values(until=until))

    def end(self) -> None:
        """End all leases."""
        self.database.write(
            lambda connection: connection.execute(sa.delete(LEASES).where(LEASES.c.owner == self.owner))
        )


def _trials(connection: sa.Connection, query: Any) -> set[Trial]:
    return {Trial(row.arm, row.point, row.seed) for row in connection.execute(query)}


def _has_ended(owner: str) -> bool:
    """Return whether an owner was a process of this machine that has ended; False if that cannot be known."""
    machine, _, rest = str(owner).rpartition(":")[0].rpartition(":")
    if os.name != "posix" or machine != _machine() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


@cache
def _machine() -> str:
    """Return what identifies this machine since it was started, and the container."""
    marks = []
    with suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        marks.append(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    return "-".join([platform.node()[:80], *marks])
