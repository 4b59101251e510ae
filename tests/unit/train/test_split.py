"""A task's rows can be split anew: other rows, the same sizes, and scales fitted to the new training rows."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from actlab.errors import BadTask
from actlab.train.builtin import TASKS, builtin_task
from actlab.train.load import directions_to
from actlab.train.table import table_task
from actlab.train.task import Task


def rows(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(4.0 * count).reshape(count, 4), torch.arange(count) % 3


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def table(folder: Path, count: int = 200) -> str:
    chance = np.random.default_rng(0)
    size = chance.normal(50, 10, count)
    villages = np.char.add("village", chance.integers(0, 60, count).astype(str))
    frame = pd.DataFrame(
        {
            "size": size,
            "city": np.where(chance.random(count) < 0.8, "big", villages),
            "price": 3 * size + chance.normal(0, 1, count),
        }
    )
    frame.to_csv(folder / "data.csv", index=False)
    return str(folder / "data.csv")


def sizes(task: Task) -> list[tuple[int, ...]]:
    return [tuple(part.inputs.shape) for part in (task.train, task.valid, task.test)]


def first_columns(task: Task) -> list[float]:
    return torch.cat([part.inputs for part in (task.train, task.valid, task.test)])[:, 0].tolist()


def test_a_new_split_has_other_rows_of_the_same_sizes_and_loses_none() -> None:
    task = Task("t", net, train=rows())
    other = task.with_split(5)
    assert (task.can_resplit, task.rows) == (True, 60)
    assert (task.split, other.split) == (0, 5)
    assert sizes(task) == sizes(other) == [(36, 4), (12, 4), (12, 4)]
    assert sorted(first_columns(task)) == sorted(first_columns(other)) == rows()[0][:, 0].tolist()
    for name in ("train", "valid", "test"):
        assert not torch.equal(getattr(task, name).inputs, getattr(other, name).inputs)
        targets = getattr(other, name).targets
        assert targets.bincount().tolist() == [len(targets) // 3] * 3, "the split must be stratified"
    row = other.test.inputs[0, 0]
    assert other.test.targets[0] == int(row / 4) % 3, "a row must keep its target"


def test_split_numbers_are_repeatable_and_zero_leads_back() -> None:
    task = Task("t", net, train=rows())
    other = task.with_split(5)
    assert task.with_split(0) is task
    assert torch.equal(other.with_split(0).train.inputs, task.train.inputs)
    assert torch.equal(task.with_split(5).test.inputs, other.test.inputs)
    assert torch.equal(other.with_split(9).test.inputs, task.with_split(9).test.inputs)
    assert other.fingerprint() != task.fingerprint() == other.with_split(0).fingerprint()


def test_test_rows_that_were_passed_stay() -> None:
    task = Task("t", net, train=rows(), test=rows(30))
    other = task.with_split(2)
    assert torch.equal(other.test.inputs, task.test.inputs)
    assert not torch.equal(other.valid.inputs, task.valid.inputs)
    assert sizes(other) == sizes(task) == [(48, 4), (12, 4), (30, 4)]
    assert "leaves out the noise of drawing the test rows" in task.split_sentence


def test_three_parts_that_were_passed_cannot_be_split_anew() -> None:
    task = Task("t", net, train=rows(), valid=rows(30), test=rows(30))
    assert not task.can_resplit
    assert "leaves out the noise of drawing them" in task.split_sentence
    assert task.with_split(0) is task
    with pytest.raises(BadTask, match="cannot be split anew, as all three parts were passed; got split 1"):
        task.with_split(1)


@pytest.mark.parametrize("number", [-1, 0.5, "1"])
def test_a_split_number_is_a_count(number: object) -> None:
    with pytest.raises(BadTask, match="the number of a split must be 0 or more"):
        Task("t", net, train=rows()).with_split(number)  # type: ignore[arg-type]  # what a user may pass


def test_a_changed_setting_leaves_the_split_alone_and_changed_rows_end_it() -> None:
    task = Task("t", net, train=rows()).with_split(3)
    longer = replace(task, epochs=7)
    assert (longer.split, longer.can_resplit, longer.epochs) == (3, True, 7)
    assert torch.equal(longer.with_split(0).test.inputs, task.with_split(0).test.inputs)
    noisy = replace(task, train=(task.train.inputs + 1, task.train.targets))
    assert not noisy.can_resplit, "a new split would lose the changed rows"


def test_a_regression_is_converted_in_every_split() -> None:
    task = Task("t", lambda: nn.Linear(4, 1), train=(rows()[0], torch.arange(60)), kind="regression")
    assert task.with_split(1).train.targets.dtype == torch.float32


@pytest.mark.parametrize("name", TASKS)
def test_built_in_tasks_can_be_split_anew(name: str) -> None:
    task = builtin_task(name)
    other = task.with_split(4)
    assert sizes(task) == sizes(other)
    assert not torch.equal(task.test.inputs, other.test.inputs)
    assert (other.name, other.origin) == (task.name, task.origin)


def test_the_scale_of_a_built_in_regression_is_fitted_to_the_new_training_rows() -> None:
    task = builtin_task("diabetes")
    for each in (task, task.with_split(4)):
        assert each.train.inputs.mean(0).abs().max() < 1e-5
        assert each.train.inputs.std(0).sub(1).abs().max() < 1e-4
        assert each.train.targets.std().item() == pytest.approx(1, abs=1e-4)
        assert each.test.inputs.mean(0).abs().max() > 0.02
        assert each.test.targets.mean() != 0
    assert task.target_unit != task.with_split(4).target_unit
    assert task.target_unit == task.with_split(4).with_split(0).target_unit


def test_the_scale_of_a_table_is_fitted_to_the_new_training_rows_and_its_shape_stays(tmp_path: Path) -> None:
    task = table_task(table(tmp_path), target="price")
    units = set()
    for number in (0, 1, 2, 3, 4, 2**40 + 7):
        each = task.with_split(number)
        assert sizes(each) == [(120, 21), (40, 21), (40, 21)]
        assert each.train.inputs[:, 0].mean().item() == pytest.approx(0, abs=1e-5)
        assert (each.train.inputs[:, 1:].sum(1) == 1).all(), "one level in each row"
        assert each.target_unit == pytest.approx(pd.read_csv(tmp_path / "data.csv").price.std(), rel=0.2)
        units.add(each.target_unit)
    assert len(units) == 6


def test_a_split_survives_pickling_and_directions(tmp_path: Path) -> None:
    task = replace(table_task(table(tmp_path), target="price"), epochs=3).with_split(2)
    followed = directions_to(task).followed()
    assert (followed.split, followed.epochs, followed.fingerprint()) == (2, 3, task.fingerprint())
    copied = pickle.loads(pickle.dumps(task))
    assert copied.with_split(7).fingerprint() == task.with_split(7).fingerprint()


def test_the_region_is_never_finer_than_three_test_rows() -> None:
    task = Task("t", net, train=rows())
    assert task.region(90.0) == 25.0  # three of twelve
    assert builtin_task("digits").region(90.0) == pytest.approx(300 / 359)
    error = builtin_task("diabetes")
    assert error.region(50.0) == 1.0
