"""The store: one row a trial, resumable, the same on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from actlab.errors import BadStudy
from actlab.study import schema
from actlab.study.plan import Look, Trial, seed_stream
from actlab.study.schema import HEAD, METADATA, bring_up_to_date
from actlab.study.store import Store, _packed
from actlab.train.loop import Epoch
from small_study import DIVERGED, KEPT, PLAN


def test_stored_trials_are_read_back_unchanged(url: str) -> None:
    with Store(url) as store:
        study = store.begin("mine", PLAN)
        store.keep(study, KEPT)
        store.keep(study, DIVERGED)
    with Store(url) as store:
        assert store.outcomes(study) == {KEPT.trial: replace(KEPT, curve=()), DIVERGED.trial: DIVERGED}
        assert store.curves(study, [KEPT.trial, DIVERGED.trial, Trial("none", 0, 0)]) == {
            KEPT.trial: KEPT.curve,
            DIVERGED.trial: (),
        }


def test_studies_are_listed_with_what_is_done_and_planned(url: str) -> None:
    with Store(url) as store:
        first, second = store.begin("mine", PLAN), store.begin("mine", PLAN)
        store.keep(second, KEPT)
        listed = store.studies()
        assert [(found.id, found.name, found.attempt, found.done, found.planned) for found in listed] == [
            (first, "mine", 1, 0, 8),
            (second, "mine", 2, 1, 8),
        ]
        assert [found.plan for found in listed] == [PLAN, PLAN]
        assert abs((datetime.now(UTC) - listed[0].created).total_seconds()) < 100
        assert store.load(second) == listed[1]
        with pytest.raises(BadStudy, match=r"has no study 7\. `actlab runs` lists those"):
            store.load(7)


def test_a_store_that_is_only_read_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(BadStudy, match=r"there is no store '.*runs\.db'"):
        Store.existing(tmp_path / "runs.db")
    assert not list(tmp_path.iterdir())
    Store(tmp_path / "runs.db").close()
    with Store.existing(tmp_path / "runs.db") as store:
        assert store.studies() == ()


def test_one_study_is_read_by_an_index(tmp_path: Path) -> None:
    asked = []
    with Store(tmp_path / "runs.db") as store:
        store.begin("mine", PLAN)
        sa.event.listen(store.database._engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        store.outcomes(1)
        store.curves(1, [KEPT.trial])
        store.load(1)
    raw = sqlite3.connect(tmp_path / "runs.db")
    plans = [raw.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall() for text, values in asked]
    raw.close()
    assert len(plans) == 3
    steps = [row[3] for plan in plans for row in plan]
    assert not [step for step in steps if step.startswith("SCAN") and step.split()[1] in ("trials", "curves")]
    assert any("SEARCH trials USING" in step and "study_id=?" in step for step in steps)


@pytest.mark.slow
def test_a_store_of_100_000_trials_opens_and_reads_one_study_within_two_seconds(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store(path) as store:
        for number in range(100):
            store.begin(f"study {number}", PLAN)
    raw = sqlite3.connect(path)
    trials = ((study, "relu", point, seed) for study in range(1, 101) for point in range(10) for seed in range(100))
    raw.executemany(
        "INSERT INTO trials (study_id, arm, point, seed, status, diverged, rate, valid, test, still_learning,"
        " best, steps, seconds, version, finished) VALUES (?, ?, ?, ?, '', 0, 0.1, 90.0, 89.0, 0, 1, 9, 1.0, '', '')",
        trials,
    )
    points = _packed(KEPT.curve * 80)
    raw.execute("INSERT INTO curves SELECT id, ? FROM trials", (points,))
    raw.commit()
    raw.close()
    start = time.perf_counter()
    with Store(path) as store:
        assert sum(found.done for found in store.studies()) == 100_000
        found = store.outcomes(50)
        curves = store.curves(50, list(found))
    seconds = time.perf_counter() - start
    assert (len(found), {len(curve) for curve in curves.values()}) == (1000, {80})
    assert seconds < 2


def test_a_trial_is_one_row_however_often_it_is_kept(url: str) -> None:
    with Store(url) as store:
        study = store.begin("mine", PLAN)
        store.keep(study, KEPT)
        store.keep(study, replace(KEPT, valid=0.0))
        assert store.outcomes(study) == {KEPT.trial: replace(KEPT, curve=())}


def test_resuming_takes_the_newest_study_of_the_name_or_adds_one(url: str) -> None:
    with Store(url) as store:
        first, second = store.begin("mine", PLAN), store.begin("mine", PLAN)
        store.keep(first, DIVERGED)
        store.keep(second, KEPT)
        assert store.resume("mine", PLAN) == (second, PLAN)
        assert list(store.outcomes(second)) == [KEPT.trial]
        number, plan = store.resume("other", PLAN)
        assert (store.outcomes(number), plan) == ({}, PLAN)


def test_seeds_are_added_to_a_stored_study_and_its_look_stays(url: str) -> None:
    plan = replace(PLAN, seeds=seed_stream(0, count=2))
    with Store(url) as store:
        first = store.begin("mine", plan)
        number, longer = store.resume("mine", plan, seeds=6)
    assert (number, longer.seeds) == (first, seed_stream(0, count=6))
    assert [look.seeds for look in longer.looks] == [2, 6]
    with Store(url) as store:
        assert store.resume("mine", replace(plan, seeds=seed_stream(0, count=3), looks=(Look(3, 0.04),))) == (
            first,
            longer,
        )
        with pytest.raises(BadStudy, match="has 6 seeds already; got 4"):
            store.resume("mine", plan, seeds=4)


def test_another_plan_under_the_same_name_is_refused_and_the_difference_named(url: str) -> None:
    with Store(url) as store:
        store.begin("mine", PLAN)
        with pytest.raises(BadStudy) as raised:
            store.resume("mine", replace(PLAN, seed=3, points=(0.1,)))
    text = str(raised.value)
    assert (
        "the stored study 'mine' has another plan (points: [0.001, 0.01] stored, [0.1] now; seed: 0 stored, 3 now)"
        in text
    )
    assert "\n" not in text


def test_a_store_may_be_opened_by_two_at_once(url: str) -> None:
    with Store(url) as one, Store(url) as other:
        studies = [one.begin("mine", PLAN), other.begin("mine", PLAN)]
        one.keep(studies[0], KEPT)
        other.keep(studies[1], KEPT)
        assert studies[0] != studies[1]
        assert one.outcomes(studies[1]) == other.outcomes(studies[0])


def test_a_new_store_may_be_opened_by_many_at_the_same_moment(url: str) -> None:
    def opened(number: int) -> int:
        with Store(url) as store:
            return store.begin("mine", PLAN)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(opened, range(6)))) == 6


def test_migrations_make_the_tables_that_the_code_reads(url: str) -> None:
    with Store(url) as store:
        engine = sa.create_engine(store.database.url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert bring_up_to_date(engine)  # a second time changes nothing
    assert ScriptDirectory(str(Path(schema.__file__).parent / "migrations")).get_heads() == [HEAD]
    engine.dispose()


def test_sqlite_waits_for_other_writers_and_survives_a_kill(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.db") as store:
        store.begin("mine", PLAN)
        raw = sqlite3.connect(tmp_path / "runs.db")
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        raw.close()


FAULTS = {
    "folder": ("/no/such/folder/runs.db", "cannot be opened: unable to open database file"),
    "kind": ("mysql://someone@host/runs", "only SQLite and PostgreSQL can be used"),
    "server": ("postgresql://someone:secret@127.0.0.1:1/runs", "cannot be opened: connection failed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_cannot_be_opened_is_one_line_without_the_password(fault: str) -> None:
    if fault == "server":
        pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'actlab[postgres]'")
    where, message = FAULTS[fault]
    with pytest.raises(BadStudy) as raised:
        Store(where)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_a_database_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look at" * 10)
    before = path.read_bytes()
    with pytest.raises(BadStudy, match="file is not a database"):
        Store(path)
    assert path.read_bytes() == before


# The first release's tables with one study, as that release wrote them.
FIRST_RELEASE = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES('0001');
CREATE TABLE studies (id INTEGER NOT NULL, name VARCHAR(200) NOT NULL, attempt INTEGER NOT NULL,
    digest VARCHAR(64) NOT NULL, plan JSON NOT NULL, version VARCHAR(40) NOT NULL, created DATETIME NOT NULL,
    PRIMARY KEY (id), CONSTRAINT one_study_an_attempt UNIQUE (name, attempt));
INSERT INTO studies VALUES(1,'mine',1,'d7869f2d16eee35ea5bdc69c1cadf6768462accfe3d033927bab8b365f533575',
    '{"task": "t", "fingerprint": "f", "arms": ["relu", "x*sigmoid(1.7*x)"], "points": [0.001, 0.01],
    "tuning_seeds": [2147483647], "seeds": [5, 6], "looks": [{"seeds": 2, "alpha": 0.05}], "margin": 0.5,
    "margin_is_relative": false, "init": "as-is", "seed": 0}','0.1.0','2026-11-30 10:42:01.007062');
CREATE TABLE trials (id INTEGER NOT NULL, study_id INTEGER NOT NULL, arm VARCHAR(500) NOT NULL, point INTEGER NOT NULL,
    seed BIGINT NOT NULL, role VARCHAR(20) NOT NULL, status VARCHAR(20) NOT NULL, diverged BOOLEAN NOT NULL,
    rate FLOAT NOT NULL, valid FLOAT NOT NULL, test FLOAT, steps INTEGER NOT NULL, curve JSON NOT NULL,
    seconds FLOAT NOT NULL, version VARCHAR(40) NOT NULL, finished DATETIME NOT NULL, PRIMARY KEY (id),
    CONSTRAINT one_row_a_trial UNIQUE (study_id, arm, point, seed, role),
    FOREIGN KEY(study_id) REFERENCES studies (id) ON DELETE CASCADE);
INSERT INTO trials VALUES(1,1,'relu',0,2147483647,'tune','finished',0,0.001,9.11234567890123514644e+01,NULL,30,
    '[{"loss": 1.5, "valid": 40.0}]',0.5,'0.1.0','2026-11-30 10:42:01.013759');
INSERT INTO trials VALUES(2,1,'x*sigmoid(1.7*x)',1,5,'confirm','diverged',1,0.01,10.0,9.75,3,'[]',0.1,'0.1.0',
    '2026-11-30 10:42:01.020326');
"""


