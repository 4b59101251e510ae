"""Equal seconds, parameters and operations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from actlab.errors import BadStudy
from actlab.study import equal as equalizing
from actlab.study.arm import model_of
from actlab.study.compare import Study, prepare, run_study
from actlab.study.comparison import Cost
from actlab.study.plan import Budget, Plan
from actlab.study.setting import Setting
from actlab.study.store import Store
from actlab.train.character_transformer import CharacterTransformer
from actlab.train.cnn import cnn
from actlab.train.task import Task
from unit.study.small_task import ring

WIDE = (2, 48, 48, 2)


class Slow(nn.Module):
    """A tanh that takes its time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(60):
            y = torch.tanh(x)
        return y


def wide(**changes: Any) -> Task:
    from actlab.train.mlp import mlp

    return dataclasses.replace(ring(**changes), model=partial(mlp, nn.ReLU, sizes=WIDE))


def studied(task: Task, *arms: Any, **settings: Any) -> Study:
    return prepare(task, candidates=arms, **{"seeds": 2, "budget": 1, **settings})


def parameters(study: Study, arm: str) -> int:
    model = model_of(study.setting.task, study.setting.arms[arm], where=study.setting.where, seed=0)
    return sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("goal", [1, 7, 100, 101, 250, 4000])
@pytest.mark.parametrize("start", [1, 16, 100])
def test_the_nearest_width_is_found(goal: int, start: int) -> None:
    def size(width: int) -> int:
        return width * width + 3

    found = equalizing._nearest(size, goal=goal, start=start)
    best = min((abs(size(width) - goal) for width in range(1, 200)), default=math.inf)
    assert abs(size(found) - goal) == best


def test_equal_parameters_by_width() -> None:
    study = studied(wide(), "tanh", "swiglu", "relu@depth=1", "gelu@norm=batch", equal="parameters")
    budget = study.plan.budget
    assert budget is not None
    assert budget.settings["relu"] == budget.settings["tanh"] == 48
    assert budget.settings["swiglu"] < 48 < budget.settings["relu@depth=1"]
    for arm in study.plan.arms:
        assert parameters(study, arm) == budget.amounts[arm]
        assert parameters(study, arm) == pytest.approx(parameters(study, "relu"), rel=0.03)
    (said,) = [each for each in study.plan.sentences() if each.startswith("Equal")]
    assert said.startswith("Equal parameters, by the width of the model: relu 2,594 (width 48), tanh 2,594 (width 48)")


def test_what_repeats_the_control_has_its_width() -> None:
    study = studied(wide(), "relu@width=8#2", "tanh", against="relu@width=8", equal="parameters")
    assert study.plan.budget is not None
    assert study.plan.budget.settings == {"relu@width=8": 8, "relu@width=8#2": 8, "tanh": 8}
    with pytest.raises(BadStudy, match="the arm tanh@width=8 must have no width"):
        studied(wide(), "tanh@width=8", "tanh@width=8#2", equal="parameters")


def test_equal_operations_by_width() -> None:
    study = studied(wide(), "swiglu", equal="flops")
    assert study.plan.budget is not None
    assert study.plan.budget.amounts["relu"] == 2 * (2 * 48 + 48 * 48 + 48 * 2)  # a product and a sum each
    assert study.plan.budget.amounts["swiglu"] == pytest.approx(study.plan.budget.amounts["relu"], rel=0.03)


def test_a_transformer_and_convolutions_are_made_equal() -> None:
    codes = torch.randint(5, (60, 4), generator=torch.Generator().manual_seed(0))
    model = partial(CharacterTransformer, nn.ReLU, characters=5, length=4)
    text = Task("text", model, train=(codes, codes.roll(-1, 1)), epochs=1)
    study = studied(text, "swiglu", equal="parameters")
    assert study.plan.budget is not None
    assert study.plan.budget.settings == {"relu": 128, "swiglu": 85}
    images = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    task = Task("images", partial(cnn, nn.ReLU, channels=1, outputs=2), train=(images, torch.arange(60) % 2), epochs=1)
    study = studied(task, "relu@depth=2", equal="flops")
    assert study.plan.budget is not None
    assert study.plan.budget.settings["relu@depth=2"] > 8


def test_the_width_follows_and_cannot_be_named() -> None:
    assert studied(wide(), "swiglu", against="own@width=24", equal="parameters").plan.budget is not None
    with pytest.raises(BadStudy, match="the arm tanh@width=9 must have no width where parameters are equal"):
        studied(wide(), "tanh@width=9", equal="parameters")


