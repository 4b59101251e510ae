"""A repair computes on one number of threads, and leaves the user's as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actlab.remedy import threads
from actlab.remedy.programs import training_of
from actlab.remedy.threads import suited_threads
from actlab.train.task import Task


def training(model=lambda: nn.Linear(4, 2)):
    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2
    return training_of(Task("few", model, train=rows), origin=None)


@pytest.mark.parametrize(("alone", "together", "used"), [(1.0, 0.5, 2), (1.0, 0.9, 1), (float("inf"),) * 2 + (1,)])
def test_more_threads_are_used_if_they_are_clearly_faster(monkeypatch, alone, together, used) -> None:
    numbers: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    times = iter([alone, together])
    monkeypatch.setattr(threads, "_seconds", lambda _: next(times))
    with suited_threads(training()):
        assert numbers[-1] == used
    assert numbers[-1] == 2


def test_the_number_of_threads_and_the_random_state_stay() -> None:
    random, before = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with suited_threads(training()):
            pass
        with pytest.raises(KeyError), suited_threads(training()):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(random, torch.get_rng_state())
