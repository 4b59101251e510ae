"""A stored study is reported as it was, without its task."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from actlab.errors import BadStudy
from actlab.study.archive import comparison_of, stored_values, studies, study_named
from actlab.study.compare import compare, prepare
from actlab.study.comparison import Comparison
from actlab.study.store import Store
from unit.study.small_task import ring


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    path = tmp_path_factory.mktemp("store") / "runs.db"
    return path, compare(ring(), candidates=["tanh", "silu"], seeds=6, budget=2, store=path)


def test_it_comes_back_as_it_was(kept: tuple[Path, Comparison]) -> None:
    path, comparison = kept
    with Store.existing(path) as store:
        assert comparison_of(store, study_named(store)) == comparison


def test_infinite_ends_and_missing_numbers_come_back(tmp_path: Path) -> None:
    comparison = compare(ring(), candidates=["tanh"], seeds=2, budget=1, store=tmp_path / "a.db")
    difference = comparison.arms[1].difference
    assert difference is not None
    assert difference.low == float("-inf")
    with Store.existing(tmp_path / "a.db") as store:
        assert comparison_of(store, study_named(store)) == comparison
    json.dumps(stored_values(comparison), allow_nan=False)


def test_studies_are_listed_with_their_state(kept: tuple[Path, Comparison], tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    comparison = compare(ring(), candidates=["tanh"], seeds=6, budget=1, store=path)
    planned = prepare(ring(), candidates=["silu"], seeds=6, budget=2).plan
    with Store(path) as store:
        store.begin("other", planned)
        newest, first = studies(store)
        assert (newest.study.id, newest.study.name, newest.study.done, newest.study.planned) == (2, "other", 0, 24)
        assert newest.state == "unfinished"
        assert (first.study.name, first.study.attempt, first.verdict) == ("ring", 1, comparison.verdict)
        is_open = any(arm.verdict == "undecided" for arm in comparison.arms)
        assert first.state == ("undecided" if is_open else "decided")
        assert (first.study.done, first.study.planned) == (12, 12)
        with pytest.raises(BadStudy, match=r"study 2 'other' is not finished: 0 of 24 trials are done\. Continue it"):
            comparison_of(store, newest)


def test_a_study_whose_seeds_were_added_is_unfinished_until_they_are_done(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    first = compare(ring(), candidates=["tanh"], seeds=6, budget=1, store=path)
    with Store(path) as store:
        store.resume("ring", first.plan, seeds=8)
        assert [each.state for each in studies(store)] == ["unfinished"]
    second = compare(ring(), candidates=["tanh"], seeds=8, budget=1, store=path, resume=True)
    with Store(path) as store:
        assert [(each.study.id, each.state != "unfinished") for each in studies(store)] == [(1, True)]
        assert comparison_of(store, studies(store)[0]) == second


def test_a_study_is_found_by_name_or_number(kept: tuple[Path, Comparison]) -> None:
    with Store.existing(kept[0]) as store:
        assert study_named(store, "ring") == study_named(store, 1) == study_named(store, "1") == study_named(store)
        with pytest.raises(BadStudy, match="has no study 'rng'; `actlab runs` lists 1"):
            study_named(store, "rng")
    with Store(None) as empty, pytest.raises(BadStudy, match="holds no studies"):
        study_named(empty)


def test_reading_creates_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadStudy, match=r"there is no store '.*none\.db'. --store names one"):
        Store.existing(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("arms"),
        lambda values: values.update(region="wide"),
        lambda values: values["arms"][0].update(tests=[1, "two"]),
        lambda values: values["arms"][0].update(rates=[0.5] * 6),  # of no stored trial
        lambda values: values.update(metric=[]),
        lambda values: values["plan"].update(looks=[]),
    ],
)
def test_a_damaged_result_is_an_error_and_not_a_traceback(kept: tuple[Path, Comparison], change: object) -> None:
    path, comparison = kept
    values = stored_values(comparison)
    change(values)
    copy = path.with_name("damaged.db")
    copy.unlink(missing_ok=True)
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE results SET comparison = ?", (json.dumps(values),))
    source.close()
    target.close()
    with Store.existing(copy) as store, pytest.raises(BadStudy, match="the result of study 1 'ring' cannot be read"):
        comparison_of(store, study_named(store))