def test_equal_seconds_scale_the_epochs_once() -> None:
    from actlab.study.arm import Arm

    study = studied(ring(epochs=12), Arm("slow", Slow), equal="seconds")
    budget = study.plan.budget
    assert budget is not None
    assert budget.amounts["slow"] > 1.2
    assert budget.settings == equalizing.epochs_of(budget.amounts, epochs=12)
    assert study.setting.task_of(0, arm="slow").epochs == budget.settings["slow"] < 12
    assert study.setting.task_of(0, arm="relu").epochs == study.setting.task_of(0).epochs == 12
    assert any(
        "Equal seconds: the arms train for as long as relu (12 epochs)" in each for each in study.plan.sentences()
    )


def test_a_resumed_study_uses_the_stored_epochs() -> None:
    before = Budget("seconds", {"relu": 1.0, "tanh": 2.0}, {"relu": 4, "tanh": 2})
    with Store(None) as store:
        first = studied(ring(epochs=4), "tanh", equal=before)
        found = run_study(first, store=store, name="ring")
        assert [len(arm.curves[0]) >= least for arm, least in zip(found.arms, (4, 2), strict=True)] == [True, True]
        slower = Budget("seconds", {"relu": 1.0, "tanh": 4.0}, {"relu": 4, "tanh": 1})
        again = run_study(studied(ring(epochs=4), "tanh", equal=slower), store=store, name="ring", resume=True, seeds=3)
        assert again.plan.budget == before
        plan = store.newest_plan("ring")
        assert plan is not None
        assert plan.budget == before
        assert store.newest_plan("another") is None


def test_an_arm_that_repeats_another_one_trains_for_as_many_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy(setting: Setting, rates: Mapping[str, float], *, since: float) -> Cost:
        times = {arm: 1.0 + 0.3 * place for place, arm in enumerate(rates)}
        return Cost(0.0, times, times)

    monkeypatch.setattr(equalizing, "measured_cost", noisy)
    budget = studied(ring(epochs=12), "relu#2", "tanh", "tanh#2", equal="seconds").plan.budget
    assert budget is not None
    assert budget.settings["relu#2"] == budget.settings["relu"] == 12
    assert budget.settings["tanh#2"] == budget.settings["tanh"] < 12
    assert budget.amounts["tanh#2"] == budget.amounts["tanh"]


def test_a_stored_budget_of_other_arms_or_epochs_is_measured_anew() -> None:
    stored = Budget("seconds", {"relu": 1.0, "tanh": 2.0}, {"relu": 4, "tanh": 2})
    assert studied(ring(epochs=4), "tanh", equal="seconds", known=stored).plan.budget == stored
    for other in (
        studied(ring(epochs=4), "silu", equal="seconds", known=stored),
        studied(ring(epochs=5), "tanh", equal="seconds", known=stored),
    ):
        assert other.plan.budget is not None
        assert set(other.plan.budget.settings) == set(other.plan.arms)
        assert other.plan.budget.settings["relu"] == other.setting.task.epochs
    assert studied(ring(epochs=4), "tanh", known=stored).plan.budget is None


def test_a_plan_that_asks_for_nothing_new_has_no_new_field() -> None:
    plain = studied(ring(), "tanh").plan
    assert "budget" not in plain.to_json()
    assert Plan.from_json(plain.to_json()) == plain


@pytest.mark.parametrize(
    ("equal", "message"),
    [
        ("money", "equal must be one of trials, seconds, parameters, flops; got 'money'"),
        ("flops", "equal must be trials or seconds: the model of task 'fixed' does not offer a width; got flops"),
        (Budget("seconds", {"relu": 1.0}, {"relu": 2}), "the budget must name each arm: relu, tanh; got relu"),
        (
            Budget("seconds", {"relu": 1.0, "tanh": 1.0}, {"relu": 9, "tanh": 9}),
            "the budget must give the control, relu, the epochs of the task, 2; got 9",
        ),
        (
            Budget("seconds", {"relu": 1.0, "tanh": 1.0}, {"relu": 2, "tanh": 0}),
            "the budget must have positive numbers",
        ),
    ],
)
def test_other_budgets_are_refused(equal: Any, message: str) -> None:
    fixed = dataclasses.replace(
        ring(), name="fixed", model=lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    )
    with pytest.raises(BadStudy, match=message):
        studied(fixed, "tanh", equal=equal)
