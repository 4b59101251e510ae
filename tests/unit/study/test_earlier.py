"""What earlier runs in a store showed on similar tasks."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import torch
from torch import nn

from actlab.report.earlier_text import earlier_lines, earlier_sentences
from actlab.report.page import page
from actlab.study.advise import advise
from actlab.study.archive import stored_values
from actlab.study.compare import compare
from actlab.study.comparison import Comparison
from actlab.study.earlier import Earlier, Likeness, earlier, earlier_in, earlier_than, likeness
from actlab.study.options import AdviseOptions
from actlab.study.schema import RESULTS, STUDIES, TRIALS
from actlab.study.store import Store
from actlab.train.task import Task
from small_study import KEPT, InventingRunner
from unit.report.comparisons import TESTS, made
from unit.study.small_task import ring

ROWS = Likeness("rows of numbers", "classification", 1000)


def kept(store: Store, found: Comparison, like: Likeness = ROWS) -> int:
    number = store.begin(found.task, found.plan)
    store.keep_result(number, stored_values(found), about=vars(like))
    return number


def several(*tasks: str, **changes: Any) -> Store:
    store = Store(None)
    for task in tasks:
        kept(store, made(task=task), **changes)
    return store


def names(found: Earlier) -> list[str]:
    return [run.task for run in found.runs]


def test_a_run_is_said_with_its_verdicts_and_its_place() -> None:
    with several("wine") as store:
        (run,) = earlier(store, ROWS).runs
        assert (run.study, run.control, run.recommended, run.better) == (1, "sigmoid", "relu", ("relu",))
        (sentence,) = earlier_sentences(earlier(store, ROWS))
    assert sentence == (
        "wine (run 1, 1,000 rows): better than sigmoid: relu; equivalent: gelu; worse: softplus; undecided: tanh."
    )


def test_what_compares_an_activation_with_itself_alone_says_nothing() -> None:
    with several("wine") as store:
        kept(store, made({"sigmoid": TESTS["sigmoid"], "sigmoid#2": TESTS["tanh"]}, task="noise"))
        assert names(earlier(store, ROWS)) == ["wine"]


def test_only_what_is_similar_counts() -> None:
    with Store(None) as store:
        alike = {
            "same": ROWS,
            "smaller": replace(ROWS, rows=200),
            "larger": replace(ROWS, rows=5000),
            "tiny": replace(ROWS, rows=199),
            "huge": replace(ROWS, rows=5001),
            "images": replace(ROWS, data="images"),
            "error": replace(ROWS, target="regression"),
        }
        for task, like in alike.items():
            kept(store, made(task=task), like)
        assert names(earlier(store, ROWS)) == ["larger", "smaller", "same"]
        assert names(earlier(store, replace(ROWS, data="images"))) == ["images"]
        assert names(earlier(store, replace(ROWS, data="text or other symbols"))) == []


def test_the_newest_run_of_each_task_counts_and_later_ones_do_not() -> None:
    with several("wine", "iris", "wine") as store:
        assert [(run.task, run.study) for run in earlier(store, ROWS).runs] == [("wine", 3), ("iris", 2)]
        found = earlier_than(store, 3)
        assert found is not None
        assert [(run.task, run.study) for run in found.runs] == [("iris", 2), ("wine", 1)]
        assert names(earlier(store, ROWS, without="wine")) == ["iris"]


def test_results_without_a_likeness_are_passed_over() -> None:
    with several("wine") as store:
        store.database.write(lambda connection: connection.execute(sa.update(RESULTS).values(data=None)))
        assert earlier(store, ROWS).runs == ()
        assert earlier_than(store, 1) is None


@pytest.mark.parametrize(
    ("inputs", "data"),
    [
        (torch.zeros(60, 4), "rows of numbers"),
        (torch.zeros(60, 1, 2, 2), "images"),
        (torch.zeros(60, 2, 2), "sequences of numbers"),
        (torch.zeros(60, 4, dtype=torch.long), "text or other symbols"),
    ],
)
def test_the_kind_of_the_data_is_that_of_the_inputs(inputs: torch.Tensor, data: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.layers(rows.flatten(1).float())

    task = Task("t", Net, train=(inputs, torch.arange(60) % 2))
    assert likeness(task) == Likeness(data, "classification", 60)


def test_a_training_of_the_users_is_like_those_with_the_same_score() -> None:
    task = Task.from_training("game", lambda activation, rate, seed, budget: 0.0, baseline=0.0, metric="return")
    assert likeness(task) == Likeness("a training of your own", "return", 0)


def test_advise_finds_what_was_run_before_and_not_itself(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    compare(ring(), candidates=["tanh"], seeds=6, budget=1, store=store, runner=InventingRunner())
    options = AdviseOptions(activations=["silu"], seeds=2, budget=1, store=store, diagnose=False)
    other = replace(ring(seed=1), name="other")
    first = advise(other, options, runner=InventingRunner())
    assert first.earlier is not None
    assert names(first.earlier) == ["ring"]
    again = advise(other, replace(options, resume=True), runner=InventingRunner())
    assert again.earlier is not None
    assert names(again.earlier) == ["ring"]
    assert earlier_in(None, other) is None
    assert earlier_in(tmp_path / "none.db", other) == Earlier(likeness(other), ())
    assert not (tmp_path / "none.db").exists()


def test_it_stands_in_the_terminal_and_on_the_page_with_what_it_rests_on() -> None:
    with several("<b>wine</b>") as store:
        found = earlier(store, ROWS)
    lines = earlier_lines(found, width=60)
    assert max(map(len, lines)) <= 60
    text = " ".join(lines)
    assert "similar tasks (rows of numbers, classification, 200 to 5,000 rows);" in text
    assert "the verdict above outranks it" in text
    shown = page(made(), provenance={}, earlier=found)
    assert "The measurements on this page outrank all of this." in shown
    assert "&lt;b&gt;wine&lt;/b&gt; (run 1, 1,000 rows)" in shown
    assert 'id="usual"' not in page(made(), provenance={}, earlier=replace(found, runs=()))
    assert earlier_lines(None) == earlier_lines(replace(found, runs=())) == []


@pytest.mark.slow
def test_it_takes_less_than_fifty_milliseconds_among_100_000_trials(tmp_path: Path) -> None:
    studies, when = range(1, 1001), datetime(2026, 1, 1, tzinfo=UTC)
    found = made({name: values * 2 for name, values in TESTS.items()})
    study = {"digest": found.plan.digest(), "plan": found.plan.to_json(), "version": "1", "created": when, "attempt": 1}
    result = {"version": "1", "created": when, "comparison": stored_values(found), "data": ROWS.data}
    trial = {**vars(KEPT), "arm": "relu", "point": 0, "status": "finished", "version": "1", "finished": when}
    del trial["trial"], trial["curve"]
    trial |= {"beside": {}}

    def fill(connection: sa.Connection) -> None:
        connection.execute(sa.insert(STUDIES), [{**study, "id": each, "name": f"t{each}"} for each in studies])
        rows = ({"rows": 1000 if each % 2 else 10**6, "target": ROWS.target} for each in studies)
        connection.execute(
            sa.insert(RESULTS), [{**result, **own, "study_id": each} for each, own in zip(studies, rows, strict=True)]
        )
        trials = [{**trial, "study_id": each, "seed": seed} for each in studies for seed in range(100)]
        connection.execute(sa.insert(TRIALS), trials)

    with Store(tmp_path / "runs.db") as store:
        store.database.write(fill)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        with Store(tmp_path / "runs.db") as store:
            shown = earlier(store, ROWS)
        times.append(time.perf_counter() - start)
    assert {run.study % 2 for run in shown.runs} == {1}
    assert min(times) < 0.05
