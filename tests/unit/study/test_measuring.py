"""What is measured on request: chosen, stored in the plan, applied to each seed alike, and shown with intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from actlab.errors import BadStudy
from actlab.report.paper import caption
from actlab.study.advise import study_of
from actlab.study.archive import comparison_of, study_named
from actlab.study.compare import compare, prepare
from actlab.study.lots import LotTrainer, carry_out
from actlab.study.measured import measured_on_request, shown_difference
from actlab.study.measuring import CALIBRATED, LEVELS, MEASURES, NOTHING_MORE, Measuring, measuring_of
from actlab.study.options import AdviseOptions
from actlab.study.outcome import Outcome
from actlab.study.plan import Plan, Trial
from actlab.study.plan_file import read_plan, write_plan
from actlab.study.store import Store
from actlab.train.kinds import ACCURACY
from actlab.train.loop import Epoch
from actlab.train.mlp import mlp
from actlab.train.own_training import OwnTraining
from actlab.train.task import Task
from unit.study.small_task import ring

ALL = measuring_of(ring(), measure=["all"])[0]


def numbers() -> Task:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    return Task("numbers", partial(mlp, nn.ReLU, sizes=(2, 4, 1)), train=(rows, rows.sum(1)), epochs=1)


def own() -> OwnTraining:
    return OwnTraining("game", lambda activation, rate, seed, budget: 1.0, baseline=0.0)


def test_all_is_everything_and_levels_or_watts_ask_for_what_they_are_about() -> None:
    assert (ALL.measures, ALL.noise_levels) == (MEASURES, LEVELS)
    assert measuring_of(ring(), noise_levels=(0.5,))[0] == Measuring(("noise",), (0.5,))
    assert measuring_of(ring(), watts=65.0)[0].measures == ("energy",)
    assert measuring_of(ring())[0] == NOTHING_MORE


def test_all_leaves_out_what_the_task_does_not_allow_and_says_so() -> None:
    found, notes = measuring_of(numbers(), measure=["all"])
    assert found.measures == ("noise", "cost", "energy")
    assert notes == ("Not measured: calibration requires classes; 'numbers' is judged by root mean square error.",)
    found, notes = measuring_of(own(), measure=["all"])
    assert (found.measures, len(notes)) == ((), 4)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"measure": ["speed"]}, "measure must be of noise, calibration, cost, energy, or all; got 'speed'"),
        ({"measure": ["noise", "speed"]}, "got 'speed'"),
        ({"noise_levels": (1.0, 0.5)}, "noise levels must be positive and increasing, such as 0.1,0.3,1; got 1, 0.5"),
        ({"noise_levels": (-1.0,)}, "got -1"),
        ({"noise_levels": (math.nan,)}, "got nan"),
        ({"target": float("nan")}, "the target metric must be a finite number; got nan"),
        ({"label_noise": 1.0}, "label noise must be at least 0 and below 1; got 1"),
        ({"label_noise": math.nan}, "got nan"),
        ({"watts": 0.0}, "watts must be positive; got 0"),
    ],
)
def test_impossible_values_are_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(BadStudy) as raised:
        measuring_of(ring(), **asked)
    assert message in str(raised.value)


def test_what_a_task_does_not_allow_is_refused_where_it_is_named() -> None:
    with pytest.raises(BadStudy, match="measure: calibration requires classes; 'numbers' is judged by"):
        measuring_of(numbers(), measure=["calibration"])
    with pytest.raises(BadStudy, match="measure: noise requires models and data of the task; 'game' trains itself"):
        measuring_of(own(), measure=["noise"])
    with pytest.raises(BadStudy, match="label noise requires training data of the task; 'game' trains itself"):
        measuring_of(own(), label_noise=0.1)


def test_a_plan_that_measures_nothing_more_has_the_digest_that_it_had() -> None:
    plan = prepare(ring(), candidates=["tanh"], seeds=2, budget=1).plan
    assert "measuring" not in plan.to_json()
    more = replace(plan, measuring=ALL)
    assert more.digest() != plan.digest()
    assert Plan.from_json(more.to_json()) == more
    assert Plan.from_json(plan.to_json()) == plan
    with pytest.raises(BadStudy, match="another version"):
        Plan.from_json({**plan.to_json(), "measuring": {"unknown": 1}})


def test_a_plan_file_holds_what_is_measured(tmp_path: Path) -> None:
    asked = AdviseOptions(activations=["tanh"], seeds=2, budget=1, measure=["noise"], label_noise=0.25, watts=65.0)
    study = study_of(ring(), asked)
    text = write_plan(study, control="relu", candidates=("tanh",), parameters={}, folder=tmp_path)
    (tmp_path / "plan.toml").write_text(text)
    assert read_plan(tmp_path / "plan.toml").measuring == study.plan.measuring
    (tmp_path / "bad.toml").write_text(text.replace("label_noise = 0.25", "label_nois = 0.25"))
    with pytest.raises(BadStudy, match=r"unknown field 'measuring\.label_nois'"):
        read_plan(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text(text.replace("label_noise = 0.25", "label_noise = 7.0"))
    with pytest.raises(BadStudy, match="label noise must be at least 0"):
        read_plan(tmp_path / "bad.toml")


@pytest.mark.parametrize("splits", ["fixed", "per-seed"])
def test_a_trial_in_a_lot_measures_what_it_measures_alone(splits: str) -> None:
    study = prepare(
        ring(), candidates=["tanh"], seeds=4, budget=2, splits=splits, measuring=replace(ALL, label_noise=0.2)
    )
    trials = [Trial("tanh", point, seed) for seed in study.plan.seeds for point in (0, 1)]
    together = {each.trial: each for each in LotTrainer(study.setting).outcomes(trials)}
    for trial in trials:
        alone = carry_out(study.setting, trial)
        assert alone.beside == pytest.approx(together[trial].beside)
        assert len(alone.beside) == 3 + len(LEVELS)
        assert (alone.test, alone.curve[0].valid) == pytest.approx(
            (together[trial].test, together[trial].curve[0].valid)
        )


def test_all_arms_of_a_seed_have_the_same_noise_and_seeds_have_others() -> None:
    study = prepare(
        ring(), candidates=["tanh"], seeds=2, budget=1, splits="fixed", measuring=replace(ALL, label_noise=0.2)
    )
    first, again, other = (study.setting.task_of(seed) for seed in (*study.plan.seeds[:1] * 2, study.plan.seeds[1]))
    assert torch.equal(first.train.targets, again.train.targets)
    assert not torch.equal(first.train.targets, other.train.targets)
    noisy = [dict(task.noise.parts(task.test, task.train)) for task in (first, again, other)]
    for name in noisy[0]:
        assert torch.equal(noisy[0][name].inputs, noisy[1][name].inputs)
        assert not torch.equal(noisy[0][name].inputs, noisy[2][name].inputs)


def outcome(arm: str, seed: int, test: float, **beside: float) -> Outcome:
    diverged = not beside
    return Outcome(Trial(arm, 0, seed), 0.1, test, test, diverged, False, 1, 8, (Epoch(1.0, test),), 0.1, beside=beside)


def test_the_differences_are_paired_and_a_run_that_diverged_is_kept_as_a_constant_prediction() -> None:
    name = "with input noise 0.3"
    runs = {
        "relu": [outcome("relu", seed, 90.0 + seed, **{name: 80.0 + seed}) for seed in range(6)],
        "tanh": [outcome("tanh", seed, 91.0 + seed, **{name: 82.0 + 2 * seed}) for seed in range(5)]
        + [outcome("tanh", 5, 50.0)],
    }
    clean, noisy = measured_on_request(runs, metric=ACCURACY, measuring=Measuring(("noise",), (0.3,)))
    assert (clean.level, noisy.level) == (0.0, 0.3)
    assert noisy.arms[0].difference is None
    assert clean.arms[1].difference is None  # the verdict has it, with another interval
    assert noisy.arms[1].values == (82.0, 84.0, 86.0, 88.0, 90.0, 50.0)
    difference = noisy.arms[1].difference
    assert difference is not None
    assert difference.mean == pytest.approx((2 + 3 + 4 + 5 + 6 - 35) / 6)
    assert (difference.low, difference.high, difference.pairs) == (-35.0, 6.0, 6)
    assert (noisy.arms[0].change, clean.arms[1].change) == (-10.0, None)
    change = noisy.arms[1].change_difference
    assert change is not None
    # tanh loses 9, 8, 7, 6 and 5 with the first five seeds, and nothing in the run that diverged; relu always loses 10.
    assert (change.low, change.high) == (1.0, 10.0)
    assert change.mean == pytest.approx((1 + 2 + 3 + 4 + 5 + 10) / 6)


def test_calibration_leaves_out_the_pairs_of_a_run_that_diverged() -> None:
    scores = {"cross-entropy": 0.5, "Brier score": 0.2, "expected calibration error": 3.0}
    runs = {
        "relu": [outcome("relu", seed, 90.0, **scores) for seed in range(3)],
        "tanh": [outcome("tanh", 0, 10.0), *(outcome("tanh", seed, 90.0, **scores) for seed in (1, 2))],
    }
    entropy, _, error = measured_on_request(runs, metric=ACCURACY, measuring=Measuring((CALIBRATED,)))
    assert entropy.arms[1].values == (None, 0.5, 0.5)
    assert error.arms[1].difference is not None
    assert (error.arms[1].mean, error.arms[1].difference.pairs) == (3.0, 2)
    assert shown_difference([None, 1.0], [1.0, None]) is None


def test_a_comparison_measures_everything_and_its_report_survives_the_store(tmp_path: Path) -> None:
    measuring = replace(ALL, target=1.0)
    found = compare(ring(), candidates=["tanh"], seeds=2, budget=1, store=tmp_path / "runs.db", measuring=measuring)
    assert [each.level for each in found.measured] == [0.0, *LEVELS, None, None, None]
    assert found.measured[0].arms[1].values == found.arms[1].tests
    assert found.arms[0].beside == {}
    relu, cost = found.arms[0], found.cost
    assert cost.seconds_to_target["relu"] == pytest.approx(relu.steps_to_target * cost.step_seconds["relu"])
    assert [each.arm for each in found.cost.arms] == ["relu", "tanh"]
    assert {each.step.kind for each in found.cost.energy} <= {"measured", "unavailable"}
    with Store(tmp_path / "runs.db") as store:
        again = comparison_of(store, study_named(store))
    assert (again.measured, again.cost, again.target_sentence) == (found.measured, found.cost, found.target_sentence)
    assert set(found.to_json()["cost"]["fronts"]) == {"step time", "operations"}


def test_wrong_labels_are_said_with_the_plan_and_with_the_result() -> None:
    found = compare(ring(), candidates=["tanh"], seeds=2, budget=1, measuring=Measuring(label_noise=0.2))
    sentence = (
        "With each seed, 20 % of the training and validation labels are wrong, the same for all arms; the test labels"
        " stay as they are."
    )
    assert sentence in found.notes
    assert sentence in found.plan.sentences()
    assert sentence in caption(found)


def test_without_a_request_nothing_more_is_measured() -> None:
    found = compare(ring(), candidates=["tanh"], seeds=2, budget=1)
    assert (found.measured, found.cost.arms, found.cost.energy, found.is_measured) == ((), (), (), False)
    assert list(found.fronts) == ["step time"]


def test_resuming_refuses_another_noise(tmp_path: Path) -> None:
    asked = {"candidates": ["tanh"], "seeds": 2, "budget": 1, "store": tmp_path / "runs.db"}
    compare(ring(), **asked, measuring=Measuring(label_noise=0.2))
    with pytest.raises(BadStudy, match="has another plan \\(measuring: "):
        compare(ring(), **asked, resume=True)
    compare(ring(), **asked, measuring=Measuring(label_noise=0.2), resume=True)
