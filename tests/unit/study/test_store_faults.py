"""What happens to a store also happens in words: one line, nothing lost that was stored, no traceback."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from actlab.errors import BadStudy
from actlab.study import database
from actlab.study.archive import studies
from actlab.study.outcome import Outcome
from actlab.study.plan import Trial, digest_of
from actlab.study.schema import METADATA
from actlab.study.store import Store
from postgres_server import Server
from small_study import DIVERGED, KEPT, PLAN, InventingRunner, compared, invented, numbers

NOBODY = 65534


@contextmanager
def no_space(folder: Path) -> Iterator[None]:
    """Let no file grow beyond the largest that is in the folder."""
    largest = max(file.stat().st_size for file in folder.iterdir())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def without_rights() -> Iterator[None]:
    """Do without the rights of root, which may write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def filled(path: Path, trials: int = 40) -> Path:
    with Store(path) as store:
        study = store.begin("mine", PLAN)
        for point in range(trials):
            store.keep(study, invented(Trial("relu", point, 5), PLAN))
    return path


OTHERS = [replace(KEPT, trial=Trial("relu", point, 5)) for point in range(100)]


def keep_until_full(store: Store, study: int, outcomes: Sequence[Outcome]) -> tuple[int, str]:
    """Keep outcomes until one cannot be written; return its number and the error."""
    for number, outcome in enumerate(outcomes):
        try:
            store.keep(study, outcome)
        except BadStudy as error:
            return number, str(error)
    raise AssertionError("the disk is not full")


def read_all(path: Path) -> tuple[Any, ...]:
    with Store(path) as store:
        outcomes = store.outcomes(1)
        return store.studies(), outcomes, store.curves(1, list(outcomes))