def first_release(path: Path, *, revision: str = "0001") -> Path:
    with sqlite3.connect(path) as raw:
        raw.executescript(FIRST_RELEASE)
        raw.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    raw.close()
    return path


def test_a_store_of_the_first_release_is_upgraded_and_its_study_kept(tmp_path: Path) -> None:
    with Store(first_release(tmp_path / "runs.db")) as store:
        old = store.outcomes(1)
        assert {trial: outcome.valid for trial, outcome in old.items()} == {
            KEPT.trial: KEPT.valid,
            Trial("x*sigmoid(1.7*x)", 1, 5): 10.0,
        }
        assert store.curves(1, list(old)) == {KEPT.trial: (Epoch(1.5, 40.0),), Trial("x*sigmoid(1.7*x)", 1, 5): ()}
        with pytest.raises(BadStudy, match="the stored study 'mine' has another plan"):
            store.resume("mine", PLAN)
        assert store.begin("mine", PLAN) == 2


def test_a_store_of_a_newer_release_is_refused_by_name(tmp_path: Path) -> None:
    path = first_release(tmp_path / "runs.db", revision="9999")
    with pytest.raises(BadStudy, match=r"runs\.db' was written by a newer actlab; update actlab, or"):
        Store(path)


def test_a_plan_with_other_fields_is_refused_and_the_field_named(tmp_path: Path) -> None:
    path = first_release(tmp_path / "runs.db")
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE studies SET digest = 'x', plan = json_insert(plan, '$.warmup', 5)")
    raw.close()
    with Store(path) as store, pytest.raises(BadStudy, match=r"another plan \(.*warmup: 5 stored, None now"):
        store.resume("mine", PLAN)


