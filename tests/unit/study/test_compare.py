"""A whole comparison: reproducible, resumable, honest about what diverges and what does not learn."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actlab.errors import BadInput, BadStudy, UnknownActivation
from actlab.study import lots, runner
from actlab.study.arm import Arm
from actlab.study.compare import compare, prepare
from actlab.study.comparison import Comparison
from actlab.study.lots import LotTrainer, lots_of
from actlab.study.outcome import Outcome
from actlab.study.plan import Look, Trial
from actlab.study.runner import Claim, Crew, Setting, claimed
from actlab.study.store import Store
from actlab.train.builtin import builtin_task
from actlab.train.mlp import mlp
from actlab.train.task import Task

TANH = Arm("tanh", nn.Tanh)


class Exploding(nn.Module):
    """An activation that no network survives."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(torch.exp(40 * x.abs()))


def ring(model: object = partial(mlp, nn.ReLU, sizes=(2, 8, 8, 2))) -> Task:
    inputs = np.random.default_rng(0).normal(size=(120, 2))
    targets = (np.square(inputs).sum(1) > 1.4).astype(int)
    return Task("ring", model, train=(inputs, targets), epochs=4, batch_size=24, rates=(3e-3, 3e-2))


def found(**changes: object) -> Comparison:
    settings = {"candidates": [TANH], "seeds": 6, "budget": 2, **changes}
    return compare(ring(), **settings)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return found()


