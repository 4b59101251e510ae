"""Studies of the same arms on several tasks: run, interrupted, continued, stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from actlab.errors import BadStudy
from actlab.study.archive import studies
from actlab.study.compare import prepare, run_study
from actlab.study.earlier import earlier, likeness
from actlab.study.outcome import Outcome
from actlab.study.over_tasks import conclude
from actlab.study.plan import Trial
from actlab.study.runner import Claim, Crew, LocalRunner, Setting
from actlab.study.store import Store
from actlab.study.suite import Suite, SuiteResult, run_suite, suite_of
from actlab.study.suite_store import begin_suite, conclusion_of, resumed_suite, suite_named, suites
from small_study import InventingRunner
from unit.study.small_task import ring

TASKS = 3
TRIALS = TASKS * 3 * 2 * 2


def suite(*, count: int = TASKS, seeds: int = 2) -> Suite:
    tasks = [replace(ring(seed=number), name=f"ring{number}") for number in range(count)]
    return suite_of([prepare(task, candidates=["tanh", "silu"], seeds=seeds, budget=2) for task in tasks])


def ran(where: Path, runner: object, **changes: object) -> SuiteResult:
    with Store(where) as store:
        return run_suite(suite(), store=store, runner=runner, **changes)  # type: ignore[arg-type]  # partly


class InterruptedRunner(InventingRunner):
    """Is interrupted after some trials, as by Ctrl-C."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def _run(self, setting: Setting, trials: Sequence[Trial], claim: Claim) -> Iterator[Outcome]:
        for outcome in super()._run(setting, trials, claim):
            if len(self.trials) > self.after:
                raise KeyboardInterrupt
            yield outcome

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        with super().crew(setting) as crew:
            yield crew


def without_times(found: SuiteResult) -> object:
    overall = replace(found.overall, seconds=0.0)
    return overall, [each.to_json() | {"cost": None} for each in found.comparisons]


@pytest.mark.parametrize("after", [3, 15, TRIALS - 1])
def test_an_interrupted_suite_goes_on_where_it_stopped(tmp_path: Path, after: int) -> None:
    every = InventingRunner()
    whole = ran(tmp_path / "whole.db", every)
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path / "a.db", InterruptedRunner(after))
    with Store.existing(tmp_path / "a.db") as store:
        (found,) = suites(store, studies(store))
        assert (found.state, found.verdict, len(found.members)) == ("unfinished", "", TASKS)
        with pytest.raises(BadStudy, match=rf"suite S1 is not finished: {after} of {TRIALS} trials are done"):
            conclusion_of(store, found)
    rest = InventingRunner()
    again = ran(tmp_path / "a.db", rest, resume=True)
    assert len(rest.trials) == len(every.trials) - after
    assert without_times(again) == without_times(whole)


def test_it_is_stored_as_it_was_found(tmp_path: Path) -> None:
    found = ran(tmp_path / "a.db", InventingRunner())
    with Store.existing(tmp_path / "a.db") as store:
        kept = suite_named(store)
        assert kept is not None
        assert (kept.shown, kept.tasks, kept.verdict) == ("S1", ("ring0", "ring1", "ring2"), found.overall.verdict)
        assert kept.state == "undecided"
        assert suite_named(store, "S1") == kept
        overall, comparisons = conclusion_of(store, kept)
        assert (overall, list(comparisons)) == (found.overall, list(found.comparisons))
        with pytest.raises(BadStudy, match="has no suite S7; `actlab runs` lists 1"):
            suite_named(store, "S7")


def test_it_continues_its_own_studies_and_not_newer_ones_of_the_same_name(tmp_path: Path) -> None:
    ran(tmp_path / "a.db", InventingRunner())
    with Store(tmp_path / "a.db") as store:
        other = prepare(replace(ring(seed=0), name="ring0"), candidates=["elu"], seeds=2, budget=1)
        run_study(other, store=store, name="ring0", runner=InventingRunner())
        assert suite_named(store) is None  # the newest run is that study
    rest = InventingRunner()
    assert ran(tmp_path / "a.db", rest, resume=True).number == 1
    assert rest.trials == []


def test_a_study_that_has_changed_since_is_concluded_anew(tmp_path: Path) -> None:
    whole = ran(tmp_path / "a.db", InventingRunner())
    with Store(tmp_path / "a.db") as store:
        run_study(suite().studies[0], store=store, name="ring0", resume=True, seeds=4, runner=InventingRunner())
        kept = suite_named(store)
        assert kept is not None
        overall, comparisons = conclusion_of(store, kept)
    assert [task.seeds for task in overall.tasks] == [4, 2, 2]
    assert overall.notes == ("The studies have changed since all was run; concluded anew.",)
    assert overall.arms != whole.overall.arms
    assert len(comparisons[0].control.tests) == 4


