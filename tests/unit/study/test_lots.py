"""Lots of trials: how they are divided, and that a trial has one result however it is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actlab.errors import BadTask
from actlab.study import lots
from actlab.study.arm import Arm
from actlab.study.compare import prepare
from actlab.study.lots import LARGEST, LotTrainer, carry_out, lots_of
from actlab.study.outcome import Outcome
from actlab.study.plan import Trial
from actlab.study.runner import LocalRunner, Setting, all_of
from actlab.train.builtin import builtin_task
from actlab.train.lanes.training import Finished, Lane


class Draws(nn.Module):
    """A noisy activation, which cannot be batched."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + torch.randn_like(x) / 100)


@pytest.fixture(scope="module")
def setting() -> Setting:
    task = replace(builtin_task("breast-cancer"), epochs=1)
    study = prepare(task, candidates=["tanh", Arm("noisy", Draws)], seeds=3, budget=2)
    return study.setting


def trials(setting: Setting, arm: str) -> list[Trial]:
    return [Trial(arm, point, seed) for point in (0, 1) for seed in setting.plan.seeds]


def scores(outcomes: Sequence[Outcome]) -> dict[Trial, tuple[object, ...]]:
    return {
        each.trial: (each.valid, each.test, each.best, each.steps, [epoch.valid for epoch in each.curve])
        for each in outcomes
    }


def test_a_lot_has_one_arm_and_keeps_seeds_together() -> None:
    mixed = [Trial(arm, point, seed) for point in range(8) for seed in range(10) for arm in ("relu", "tanh")]
    found = lots_of(mixed, jobs=2)
    assert {trial for lot in found for trial in lot} == set(mixed)
    assert [len(lot) for lot in found] == [40, 40, 40, 40]
    assert all(len({trial.arm for trial in lot}) == 1 for lot in found)
    assert all(len({trial.seed for trial in lot}) == 5 for lot in found)


def test_lots_are_neither_too_large_nor_too_small() -> None:
    many = [Trial("relu", point, seed) for point in range(8) for seed in range(50)]
    assert max(len(lot) for lot in lots_of(many, jobs=1)) <= LARGEST
    few = [Trial("relu", point, 0) for point in range(8)]
    assert [len(lot) for lot in lots_of(few, jobs=4)] == [8]
    assert lots_of([], jobs=2) == []
    uneven = [*few, *(Trial("tanh", point, seed) for point in range(8) for seed in range(3))]
    assert [len(lot) for lot in lots_of(uneven, jobs=1)] == [24, 8]


def test_a_trial_has_one_result_in_a_lot_in_another_lot_and_alone(setting: Setting) -> None:
    wanted = trials(setting, "tanh")
    whole = list(LotTrainer(setting).outcomes(wanted))
    assert {each.trial for each in whole} == set(wanted)
    parts = [each for part in (wanted[:1], wanted[1:4], wanted[4:]) for each in LotTrainer(setting).outcomes(part)]
    strip = [replace(each, seconds=0.0) for each in sorted(whole, key=lambda each: wanted.index(each.trial))]
    assert [replace(each, seconds=0.0) for each in sorted(parts, key=lambda each: wanted.index(each.trial))] == strip
    assert scores(whole) == scores([carry_out(setting, trial) for trial in wanted])
    assert all(each.seconds > 0 for each in whole)


def test_what_cannot_be_batched_runs_one_by_one_and_the_reason_is_noted(setting: Setting) -> None:
    wanted = trials(setting, "noisy")
    runner = LocalRunner()
    with runner.crew(setting) as crew:
        found = list(crew(wanted, all_of))
    assert scores(found) == scores([carry_out(setting, trial) for trial in wanted])
    note = "The runs of noisy trained one by one: The model draws random numbers other than dropout."
    assert runner.notes(setting) == (note,)


def test_an_arm_is_tried_once(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, wanted = LotTrainer(setting), trials(setting, "tanh")
    first = list(trainer.outcomes(wanted[:2]))
    monkeypatch.setattr(lots, "decide", None)
    assert len(first + list(trainer.outcomes(wanted[2:]))) == len(wanted)


def test_trials_that_stop_together_go_on_one_by_one(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    right = lots.each_run

    def stopping(lanes: Sequence[Lane], **settings: object) -> Iterator[Finished]:
        yield next(right(lanes, **settings))  # type: ignore[arg-type]  # as it is called
        raise BadTask("task 'breast-cancer': the model raised ValueError: tired.")

    monkeypatch.setattr(lots, "each_run", stopping)
    trainer, wanted = LotTrainer(setting), trials(setting, "tanh")
    found = list(trainer.outcomes(wanted))
    assert scores(found) == scores([carry_out(setting, trial) for trial in wanted])
    assert not trainer.decisions["tanh"].together
    assert "tired" in trainer.decisions["tanh"].reason


LEAN = """
import sys
from actlab.study.compare import compare
from actlab.train.builtin import builtin_task
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    task = replace(builtin_task("diabetes"), epochs=1)
    compare(task, candidates=["mish"], seeds=2, budget=1, splits="fixed")
    print(sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


def test_a_study_does_not_import_the_compiler(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(LEAN, encoding="utf-8")
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=200)
    assert found.stdout.strip() == "[]"
