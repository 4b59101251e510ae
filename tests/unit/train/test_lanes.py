"""Batched lanes: each gives what the plain loop gives, whatever trains beside it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import actlab
from actlab.train import plateau
from actlab.train.builtin import builtin_task
from actlab.train.examples import Examples
from actlab.train.lanes import decide as deciding
from actlab.train.lanes import functions
from actlab.train.lanes.decide import Decision, decide
from actlab.train.lanes.training import Batch, Lane, train_lanes
from actlab.train.loop import train
from actlab.train.run import Run
from actlab.train.task import Task

Make = Callable[[], nn.Module]
ROWS, TOKENS, WIDTH = 120, 4, 8


class Block(nn.Module):
    """A transformer's block."""

    def __init__(self, activation: Make, *, p: float = 0.0) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.attention = nn.MultiheadAttention(WIDTH, 2, dropout=p, batch_first=True)
        self.layers = nn.Sequential(nn.Linear(WIDTH, 16), activation(), nn.Linear(16, WIDTH), nn.Dropout(p))

    def forward(self, x: Tensor) -> Tensor:
        normal = self.norms[0](x)
        x = x + self.attention(normal, normal, normal, need_weights=False)[0]
        return x + self.layers(self.norms[1](x))


class Code(nn.Module):
    """A model that is written with functions, its own parameters and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, 16) / 3)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("mixing", torch.ones(TOKENS, TOKENS).tril() / TOKENS)
        self.unused = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(16)
        self.out = nn.Linear(16, 1)
        self.mish = actlab.functional("mish")

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.mish(self.mixing @ x @ self.weight) * self.scale
        hidden = F.dropout(hidden, 0.2, self.training).mean(1)
        return self.out(self.norm(hidden))


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def flat(*layers: nn.Module, width: int = 16) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(TOKENS * WIDTH, 16), *layers, nn.Linear(width, 1))


def tied() -> nn.Module:
    net = flat(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))
    net[4].weight = net[2].weight
    return net


def frozen() -> nn.Module:
    net = flat(nn.ReLU())
    net[1].weight.requires_grad_(False)
    return net


MODELS: dict[str, Make] = {
    "linear": lambda: flat(nn.ReLU(), nn.Linear(16, 16), nn.Sigmoid()),
    "without biases": lambda: flat(nn.Linear(16, 16, bias=False), nn.Tanh()),
    "batch norm": lambda: flat(nn.BatchNorm1d(16), nn.ReLU()),
    "batch norm of all batches": lambda: flat(nn.BatchNorm1d(16, momentum=None, affine=False), nn.ReLU()),
    "layer norm": lambda: flat(nn.LayerNorm(16), nn.GELU()),
    "dropout": lambda: flat(nn.ReLU(), nn.Dropout(0.3)),
    "convolution": lambda: nn.Sequential(
        nn.Conv1d(TOKENS, 6, 3),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Dropout1d(0.2),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(18, 1),
    ),
    "kernels of a formula": lambda: flat(actlab.module("x*tanh(softplus(x))")),
    "learned by channel": lambda: flat(actlab.module("swish", channels=16)),
    "prelu": lambda: flat(nn.PReLU(16), nn.Linear(16, 16), nn.PReLU()),
    "gated": lambda: flat(actlab.module("swiglu", layout="value_first"), width=8),
    "along an axis": lambda: flat(actlab.module("softmax", dim=1), actlab.module("sparsemax", dim=-1)),
    "few bits": lambda: flat(actlab.nn.FewBit("gelu")),
    "blocks": lambda: nn.Sequential(Block(nn.GELU), Block(lambda: actlab.module("mish")), Mean(), nn.Linear(WIDTH, 1)),
    "blocks with dropout": lambda: nn.Sequential(Block(nn.GELU, p=0.2), Mean(), nn.Linear(WIDTH, 1)),
    "encoder": lambda: nn.Sequential(
        nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.1, batch_first=True), Mean(), nn.Linear(WIDTH, 1)
    ),
    "code": Code,
    "tied": tied,
    "frozen": frozen,
}

# In float32, the loss after 20 steps relative to the plain loop's: products round alike, other layers do not.
AFTER_20_STEPS = {
    "linear": 1e-5, "batch norm": 1e-3, "layer norm": 1e-4, "dropout": 1e-5, "convolution": 1e-3,
    "kernels of a formula": 1e-5, "gated": 1e-5, "blocks": 1e-3, "code": 1e-3,
}  # fmt: skip


def task_of(make: Make, *, dtype: torch.dtype = torch.float32, epochs: int = 5, **settings: Any) -> Task:
    noise = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, TOKENS, WIDTH, generator=noise, dtype=dtype)
    rows = Examples(inputs, inputs[:, :, 0].sum(1, keepdim=True).sin())
    return Task("lanes", lambda: make().to(dtype), train=rows, epochs=epochs, batch_size=18, **settings)


def lanes_of(task: Task, *, seeds: int = 2, rates: Sequence[float] = (1e-3, 1e-2)) -> list[Lane]:
    models = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        models.append(task.build())
    return [Lane(task, models[seed], rate, seed) for seed in range(seeds) for rate in rates]


def alone(lane: Lane) -> Run:
    return train(copy.deepcopy(lane.model), lane.task, rate=lane.rate, seed=lane.seed)


def batched(lanes: Sequence[Lane]) -> list[Run]:
    decision = decide(lanes)
    assert "one by one" in decision.reason, decision.reason
    return train_lanes(lanes, fixed=decision.fixed)


def losses(runs: Sequence[Run]) -> Tensor:
    return torch.tensor([run.curve[-1].loss for run in runs], dtype=torch.float64)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """End every run after the epochs of its task."""
    monkeypatch.setattr(plateau, "MOST", 1)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", MODELS)
def test_lanes_agree_with_the_plain_loop_over_100_steps_in_double_precision(name: str) -> None:
    task = task_of(MODELS[name], dtype=torch.float64, epochs=25)
    lanes = lanes_of(task)
    together, apart = batched(lanes), [alone(lane) for lane in lanes]
    assert all(run.steps == 100 for run in apart)
    for one, other in zip(together, apart, strict=True):
        assert (len(one.curve), one.best, one.still_learning) == (len(other.curve), other.best, other.still_learning)
        for mine, theirs in zip(one.curve, other.curve, strict=True):
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-10)
            assert mine.valid == pytest.approx(theirs.valid, rel=1e-10)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", AFTER_20_STEPS)
def test_lanes_agree_in_single_precision_to_the_tolerance_of_their_layers(name: str) -> None:
    lanes = lanes_of(task_of(MODELS[name]))
    together, apart = batched(lanes), [alone(lane) for lane in lanes]
    torch.testing.assert_close(losses(together), losses(apart), rtol=AFTER_20_STEPS[name], atol=0)


@pytest.mark.parametrize("name", ["linear", "dropout", "layer norm", "gated", "learned by channel"])
def test_a_lane_has_the_same_numbers_bit_for_bit_in_every_company(name: str) -> None:
    lanes = lanes_of(task_of(MODELS[name], epochs=2), seeds=3)
    whole = train_lanes(lanes)
    assert [run for lane in lanes for run in train_lanes([lane])] == whole
    pairs = [lanes[0:2], lanes[2:4], lanes[4:6]]
    assert [run for pair in pairs for run in train_lanes(pair)] == whole
    assert train_lanes(lanes[::-1])[::-1] == whole


@pytest.mark.parametrize("name", ["digits-relu", "breast-cancer"])
def test_a_classification_of_linear_layers_gives_the_same_scores_as_the_plain_loop(name: str) -> None:
    task = replace(builtin_task(name), epochs=3)
    lanes = lanes_of(task, rates=(1e-3, 5e-3))
    for one, other in zip(train_lanes(lanes), [alone(lane) for lane in lanes], strict=True):
        assert [epoch.valid for epoch in one.curve] == [epoch.valid for epoch in other.curve]
        assert (one.best, one.test, one.steps) == (other.best, other.test, other.steps)


def test_a_lane_that_diverges_ends_as_alone_and_harms_no_other() -> None:
    task = task_of(MODELS["linear"], optimizer="sgd", epochs=6)
    tame = lanes_of(task, rates=(1e-3, 1e-2))
    wild = [replace(tame[0], rate=1e30), replace(tame[1], rate=1e12)]
    together = train_lanes([wild[0], *tame, wild[1]])
    assert together[1:-1] == train_lanes(tame)
    for mine, theirs in ((together[0], alone(wild[0])), (together[-1], alone(wild[1]))):
        assert mine.diverged
        assert (mine.valid, mine.test, mine.steps) == (theirs.valid, theirs.test, theirs.steps)
        assert len(mine.curve) == len(theirs.curve)


def test_every_lane_may_have_its_own_rows() -> None:
    task = builtin_task("breast-cancer")
    assert task.can_resplit
    tasks = [replace(task.with_split(number), epochs=2) for number in (1, 2)]
    lanes = [Lane(tasks[number], task.build(), 5e-3, number) for number in (0, 1)]
    for one, other in zip(batched(lanes), [alone(lane) for lane in lanes], strict=True):
        assert [epoch.valid for epoch in one.curve] == [epoch.valid for epoch in other.curve]
        assert one.test == other.test
    assert tasks[0].valid.inputs.shape == tasks[1].valid.inputs.shape
    assert not torch.equal(tasks[0].valid.inputs, tasks[1].valid.inputs)


def test_the_models_are_left_as_they_were() -> None:
    lanes = lanes_of(task_of(MODELS["batch norm"]))
    before = [copy.deepcopy(lane.model.state_dict()) for lane in lanes]
    random = torch.get_rng_state()
    batched(lanes)
    assert torch.equal(torch.get_rng_state(), random)
    for lane, state in zip(lanes, before, strict=True):
        assert all(torch.equal(state[name], each) for name, each in lane.model.state_dict().items())


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) / 100


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Remembers(nn.Module):
    """Adds the mean of the last batch: a state that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        shifted = x + self.last
        self.last = x.detach().mean()
        return shifted


