"""Leases: several processes share a study, and no trial is run twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from actlab.study.compare import prepare, run_study
from actlab.study.leases import leases
from actlab.study.plan import Trial
from actlab.study.schema import LEASES
from actlab.study.store import Store
from small_study import KEPT, PLAN, SETTINGS, InventingRunner, compared, dots, numbers

TRIALS = list(PLAN.cells((0, 1), look=0))


def test_a_trial_is_claimed_by_one_only_and_a_stored_one_by_nobody(url: str) -> None:
    with Store(url) as store, Store(url) as other:
        study = store.begin("mine", PLAN)
        with leases(store, study) as ours, leases(other, study) as theirs:
            assert ours(TRIALS[:3]) == TRIALS[:3]
            assert theirs(TRIALS) == TRIALS[3:]
            assert ours(TRIALS[:3]) == TRIALS[:3]
            store.keep(study, replace(KEPT, trial=TRIALS[0]))
            assert (ours(TRIALS), theirs(TRIALS)) == (TRIALS[1:3], TRIALS[3:])
        with leases(store, study) as ours:
            assert ours(TRIALS) == TRIALS[1:]


def test_leases_of_one_study_do_not_bind_another(url: str) -> None:
    with Store(url) as store:
        studies = [store.begin("one", PLAN), store.begin("two", PLAN)]
        with leases(store, studies[0]) as ours, leases(store, studies[1]) as theirs:
            assert ours(TRIALS) == theirs(TRIALS) == TRIALS


def test_many_that_claim_at_the_same_moment_divide_the_trials(url: str) -> None:
    trials = [Trial("relu", point, seed) for point in range(4) for seed in range(30)]
    lots = [trials[start : start + 6] for start in range(0, len(trials), 6)]
    with Store(url) as first:
        study = first.begin("mine", PLAN)
    start = threading.Barrier(4)

    def claimed(number: int) -> list[Trial]:
        with Store(url) as store, leases(store, study) as claim:
            start.wait()
            ours = [trial for lot in lots[:: 1 if number % 2 else -1] for trial in claim(lot)]
            start.wait()
            return ours

    with ThreadPoolExecutor(4) as pool:
        ours = [trial for each in pool.map(claimed, range(4)) for trial in each]
    assert sorted(ours, key=str) == sorted(trials, key=str)


def test_a_lease_is_renewed_while_its_owner_lives_and_expires_when_it_does_not(url: str) -> None:
    with Store(url) as store, Store(url) as other:
        study = store.begin("mine", PLAN)
        with leases(store, study, seconds=1.0) as ours, leases(other, study) as theirs:
            ours(TRIALS)
            time.sleep(1.5)
            assert theirs(TRIALS) == []
            gone = sa.update(LEASES).values(owner="elsewhere:1:0")  # so that nobody renews them
            store.database.write(lambda connection: connection.execute(gone))
            assert theirs(TRIALS) == []
            time.sleep(1.2)
            assert theirs(TRIALS) == TRIALS


def claim_and_die(url: str, study: int) -> None:
    with Store(url) as store, leases(store, study) as claim:
        assert claim(TRIALS)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX says whether a process lives")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_trials_of_a_killed_process_are_free_at_once(url: str) -> None:
    with Store(url) as store:
        study = store.begin("mine", PLAN)
    killed = multiprocessing.get_context("fork").Process(target=claim_and_die, args=(url, study))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    with Store(url) as store, leases(store, study) as claim:
        assert store.database.read(lambda connection: len(connection.execute(sa.select(LEASES)).all())) == len(TRIALS)
        assert claim(TRIALS) == TRIALS


def test_two_comparisons_share_the_work_and_find_the_same(url: str) -> None:
    alone = compared(runner=InventingRunner())
    prepared = prepare(dots(), **SETTINGS)
    runners = [InventingRunner(seconds=0.02), InventingRunner(seconds=0.02)]

    def run(runner: InventingRunner) -> dict[str, object]:
        with Store(url) as store:
            return numbers(run_study(prepared, store=store, name="dots", resume=True, runner=runner))

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, runners))
    assert results == [numbers(alone)] * 2
    every = [trial for runner in runners for trial in runner.trials]
    assert len(every) == len(set(every)) == sum(arm.runs for arm in alone.arms)
    assert all(runner.trials for runner in runners)
    with Store(url) as store:
        assert [(found.attempt, found.done) for found in store.studies()] == [(1, len(every))]
        assert store.database.read(lambda connection: connection.execute(sa.select(LEASES)).all()) == []


def test_a_store_in_memory_needs_no_leases() -> None:
    with Store(None) as store, leases(store, store.begin("mine", PLAN)) as claim:
        assert claim(TRIALS) == TRIALS
        assert store.database.read(lambda connection: connection.execute(sa.select(LEASES)).all()) == []