class CountingRunner:
    """Runs trials here, and counts them."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.trials: list[Trial] = []
        self.stop_after = stop_after

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        yield partial(self._run, setting)

    def _run(self, setting: Setting, trials: Sequence[Trial], claim: Claim) -> Iterator[Outcome]:
        trainer = LotTrainer(setting)
        for lot in claimed(lots_of(trials, jobs=1), claim):
            for outcome in trainer.outcomes(lot):
                if len(self.trials) == self.stop_after:
                    raise KeyboardInterrupt
                self.trials.append(outcome.trial)
                yield outcome

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return ()


def same_numbers(one: Comparison, other: Comparison) -> bool:
    first, second = one.to_json(), other.to_json()
    return {**first, "cost": 0} == {**second, "cost": 0}


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(comparison: Comparison) -> None:
    assert same_numbers(found(), comparison)
    assert found(seed=1).arms[0].tests != comparison.arms[0].tests


def test_two_processes_give_the_numbers_of_one(comparison: Comparison) -> None:
    assert same_numbers(found(jobs=2), comparison)


def test_arms_are_paired_and_every_seed_has_its_own_rate(comparison: Comparison) -> None:
    control, arm = comparison.arms
    assert (control.activation, control.verdict, control.difference) == ("relu", "control", None)
    assert arm.difference is not None
    assert arm.difference.each == tuple(np.subtract(arm.tests, control.tests))
    for one in comparison.arms:
        assert (len(one.tests), len(one.curves), len(one.rates)) == (6, 6, 6)
        assert one.runs == 6 * len(comparison.rates)
        assert set(one.rates) <= set(comparison.rates)
        assert min(one.rates) <= one.rate <= max(one.rates)
        assert all(4 <= len(curve) <= 16 for curve in one.curves)


def test_a_range_of_rates_that_is_too_low_is_extended_for_all_arms() -> None:
    low = replace(ring(), rates=(2e-3, 4e-3), epochs=6)
    extended = compare(low, candidates=[TANH], seeds=3, budget=3)
    assert extended.plan.points[-1] == 4e-3
    assert extended.rates[-1] > 1e-2
    assert {arm.runs for arm in extended.arms} == {3 * len(extended.rates)}
    assert any("so all arms tried" in note for note in extended.notes)


def test_arms_begin_with_the_same_weights() -> None:
    from actlab.study.arm import control_of, model_of

    task = ring()
    control, where = control_of(task)
    one, other = (model_of(task, arm, where=where, seed=3) for arm in (control, TANH))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(model_of(task, TANH, where=where, seed=4).parameters()))


def test_initializing_by_gain_scales_the_same_noise() -> None:
    from actlab.study.arm import control_of, model_of

    task = ring()
    _, where = control_of(task)
    models = [model_of(task, replace(TANH, gain=gain), where=where, seed=3) for gain in (1.0, 2.5)]
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(2.5 * one, other)
    wide = model_of(ring(partial(mlp, nn.ReLU, sizes=(2, 400, 400, 2))), replace(TANH, gain=1.6), where=where, seed=0)
    assert wide[2].weight.std().item() == pytest.approx(1.6 / 20, rel=0.02)
    gains = prepare(task, candidates=["tanh"], seeds=6, budget=1, init="gain").setting.arms
    assert [gains[arm].gain for arm in ("relu", "tanh")] == pytest.approx([2**0.5, 1.59253742])


def test_a_diverging_arm_is_counted_and_scored_as_the_best_constant_answer() -> None:
    found_one = found(candidates=[TANH, Arm("exploding", Exploding)], seeds=7)
    arm = found_one.arms[2]
    assert arm.diverged == arm.runs
    assert set(arm.tests) == {found_one.baseline}
    assert (arm.learned, arm.steps_to_target) == (0, None)
    assert found_one.arms[1].diverged == 0


def test_an_interrupted_study_resumes_where_it_stopped(tmp_path: Path, comparison: Comparison) -> None:
    store = tmp_path / "runs.db"
    with pytest.raises(KeyboardInterrupt):
        found(store=store, runner=CountingRunner(stop_after=7))
    rest = CountingRunner()
    assert same_numbers(found(store=store, resume=True, runner=rest), comparison)
    assert len(rest.trials) == sum(arm.runs for arm in comparison.arms) - 7
    again = CountingRunner()
    assert same_numbers(found(store=store, resume=True, runner=again), comparison)
    assert again.trials == []
    with pytest.raises(BadStudy, match="has another plan"):
        found(store=store, resume=True, budget=3)


def test_the_warning_of_a_resumed_study_is_that_of_the_seeds_it_has(tmp_path: Path) -> None:
    def warnings(seeds: int, **changes: object) -> list[str]:
        notes = found(store=tmp_path / "runs.db", seeds=seeds, **changes).notes
        return [note for note in notes if "can be shown, however clear" in note]

    assert warnings(2) == [
        "With 2 seeds no difference between 2 arms can be shown, however clear; at least 6 are needed."
    ]
    longer = ["With 4 seeds no difference between 2 arms can be shown, however clear; at least 9 are needed."]
    assert warnings(4, resume=True) == longer
    assert warnings(11, resume=True) == []


def test_added_seeds_use_those_that_were_run_and_spend_the_error_that_was_left(
    tmp_path: Path, comparison: Comparison
) -> None:
    store = tmp_path / "runs.db"
    found(store=store)
    rest = CountingRunner()
    longer = found(store=store, resume=True, seeds=9, runner=rest)
    assert {trial.seed for trial in rest.trials} == set(longer.plan.seeds[6:])
    assert (longer.look, [look.alpha for look in longer.plan.looks]) == (1, [0.04, 0.005])
    assert [arm.tests[:6] for arm in longer.arms] == [arm.tests for arm in comparison.arms]
    assert same_numbers(found(store=store, resume=True, seeds=9), longer)
    assert same_numbers(found(store=store, resume=True, seeds=None), longer)
    with pytest.raises(BadStudy, match="has 9 seeds already; got 7"):
        found(store=store, resume=True, seeds=7)


def test_a_second_look_is_taken_only_where_the_first_did_not_settle_it() -> None:
    unsettled = found(seeds=None, looks=(Look(6, 0.001), Look(8, 0.04)))
    assert (unsettled.look, len(unsettled.arms[0].tests)) == (1, 8)
    settled = found(seeds=None, looks=(Look(6, 0.04), Look(8, 0.01)), candidates=[Arm("exploding", Exploding)])
    assert (settled.look, len(settled.arms[0].tests), settled.arms[1].verdict) == (0, 6, "minor")


def test_progress_reports_every_trial_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lots, "SAID_SECONDS", 1e9)
    told: list[tuple[float, int, float | None, str]] = []
    result = found(progress=lambda *news: told.append(news))
    trials = sum(arm.runs for arm in result.arms)
    assert sorted({news[0] for news in told}) == list(range(trials + 1))
    assert (told[0][1], told[-1][1]) == (result.plan.trials, trials)
    assert told[0][2] is None
    assert told[-1][2] == 0
    assert "training: tanh" in {news[3] for news in told}


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_moves_while_runs_train_together(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lots, "SAID_SECONDS", 0.0)
    monkeypatch.setattr(runner, "_pool", ThreadPoolExecutor)  # processes would not have the patch
    told: list[tuple[float, int, float | None, str]] = []
    result = found(progress=lambda *news: told.append(news), runner=runner.LocalRunner(jobs))
    parts = [news for news in told if "runs together" in news[3]]
    assert parts
    assert re.fullmatch(r"training: (relu|tanh), epoch \d+ of \d+ runs together", parts[0][3])
    assert any(news[0] != int(news[0]) for news in parts)
    assert [news[0] for news in told] == sorted(news[0] for news in told)
    assert told[-1][0] == sum(arm.runs for arm in result.arms)


def test_a_comparison_is_plain_json(comparison: Comparison) -> None:
    plain = found(seeds=2).to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert (plain["arms"][1]["difference"]["low"], plain["arms"][1]["difference"]["high"]) == ("-inf", "inf")
    assert {"activation", "valid", "test", "difference", "verdict"} <= set(plain["arms"][0])
    assert any(note.startswith("With 2 seeds no difference") for note in plain["notes"])
    assert comparison.to_json()["verdict"] == comparison.verdict


def test_the_factory_may_take_the_activation() -> None:
    def model(activation: object) -> nn.Module:
        return mlp(activation, sizes=(2, 8, 8, 2))

    taken = compare(replace(ring(model), activation="relu"), candidates=[TANH], seeds=6, budget=2)
    assert [arm.activation for arm in taken.arms] == ["relu", "tanh"]


def test_a_task_that_cannot_be_pickled_runs_here_with_a_note() -> None:
    here = ring(lambda: mlp(nn.ReLU, sizes=(2, 8, 8, 2)))
    notes = compare(here, candidates=[TANH], seeds=2, budget=1, jobs=2).notes
    assert any("cannot be sent to other processes" in note for note in notes)


def test_a_task_that_learns_is_not_called_a_failure() -> None:
    task = replace(builtin_task("breast-cancer"), epochs=4)
    text = compare(task, candidates=["tanh", "gelu"], seeds=7, budget=2).verdict
    assert "does not learn" not in text
    assert "Replace" not in text


FAULTS = {
    "unknown": ({"candidates": ["swsh"]}, UnknownActivation, "no activation is named 'swsh'"),
    "alone": ({"candidates": ["relu"]}, BadStudy, "other than the control, relu; got none"),
    "none": ({"candidates": []}, BadStudy, "other than the control, relu; got none"),
    "seeds": ({"seeds": 1}, BadStudy, "seeds must be at least 2; got 1"),
    "budget": ({"budget": 0}, BadStudy, "budget must be at least 1; got 0"),
    "seed": ({"seed": -1}, BadStudy, "seed must be at least 0; got -1"),
    "init": ({"init": "he"}, BadStudy, "init must be as-is or gain; got 'he'"),
    "splits": ({"splits": "none"}, BadStudy, "splits must be per-seed or fixed; got 'none'"),
    "jobs": ({"jobs": 0}, BadInput, "jobs must be at least 1; got 0"),
    "shape": (
        {"candidates": [Arm("glu", nn.GLU)]},
        BadStudy,
        "the arm glu cannot be trained: task 'ring': the model, given",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_study_that_cannot_be_run_is_refused_before_any_trial(fault: str) -> None:
    changes, kind, message = FAULTS[fault]
    runner = CountingRunner()
    with pytest.raises(kind) as raised:
        found(**({"runner": runner} if fault != "jobs" else {}), **changes)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert runner.trials == []


SCRIPT = """
import sys
from contextlib import contextmanager
from dataclasses import replace
from actlab.study.compare import compare
from actlab.train.builtin import builtin_task

if __name__ == "__main__":
    def told(done, total, left, label):
        if "epoch" not in label:  # that of a trial that has ended
            print(done, flush=True)
    try:
        compare(builtin_task("diabetes"), candidates=["tanh"], jobs=2, store=sys.argv[1], progress=told)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_ctrl_c_ends_at_once_keeps_finished_trials_and_leaves_no_process(tmp_path: Path) -> None:
    script, store = tmp_path / "script.py", tmp_path / "runs.db"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches the whole process group; ours must not be in it
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()) and float(line) < 2:
        pass
    os.killpg(process.pid, signal.SIGINT)
    sent = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert time.monotonic() - sent < 10  # generous for a busy machine; it is a second on an idle one
    with Store(store) as kept:
        assert len(kept.outcomes(1)) >= 2
    assert _is_gone(process.pid)


def _is_gone(group: int) -> bool:
    """Whether no process of the group is left, now or a few seconds later: the orphans are still to be reaped."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