def test_what_has_changed_since_is_named_before_a_study_is_resumed() -> None:
    before = replace(PLAN, contents={"the data": "1", "the code in net.py": "2", "the activation own": "3"})
    after = replace(PLAN, contents={"the data": "1", "the code in net.py": "4", "the activation own": "5"})
    with Store(None) as store:
        number = store.begin("t", before)
        assert store.resume("t", before) == (number, before)
        with pytest.raises(BadStudy, match=r"has changed: the code in net\.py, the activation own\. Run without"):
            store.resume("t", after)


def test_a_study_of_an_older_release_that_noted_no_code_is_refused() -> None:
    with Store(None) as store:
        store.begin("t", PLAN)
        with pytest.raises(BadStudy, match="stored by an older actlab, which did not note the code"):
            store.resume("t", replace(PLAN, contents={"the data": "1"}))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hush@localhost:1/db",
        "postgresql://me:hu%40sh@localhost:1/db",
        "postgresql://me:hush/@sh@localhost:1/db",
        "postgresql://me@localhost:1/db?password=hush",
        "postgresql://localhost:1/db?user=me&sslpassword=hush",
        "postgresql://me:hush@localhost:port/db",
        "mysql://me:hush@localhost/db",
    ],
)
def test_no_error_shows_the_password(address: str) -> None:
    with pytest.raises(BadStudy) as caught:
        Store(address)
    assert "hu" not in str(caught.value)
    assert "sh@" not in str(caught.value)