REFUSED = {
    "draws": (lambda: flat(Draws()), "draws random numbers other than dropout"),
    "branches": (lambda: flat(Branches()), "cannot be batched: vmap: .*control flow"),
    "remembers": (lambda: flat(Remembers()), "keeps a tensor of the batch in an attribute"),
    "random slopes": (lambda: flat(actlab.module("rrelu")), "rrelu draws random numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_be_batched_goes_to_the_plain_loop_with_the_reason(name: str) -> None:
    make, reason = REFUSED[name]
    decision = decide(lanes_of(task_of(make)))
    assert not decision.together
    assert re.search(reason, decision.reason), decision.reason
    assert decision.reason.endswith(".")


def test_lanes_of_different_shapes_are_not_batched() -> None:
    lanes = lanes_of(task_of(MODELS["linear"]))
    wider = replace(lanes[-1], model=flat(nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)))
    assert decide([*lanes[:-1], wider]) == Decision(False, "The models differ in structure from seed to seed.")
    fewer = replace(lanes[-1], task=replace(lanes[-1].task, valid=lanes[-1].task.valid.first(9)))
    assert decide([*lanes[:-1], fewer]) == Decision(False, "The valid parts of the data differ in shape.")


def test_wrong_numbers_are_found_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = lanes_of(task_of(MODELS["linear"]))
    right = functions.linear

    def without_gradient(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return right(x, weight.detach() if weight.shape[1] == 1 else weight, bias) + 0 * weight.sum()

    monkeypatch.setattr(functions, "linear", without_gradient)
    assert decide(lanes).reason == "The batched gradient of 5.weight differs from the plain loop's."
    monkeypatch.setattr(functions, "linear", lambda x, weight, bias=None: right(x, weight, bias) * 1.5)
    assert decide(lanes).reason.startswith("The batched loss differs from the plain loop's: ")


def test_the_faster_way_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = lanes_of(task_of(MODELS["linear"]))
    for times, together in (((1.0, 2.0), True), ((1.0, 9.0), False)):
        seconds = iter(times)
        monkeypatch.setattr(deciding, "_median_seconds", lambda step, seconds=seconds: next(seconds))
        assert decide(lanes).together is together


def test_a_batch_gives_the_gradient_of_each_lane_alone() -> None:
    task = task_of(MODELS["code"], dtype=torch.float64)
    lanes = lanes_of(task)
    batch = Batch(lanes, fixed=frozenset({"mixing"}))
    rows = torch.stack([torch.randperm(len(task.train))[:18] for _ in lanes])
    batch.stack.template.eval()  # without dropout
    _, gradients = batch.gradients(rows, number=0)
    for number, lane in enumerate(lanes):
        model = copy.deepcopy(lane.model).eval()
        task.loss(model(task.train.inputs[rows[number]]), task.train.targets[rows[number]]).backward()
        for name, each in model.named_parameters():
            found = gradients[name]
            assert (found is None) == (each.grad is None), name
            if found is not None:
                torch.testing.assert_close(found[number], each.grad, rtol=1e-12, atol=1e-14)
