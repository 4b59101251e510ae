"""Noise in inputs and labels: of the size asked for, the same for every model of a seed, and in lanes as alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from actlab.errors import BadTask
from actlab.train.builtin import builtin_task
from actlab.train.examples import Examples
from actlab.train.input_noise import noise_name, noisy
from actlab.train.lanes.training import Lane, train_lanes
from actlab.train.loop import train
from actlab.train.mlp import mlp
from actlab.train.perturbed import with_input_noise, with_label_noise, with_metrics
from actlab.train.task import Task
from unit.study.small_task import ring

ROWS = Examples(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.0]), None)


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_noise_is_a_share_of_the_deviation_of_each_input(level: float) -> None:
    added = noisy(ROWS, ROWS, level=level, seed=3).inputs - ROWS.inputs
    assert added.std(0).tolist() == pytest.approx([level, 5 * level, 0.0], rel=0.05)
    assert added.mean(0).abs().max() < 0.1 * level * 5


def test_every_level_and_every_call_draw_the_same_noise_from_a_seed() -> None:
    small, large, other = (noisy(ROWS, ROWS, level=level, seed=seed).inputs for level, seed in ((1, 3), (2, 3), (1, 4)))
    torch.testing.assert_close(2 * (small - ROWS.inputs), large - ROWS.inputs)
    assert not torch.equal(small, other)


def test_of_integers_a_share_is_replaced_by_values_of_the_same_column() -> None:
    codes = torch.stack([torch.arange(1000) % 2, 10 + torch.arange(1000) % 50], 1)
    changed = noisy(Examples(codes, None), Examples(codes, None), level=0.3, seed=0).inputs
    # Half of the replaced values of the first column are replaced by what they were.
    assert (changed != codes).double().mean(0).tolist() == pytest.approx([0.15, 0.3], abs=0.04)
    assert changed[:, 0].max() < 2
    assert changed[:, 1].min() >= 10


def test_inputs_of_any_form_get_noise() -> None:
    inputs = {"x": torch.randn(50, 2), "codes": torch.randint(9, (50, 3))}
    changed = noisy(Examples(inputs, torch.arange(50)), Examples(inputs, None), level=1.0, seed=0)
    assert not any(torch.equal(changed.inputs[name], inputs[name]) for name in inputs)
    assert torch.equal(changed.targets, torch.arange(50))


def test_lanes_and_the_plain_loop_judge_the_same_noise() -> None:
    tasks = [with_input_noise(ring(), (0.5, 2.0), seed=seed) for seed in (1, 2)]
    lanes = [
        Lane(task, mlp(nn.Tanh, sizes=(2, 8, 8, 2)), rate, seed)
        for seed, task in enumerate(tasks)
        for rate in (0.003, 0.03)
    ]
    together = train_lanes(lanes)
    alone = [train(_copied(lane.model), lane.task, rate=lane.rate, seed=lane.seed) for lane in lanes]
    assert [run.beside for run in together] == [run.beside for run in alone]
    assert list(together[0].beside) == [noise_name(0.5), noise_name(2.0)]
    assert len({tuple(run.beside.values()) for run in together}) > 1


def _copied(model: nn.Module) -> nn.Module:
    other = mlp(nn.Tanh, sizes=(2, 8, 8, 2))
    other.load_state_dict(model.state_dict())
    return other


def test_more_noise_makes_a_trained_model_worse() -> None:
    task = with_input_noise(builtin_task("breast-cancer"), (0.0, 1.0, 5.0), seed=0)
    torch.manual_seed(0)
    run = train(task.build(nn.ReLU) if task.takes_activation else task.build(), task, rate=3e-3, seed=0)
    none, much, most = run.beside.values()
    assert none == run.test > much > most


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_a_share_of_the_training_and_validation_labels_is_wrong(share: float) -> None:
    task = builtin_task("digits-relu")
    changed = with_label_noise(task, share, seed=5)
    for part in ("train", "valid"):
        before, after = getattr(task, part).targets, getattr(changed, part).targets
        assert int((before != after).sum()) == round(share * len(before))
        assert set(after.tolist()) <= set(range(10))
    assert torch.equal(changed.test.targets, task.test.targets)
    assert torch.equal(with_label_noise(task, share, seed=5).train.targets, changed.train.targets)
    assert share == 0.0 or not torch.equal(with_label_noise(task, share, seed=6).train.targets, changed.train.targets)


def test_labels_of_zero_and_one_are_flipped_and_numbers_are_exchanged() -> None:
    inputs, bits = torch.randn(100, 2), torch.arange(100.0) % 2
    model = partial(mlp, nn.ReLU, sizes=(2, 4, 1))
    binary = with_label_noise(Task("bits", model, train=(inputs, bits), kind="binary"), 0.5, seed=0)
    assert set(binary.train.targets.tolist()) == {0.0, 1.0}
    numbers = Task("numbers", model, train=(inputs, torch.randn(100)))
    changed = with_label_noise(numbers, 0.4, seed=0).train.targets
    assert int((changed != numbers.train.targets).sum()) == round(0.4 * len(changed))
    assert set(changed.tolist()) <= set(numbers.train.targets.tolist())


def test_a_task_without_targets_has_no_label_noise() -> None:
    task = Task(
        "codes", partial(mlp, nn.ReLU, sizes=(3, 4, 3)), train=(torch.randn(60, 3), None), loss=nn.functional.mse_loss
    )
    with pytest.raises(BadTask, match=r"task 'codes': label noise requires targets that are one tensor"):
        with_label_noise(task, 0.1, seed=0)


def test_metrics_that_a_task_has_already_are_not_added_twice() -> None:
    task = builtin_task("breast-cancer")
    once = with_metrics(task, ("brier", "accuracy"))
    assert [metric.name for metric in once.beside].count("Brier score") == 1
    assert with_metrics(once, ("brier",)).beside == once.beside