def refusal(call: Any) -> str:
    with pytest.raises(BadStudy) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_full_disk_is_reported_and_what_was_not_written_is_written_later(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.db") as store:
        study = store.begin("mine", PLAN)
        store.keep(study, KEPT)
        with no_space(tmp_path):
            kept, text = keep_until_full(store, study, OTHERS)
            assert re.search(r"runs\.db' cannot be written: .*disk.* 1 finished trial is not stored", text)
            assert "2 finished trials are not stored" in refusal(lambda: store.keep(study, OTHERS[kept + 1]))
            assert len(store.outcomes(study)) == kept + 1
        store.keep(study, DIVERGED)
        assert set(store.outcomes(study)) == {
            KEPT.trial,
            DIVERGED.trial,
            *(outcome.trial for outcome in OTHERS[: kept + 2]),
        }


def test_what_was_not_written_is_written_when_the_store_is_closed(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.db") as store:
        study = store.begin("mine", PLAN)
        with no_space(tmp_path):
            kept, _ = keep_until_full(store, study, OTHERS)
    with Store(tmp_path / "runs.db") as store:
        assert len(store.outcomes(study)) == kept + 1


def test_a_study_on_a_full_disk_ends_with_an_error_and_is_resumed_as_if_nothing_were(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    whole = compared(runner=InventingRunner())
    with Store(path):
        pass
    with no_space(tmp_path):
        text = refusal(lambda: compared(store=path, resume=True, runner=InventingRunner()))
    assert "cannot be written" in text
    assert numbers(compared(store=path, resume=True, runner=InventingRunner())) == numbers(whole)


def test_a_locked_store_is_reported_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    path = filled(tmp_path / "runs.db", 1)
    locking = sqlite3.connect(path, isolation_level=None)
    locking.execute("BEGIN IMMEDIATE")
    with Store(path) as store:
        text = refusal(lambda: store.keep(1, KEPT))
        assert "cannot be written: database is locked. Another program writes to it; end that one and resume." in text
        assert len(store.outcomes(1)) == 1
        locking.execute("ROLLBACK")
        locking.close()
    with Store(path) as store:
        assert len(store.outcomes(1)) == 2


def test_a_store_that_may_only_be_read_is_read_and_not_written(tmp_path: Path) -> None:
    path = filled(tmp_path / "runs.db", 1)
    whole = read_all(path)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    with without_rights():
        assert read_all(path) == whole
        with Store(path) as store:
            text = refusal(lambda: store.begin("other", PLAN))
    assert "cannot be written: attempt to write a readonly database. Allow writing to it" in text
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_gives_what_was_stored_or_one_line(tmp_path: Path, seed: int) -> None:
    path = filled(tmp_path / "whole.db")
    whole, chance, refused = read_all(path), random.Random(seed), []
    for number in range(15):
        copy = tmp_path / f"{number}.db"
        content = bytearray(path.read_bytes())
        page = chance.randrange(len(content) // 4096) * 4096
        for _ in range(chance.choice((1, 20, 500))):
            content[page + chance.randrange(4096)] = chance.randrange(256)
        copy.write_bytes(content)
        try:
            found = read_all(copy)
        except BadStudy as error:
            refused.append(str(error))
            continue
        # The checksums are of what results depend on; a name or a date has none.
        assert found[1].items() <= whole[1].items()
        assert found[2].items() <= whole[2].items()
    assert refused
    assert not [text for text in refused if "\n" in text]


def test_a_truncated_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = filled(tmp_path / "whole.db")
    size = path.stat().st_size
    for left in (size - 4096, size // 2, 5000, 4096, 1000, 50):
        copy = tmp_path / f"{left}.db"
        shutil.copy(path, copy)
        os.truncate(copy, left)
        text = refusal(lambda copy=copy: read_all(copy))
        assert "malformed" in text or "not a database" in text, (left, text)


CHANGES = {
    "metric": ("UPDATE trials SET valid = valid + 1 WHERE id = 3", "does not agree with its checksum"),
    "beside": ("UPDATE trials SET beside = '{\"mae\": 1.5}' WHERE id = 3", "does not agree with its checksum"),
    "kind": ("UPDATE trials SET valid = 'high', checksum = NULL WHERE id = 3", "has a value of another type"),
    "curve": ("UPDATE curves SET points = zeroblob(20) WHERE trial_id = 3", "a learning curve does not agree"),
    "text": ("UPDATE curves SET points = 'text' WHERE trial_id = 3", "a learning curve does not agree"),
    "plan": ("UPDATE studies SET plan = json_set(plan, '$.margin', 3)", "the plan of study 1 does not agree"),
    "json": ("UPDATE studies SET plan = '{'", "a stored value is not JSON"),
    "deep": (f"UPDATE studies SET plan = '{'[' * 100_000}'", "a stored value is not JSON"),
    "date": ("UPDATE studies SET created = 'yesterday'", "the row of a study has a value of another type"),
    "table": ("DROP TABLE curves", "cannot be read: no such table: curves"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_value_is_refused(tmp_path: Path, change: str) -> None:
    path = filled(tmp_path / "runs.db", 5)
    statement, message = CHANGES[change]
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute(statement)
    raw.close()
    assert message in refusal(lambda: read_all(path))
    if "study" in message:
        with Store(path) as store:
            assert message in refusal(lambda: studies(store))


def test_a_plan_from_a_stranger_is_checked_and_shown_without_escapes(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store(path) as store:
        store.begin("mine", PLAN)
        hostile = {**PLAN.to_json(), "task": "\x1b[31mred\x1b[0m\n<script>", "\x1b]0;x\x07": 1, "seeds": ["x", "y"]}
        change = sa.text("UPDATE studies SET plan = :plan, digest = :digest")
        values = {"plan": json.dumps(hostile), "digest": digest_of(hostile)}
        store.database.write(lambda connection: connection.execute(change, values))
        text = refusal(lambda: store.resume("mine", PLAN))
        assert "another plan" in text
        assert text.isprintable()
        assert store.studies()[0].plan is None


def test_no_column_holds_an_object_that_must_be_unpickled() -> None:
    kinds = {type(column.type) for table in METADATA.tables.values() for column in table.columns}
    plain = {sa.Integer, sa.BigInteger, sa.Float, sa.Boolean, sa.String, sa.Text, sa.DateTime, sa.LargeBinary}
    assert kinds <= {*plain, sa.JSON}


def test_a_lost_connection_is_awaited_and_nothing_is_lost(server: Server, postgres: str) -> None:
    whole = compared(runner=InventingRunner())
    results: list[Any] = []
    runner = InventingRunner(seconds=0.03)
    running = threading.Thread(target=lambda: results.append(compared(store=postgres, runner=runner)))
    running.start()
    while len(runner.trials) < 5:
        time.sleep(0.02)
    server.stop()
    time.sleep(0.5)
    server.start()
    running.join()
    assert [numbers(found) for found in results] == [numbers(whole)]
    with Store(postgres) as store:
        assert store.studies()[0].done == sum(arm.runs for arm in whole.arms)


def test_a_server_that_does_not_come_back_is_one_line_and_the_trial_is_kept(server: Server, postgres: str) -> None:
    with Store(postgres, patience=0.3) as store:
        study = store.begin("mine", PLAN)
        store.keep(study, KEPT)
        server.stop()
        try:
            text = refusal(lambda: store.keep(study, DIVERGED))
        finally:
            server.start()
        assert "cannot be written" in text
        assert "1 finished trial is not stored" in text
    with Store(postgres) as store:
        assert set(store.outcomes(study)) == {KEPT.trial, DIVERGED.trial}
