"""Clipped gradients: as PyTorch clips them, and in lanes as alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from actlab.train import plateau
from actlab.train.builtin import builtin_task
from actlab.train.clipping import clip_gradients, clipped
from actlab.train.examples import Examples
from actlab.train.lanes.decide import decide
from actlab.train.lanes.training import Lane, train_lanes
from actlab.train.loop import train
from actlab.train.run import Run
from actlab.train.task import Task


def model(dtype: torch.dtype = torch.float64) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.BatchNorm1d(12), nn.Linear(12, 1)).to(dtype)


def task() -> Task:
    inputs = torch.randn(120, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = Examples(inputs, 3 * inputs[:, :1].sin())
    return Task("clip", model, train=rows, epochs=25, batch_size=18)


def lanes_of(task: Task, *, clip: float | None) -> list[Lane]:
    lanes = []
    for seed in range(2):
        torch.manual_seed(seed)
        built = task.build()
        lanes += [Lane(task, built, rate, seed, clip) for rate in (1e-3, 1e-1)]
    return lanes


def alone(lanes: Sequence[Lane]) -> list[Run]:
    return [
        train(copy.deepcopy(lane.model), lane.task, rate=lane.rate, seed=lane.seed, clip=lane.clip) for lane in lanes
    ]


def gradients_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: each.grad.clone() for name, each in net.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("norm", [1e-3, 0.5, 1e6])
def test_gradients_are_clipped_as_pytorch_clips_them(norm: float) -> None:
    torch.manual_seed(0)
    one, other = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)) for _ in range(2))
    other.load_state_dict(one.state_dict())
    for net in (one, other):
        net(torch.ones(3, 4)).square().sum().backward()
    one[2].bias.grad = other[2].bias.grad = None
    clip_gradients(one.parameters(), norm=norm)
    torch.nn.utils.clip_grad_norm_(other.parameters(), norm)
    assert set(gradients_of(one)) == set(gradients_of(other)) == {"0.weight", "0.bias", "2.weight"}
    for name, gradient in gradients_of(one).items():
        torch.testing.assert_close(gradient, gradients_of(other)[name], rtol=1e-6, atol=0)


def test_each_lane_is_clipped_by_its_own_norm() -> None:
    gradients = {"w": torch.tensor([[[3.0]], [[0.3]]]), "b": torch.tensor([[4.0], [0.4]]), "unused": None}
    found = clipped(gradients, norm=1.0)
    assert found["unused"] is None
    assert found["w"] is not None
    torch.testing.assert_close(found["w"].flatten(), torch.tensor([0.6, 0.3]), rtol=1e-5, atol=0)
    assert clipped({"unused": None}, norm=1.0) == {"unused": None}


def test_lanes_agree_with_the_plain_loop_over_100_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plateau, "MOST", 1)
    lanes = lanes_of(task(), clip=0.1)
    decision = decide(lanes)
    assert "one by one" in decision.reason, decision.reason  # the check of gradients passed; only times decide
    apart = alone(lanes)
    assert apart[0].steps == 100
    for one, other in zip(train_lanes(lanes, fixed=decision.fixed), apart, strict=True):
        for mine, theirs in zip(one.curve, other.curve, strict=True):
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-10)
            assert mine.valid == pytest.approx(theirs.valid, rel=1e-10)


def test_clipping_changes_what_is_learned() -> None:
    short = replace(task(), epochs=1)
    assert alone(lanes_of(short, clip=1e-4)) != alone(lanes_of(short, clip=None))
    # Adam divides by the size of the gradients: a norm that clips none of them changes nothing
    assert alone(lanes_of(short, clip=1e9)) == alone(lanes_of(short, clip=None))


def test_a_classification_has_the_same_scores_in_lanes_and_alone() -> None:
    lanes = lanes_of(replace(builtin_task("breast-cancer"), epochs=3), clip=0.05)
    for one, other in zip(train_lanes(lanes), alone(lanes), strict=True):
        assert [epoch.valid for epoch in one.curve] == [epoch.valid for epoch in other.curve]
        assert (one.best, one.test, one.steps) == (other.best, other.test, other.steps)


def test_a_lane_has_the_same_numbers_in_every_company() -> None:
    inputs = torch.randn(120, 32, generator=torch.Generator().manual_seed(0))
    rows = Examples(inputs, inputs[:, :1].sin())

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    wide = Task("wide", make, train=rows, epochs=2, batch_size=32)
    lanes = lanes_of(wide, clip=0.05)
    assert [run for lane in lanes for run in train_lanes([lane])] == train_lanes(lanes)
    assert train_lanes(lanes[::-1])[::-1] == train_lanes(lanes)
