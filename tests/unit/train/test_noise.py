"""Dropout's noise: a function of seed, step and call, the same however a model is run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.train.noise import EVALUATION, PlainNoise, Stream, dropout


def scales(seed: int = 1, *, step: int = 0, calls: int = 1, phase: int = 0, shape: tuple[int, ...] = (7, 5)) -> Tensor:
    stream = Stream([seed])
    stream.begin(step, phase=phase)
    for _ in range(calls):
        found = stream.scales(shape, p=0.4, dtype=torch.float32)
    return found[0]


def test_noise_depends_on_seed_step_call_and_phase_alone() -> None:
    first = scales()
    assert torch.equal(first, scales())
    others = [scales(2), scales(step=1), scales(calls=2), scales(phase=EVALUATION)]
    for number, one in enumerate([first, *others]):
        assert all(not torch.equal(one, other) for other in [first, *others][number + 1 :])


def test_the_stream_is_that_of_philox() -> None:
    words = np.random.Philox(key=[1, 0], counter=[0, 0, 2, 9]).random_raw(2)
    halves = [int(half) for word in words for half in (word & 0xFFFFFFFF, word >> np.uint64(32))]
    # A half above 2^31 is a negative integer of 32 bits, below every other.
    signed = [half - 2**32 if half >= 2**31 else half for half in halves]
    kept = scales(step=9, calls=3, shape=(4,)) > 0
    assert kept.tolist() == [half >= 0.4 * 2**32 - 2**31 for half in signed]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_of_p_is_dropped_and_the_mean_stays(p: float) -> None:
    found = Stream([3]).scales((1000, 100), p=p, dtype=torch.float64)
    deviation = (p * (1 - p) / 100_000) ** 0.5
    assert abs((found == 0).double().mean().item() - p) < 4 * deviation
    assert set(found.unique().tolist()) == {0.0, 1.0 / (1.0 - p)}


def test_seeds_share_a_call_and_equal_seeds_share_their_noise() -> None:
    found = Stream([5, 2, 5]).scales((6, 4), p=0.5, dtype=torch.float32)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[1], Stream([2]).scales((6, 4), p=0.5, dtype=torch.float32)[0])


def test_everything_is_dropped_at_1_and_nothing_at_0() -> None:
    x = torch.ones(1, 4, 3)
    assert dropout(x, Stream([0]), p=1.0).eq(0).all()
    assert dropout(x, Stream([0]), p=0.0) is x
    with pytest.raises(ValueError, match="between 0 and 1"):
        dropout(x, Stream([0]), p=1.5)


class Calls(nn.Module):
    """Applies a function in training mode."""

    def __init__(self, function: Callable[[Tensor, bool], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.training)


def attended(x: Tensor, training: bool) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5 if training else 0.0)


FORMS = {
    "nn.Dropout": lambda: nn.Dropout(0.5),
    "nn.Dropout1d": lambda: nn.Dropout1d(0.5),
    "F.dropout": lambda: Calls(lambda x, training: F.dropout(x, 0.5, training)),
    "F.dropout in place": lambda: Calls(lambda x, training: F.dropout(x.clone(), 0.5, training, True)),
    "torch.dropout": lambda: Calls(lambda x, training: torch.dropout(x, 0.5, training)),
    "attention": lambda: Calls(attended),
    "encoder": lambda: nn.TransformerEncoderLayer(4, 2, 8, 0.5, batch_first=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_dropout_draws_from_the_stream_alone(form: str) -> None:
    model = FORMS[form]()
    x = torch.randn(3, 6, 4)
    noise = PlainNoise(model, 7)
    before = torch.get_rng_state()
    first, again, next_step = (noise.apply(model, x, step=step) for step in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, next_step)
    model.eval()
    assert torch.equal(noise.apply(model, x, step=0), noise.apply(model, x, step=1))


def test_channels_are_dropped_as_one() -> None:
    model = nn.Dropout2d(0.5)
    found = PlainNoise(model, 0).apply(model, torch.ones(4, 8, 3, 3), step=0).flatten(2)
    assert found.eq(found[:, :, :1]).all()
    assert {0.0, 2.0} == set(found.unique().tolist())


def test_a_model_without_dropout_is_called_without_a_mode_after_its_first_step() -> None:
    model = nn.Linear(3, 2)
    noise = PlainNoise(model, 0)
    noise.apply(model, torch.ones(1, 3), step=0)
    assert not noise.wanted