FAULTS = {
    "tasks": ("UPDATE suites SET tasks = '[1, 2, 3]'", "the tasks of suite 1 have a value of another type"),
    "count": ("DELETE FROM suite_studies WHERE place = 2", "the tasks of suite 1 have a value of another type"),
    "study": ("UPDATE suite_studies SET study_id = 99 WHERE place = 0", "a study of suite 1 is missing"),
    "arms": ("UPDATE suites SET conclusion = '{\"arms\": 3}'", "the conclusion of suite S1 cannot be read"),
    "form": ("UPDATE suites SET conclusion = '[]'", "suite S1 is not finished"),
    "json": ("UPDATE suites SET conclusion = '{'", "a stored value is not JSON"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_suite_is_said(tmp_path: Path, fault: str) -> None:
    ran(tmp_path / "a.db", InventingRunner())
    change, message = FAULTS[fault]
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw:
        raw.execute(change)
        raw.commit()

    def read() -> None:
        with Store.existing(tmp_path / "a.db") as store:
            kept = suite_named(store)
            assert kept is not None
            conclusion_of(store, kept)

    with pytest.raises(BadStudy, match=message):
        read()


def test_it_is_kept_on_a_server_too(url: str) -> None:
    with Store(url) as store:
        found = run_suite(suite(count=2), store=store, runner=InventingRunner())
        again = run_suite(suite(count=2), store=store, runner=InventingRunner(), resume=True)
        kept = suite_named(store, f"S{found.number}")
        assert kept is not None
        assert conclusion_of(store, kept)[0] == again.overall
        known = earlier(store, likeness(ring()))
        assert [run.task for run in known.runs] == ["ring1", "ring0"]


def test_processes_that_begin_the_same_suite_at_once_share_it(url: str) -> None:
    plans = [study.plan for study in suite().studies]

    def resumed(_: int) -> tuple[int, tuple[int, ...]]:
        with Store(url) as store:
            gate.wait()
            return resumed_suite(store, suite().names, plans)

    Store(url).close()
    gate = Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(resumed, range(4))) == {(1, (1, 2, 3))}
    with Store(url) as store:
        assert len(studies(store)) == TASKS
        assert begin_suite(store, suite().names, plans) == (2, (4, 5, 6))


def test_seeds_are_added_to_every_study_and_the_level_falls(tmp_path: Path) -> None:
    ran(tmp_path / "a.db", InventingRunner())
    more = InventingRunner()
    found = ran(tmp_path / "a.db", more, resume=True, seeds=3)
    assert {trial.seed for trial in more.trials} == {suite(seeds=3).plan.seeds[2]}
    assert [task.seeds for task in found.overall.tasks] == [3] * TASKS
    assert found.overall.alpha == 0.005
    again = InventingRunner()
    assert [task.seeds for task in ran(tmp_path / "a.db", again, resume=True).overall.tasks] == [3] * TASKS
    assert again.trials == []


def test_seeds_that_were_added_to_one_study_are_added_to_all(tmp_path: Path) -> None:
    ran(tmp_path / "a.db", InventingRunner())
    with Store(tmp_path / "a.db") as store:
        first = suite().studies[0]
        run_study(first, store=store, name="ring0", resume=True, seeds=4, runner=InventingRunner())
    found = ran(tmp_path / "a.db", InventingRunner(), resume=True)
    assert [task.seeds for task in found.overall.tasks] == [4] * TASKS


def test_progress_counts_the_trials_of_all_studies(tmp_path: Path) -> None:
    said: list[tuple[int, int, str]] = []
    ran(
        tmp_path / "a.db",
        InventingRunner(),
        progress=lambda done, total, left, label: said.append((done, total, label)),
    )
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)
    assert said[-1][0] == said[-1][1] >= TRIALS
    assert said[-1][2].startswith("ring2, training")


def test_notes_on_how_runs_were_trained_are_those_of_the_task(tmp_path: Path) -> None:
    runner = LocalRunner()
    runner.decisions["gelu"] = None  # type: ignore[assignment]  # of another study
    with Store(None) as store:
        run_suite(suite(count=2), store=store, runner=runner)
    assert set(runner.decisions) == {"relu", "tanh", "silu"}


def test_what_is_not_the_same_on_all_tasks_is_refused() -> None:
    def study(number: int, **changes: object) -> object:
        settings = {"candidates": ["tanh"], "seeds": 2, "budget": 1, **changes}
        return prepare(replace(ring(seed=number), name=f"ring{number}"), **settings)  # type: ignore[arg-type]  # partly

    refused = {
        "two tasks or more; got 1": [study(0)],
        "the control must be the same on all tasks; got relu on ring0 and silu on ring1": [
            study(0),
            study(1, against="silu"),
        ],
        r"the arms must be the same on all tasks; got 2 \(relu, tanh\) on ring0": [
            study(0),
            study(1, candidates=["elu"]),
        ],
        "the seeds must be the same on all tasks": [study(0), study(1, seed=1)],
        "every task must be named once; got ring0 twice": [study(0), study(0)],
    }
    for message, studies_ in refused.items():
        with pytest.raises(BadStudy, match=message):
            suite_of(studies_)  # type: ignore[arg-type]  # as above


def test_tasks_of_one_name_are_distinguished() -> None:
    tasks = [ring(seed=0), ring(seed=1)]
    assert suite_of([prepare(task, candidates=["tanh"], seeds=2) for task in tasks]).names == ("ring", "ring (2)")


def test_of_equals_arms_with_factors_come_after_those_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def concluded(comparisons: object, **arguments: object) -> object:
        asked.update(arguments)
        return conclude(comparisons, **arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr("actlab.study.suite.conclude", concluded)
    tasks = [replace(ring(seed=number), name=f"ring{number}") for number in range(2)]
    mixed = suite_of([prepare(task, candidates=["silu", "relu@norm=batch"], seeds=2, budget=1) for task in tasks])
    with Store(tmp_path / "a.db") as store:
        run_suite(mixed, store=store, runner=InventingRunner())
    assert asked["operations"].keys() == {"relu", "silu"}  # type: ignore[attr-defined]  # what a norm costs is unknown
