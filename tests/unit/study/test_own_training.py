"""A comparison on a training loop of the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from actlab.errors import BadStudy
from actlab.study.compare import compare
from actlab.study.store import Store
from actlab.train.task import Task

CURVE = [0.25, 0.5]


def train(*, activation: Callable[[], nn.Module], rate: float, seed: int, budget: int) -> dict[str, Any]:
    """Score the activation at 1: a game that needs no training."""
    if seed % 3 == 0:
        raise ValueError("the game crashed")
    score = activation()(torch.ones(1)).item() - abs(rate - 0.01) + 1e-3 * torch.rand(()).item()
    return {"valid": score, "test": score, "curve": [share * score for share in CURVE], "steps": 2 * budget}


def game(**settings: Any) -> Any:
    return Task.from_training("game", train, baseline=0.0, metric="return", rates=(1e-3, 1e-1), **settings)


def test_a_training_of_the_users_is_compared_and_what_it_raises_is_said(tmp_path: Path) -> None:
    settings = {"candidates": ["tanh", "silu"], "seeds": 9, "budget": 3, "store": tmp_path / "runs.db"}
    found = compare(game(), **settings)
    relu, tanh, _silu = found.arms
    crashed = [seed % 3 == 0 for seed in found.plan.seeds]
    assert 0 < sum(crashed) < 9
    assert [value == 0.0 for value in relu.tests] == crashed
    assert all(rate == 0.01 for rate, failed in zip(relu.rates, crashed, strict=True) if not failed)
    assert tanh.difference is not None
    assert tanh.difference.estimate == pytest.approx(torch.tanh(torch.ones(1)).item() - 1, abs=0.01)
    failed = [note for note in found.notes if "runs of tanh failed" in note]
    assert len(failed) == 1
    assert "the game crashed (test_own_training.py, line " in failed[0]
    assert tanh.diverged == sum(crashed) * len(found.rates)
    assert found.cost.relative_step == {}
    assert "The training of the task has data of its own" in " ".join(found.plan.sentences())
    again = compare(game(), **settings, resume=True)
    assert again.notes == found.notes
    with Store(tmp_path / "runs.db") as store:
        kept = {outcome.message for outcome in store.outcomes(1).values()}
    assert len(kept) == 2


def test_a_training_of_the_users_cannot_be_initialized_for_it() -> None:
    with pytest.raises(BadStudy, match="init must be as-is: task 'game' builds its models itself"):
        compare(game(), candidates=["tanh"], init="gain")
