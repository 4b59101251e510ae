"""The fused optimizers: the numbers of `torch.optim`, for one model and for many rates at once."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from actlab.train.fused import LaneOptimizer, OneModel, optimizer_of, update_of
from actlab.train.task import OPTIMIZERS

STEPS = 6


def weights(lanes: int, seed: int = 0) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(lanes, *shape, generator=noise) for name, shape in (("w", (5, 3)), ("b", (5,)), ("u", (2,)))
    }


def gradients(number: int, lanes: int) -> dict[str, torch.Tensor | None]:
    found: dict[str, torch.Tensor | None] = {**weights(lanes, seed=100 + number)}
    found["u"] = None  # a parameter that is not used
    return found


def by_torch(make: object, values: dict[str, torch.Tensor], *, lane: int, rate: float) -> dict[str, torch.Tensor]:
    own = {name: nn.Parameter(each[lane].clone()) for name, each in values.items()}
    optimizer = make(own.values(), lr=rate)  # type: ignore[operator]  # one of the optimizers
    for number in range(STEPS):
        for name, each in gradients(number, len(values["w"])).items():
            own[name].grad = None if each is None else each[lane].clone()
        optimizer.step()
    return own


@pytest.mark.parametrize("name", [*OPTIMIZERS, "nesterov", "decay"])
def test_every_lane_gets_the_numbers_of_torch_optim(name: str) -> None:
    own = {
        "nesterov": partial(torch.optim.SGD, momentum=0.8, nesterov=True, weight_decay=0.1, fused=True),
        "decay": partial(torch.optim.Adam, weight_decay=0.1, betas=(0.8, 0.9), eps=1e-4, fused=True),
    }
    make = {**OPTIMIZERS, **own}[name]
    rates = [0.1, 0.1, 0.02]
    values = weights(3)
    start = {name: each.clone() for name, each in values.items()}
    optimizer = LaneOptimizer(make, values, rates=rates)
    for number in range(STEPS):
        optimizer.step(gradients(number, 3))
    for lane, rate in enumerate(rates):
        for key, wanted in by_torch(make, start, lane=lane, rate=rate).items():
            assert torch.equal(values[key][lane], wanted), key


def test_lanes_that_are_kept_go_on_as_before() -> None:
    rates = [0.1, 0.1, 0.02]
    values = weights(3)
    start = {name: each.clone() for name, each in values.items()}
    optimizer = LaneOptimizer(OPTIMIZERS["adam"], values, rates=rates)
    for number in range(STEPS):
        if number == 2:
            left = torch.tensor([1, 2])
            values = {name: each[left] for name, each in values.items()}
            optimizer.keep(left, values)
        found = gradients(number, 3)
        optimizer.step(
            found
            if number < 2
            else {name: None if each is None else each[1:].contiguous() for name, each in found.items()}
        )
    for place, lane in enumerate((1, 2)):
        for key, wanted in by_torch(OPTIMIZERS["adam"], start, lane=lane, rate=rates[lane]).items():
            assert torch.equal(values[key][place], wanted)


def test_a_gradient_in_another_memory_layout_is_read_by_its_values() -> None:
    values = {"w": torch.zeros(2, 4, 3)}
    LaneOptimizer(OPTIMIZERS["sgd"], values, rates=[1.0, 1.0]).step({
        "w": torch.arange(24.0).view(2, 3, 4).transpose(1, 2)
    })  # fmt: skip
    assert torch.equal(values["w"], -torch.arange(24.0).view(2, 3, 4).transpose(1, 2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_model_trains_as_with_torch_optim(name: str) -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(one.state_dict())
    by_kernels = optimizer_of(OPTIMIZERS[name], one, rate=0.05)
    assert isinstance(by_kernels, OneModel)
    by_object = OPTIMIZERS[name](other.parameters(), lr=0.05)
    inputs = torch.randn(7, 3)
    for _ in range(STEPS):
        for model, optimizer in ((one, by_kernels), (other, by_object)):
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_an_optimizer_without_kernels_here_is_pytorchs_own() -> None:
    for make in (torch.optim.RMSprop, partial(torch.optim.Adam, amsgrad=True)):
        assert update_of(make) is None
        assert isinstance(optimizer_of(make, nn.Linear(1, 1), rate=0.1), torch.optim.Optimizer)
