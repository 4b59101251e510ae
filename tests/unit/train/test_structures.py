"""Tasks of any form: several inputs, outputs in tuples and dicts, several labels, masks, texts, no targets."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.errors import BadTask
from actlab.study.compare import compare
from actlab.train import evaluate
from actlab.train.evaluate import outputs_on
from actlab.train.examples import Examples
from actlab.train.judge import judged
from actlab.train.loop import train
from actlab.train.task import Task
from actlab.train.tree import joined, leaves, mapped

ROWS = 60
NOISE = torch.Generator().manual_seed(0)
INPUTS = torch.randn(ROWS, 6, generator=NOISE)
CLASSES = torch.arange(ROWS) % 3
TOKENS = torch.randint(5, (ROWS, 7), generator=NOISE)
IMAGES = torch.randn(ROWS, 1, 8, 8, generator=NOISE)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(6, 8), nn.Linear(6, 8)
        self.act, self.last = nn.ReLU(), nn.Linear(8, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.last(self.act(self.one(a) + self.other(b)))


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
        self.decoder = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logarithm = self.encoder(x).chunk(2, 1)
        code = mean + torch.randn_like(mean) * (logarithm / 2).exp() if self.training else mean
        return self.decoder(code), mean, logarithm


def elbo(outputs: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> Tensor:
    rebuilt, mean, logarithm = outputs
    divergence = (mean.square() + logarithm.exp() - 1 - logarithm).sum(1).mean() / 2
    return (rebuilt - targets).square().sum(1).mean() + divergence


@dataclass
class Heads:
    logits: Tensor
    number: Tensor


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.logits, self.number = nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Heads:
        hidden = self.body(x)
        return Heads(self.logits(hidden), self.number(hidden))


def both(outputs: Heads, targets: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(outputs.logits, targets["kind"]) + F.mse_loss(outputs.number[:, 0], targets["size"])


def share_right(outputs: Heads, targets: dict[str, Tensor]) -> float:
    return float((outputs.logits.argmax(1) == targets["kind"]).double().mean())


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.hidden = nn.Embedding(5, 8), nn.Linear(8, 8)
        self.act, self.last = nn.ReLU(), nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.act(self.hidden(self.rows(tokens))))


def masks(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, outputs, 1))


def gaussian(outputs: Tensor, targets: Tensor) -> Tensor:
    mean, logarithm = outputs.unbind(1)
    return ((targets - mean).square() * (-logarithm).exp() + logarithm).mean()


def hidden(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, outputs))


TASKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "arguments": ({"model": TwoInputs, "train": ((INPUTS, INPUTS + 1), CLASSES)}, "classification", "accuracy"),
    "keywords": ({"model": TwoInputs, "train": ({"b": INPUTS, "a": INPUTS}, CLASSES)}, "classification", "accuracy"),
    "autoencoder": ({"model": Vae, "train": (INPUTS, None), "loss": elbo}, "loss alone", "loss"),
    "two heads": (
        {"model": TwoHeads, "train": (INPUTS, {"kind": CLASSES, "size": INPUTS[:, 0]}), "loss": both},
        "loss alone",
        "loss",
    ),
    "two heads, own metric": (
        {
            "model": TwoHeads,
            "train": (INPUTS, {"kind": CLASSES, "size": INPUTS[:, 0]}),
            "loss": both,
            "metric": share_right,
        },
        "loss alone",
        "share right",
    ),
    "labels": (
        {"model": lambda: hidden(4), "train": (INPUTS, (INPUTS[:, :4] > 0).long())},
        "binary",
        "accuracy",
    ),
    "language": ({"model": Language, "train": (TOKENS, TOKENS.roll(-1, 1))}, "classification", "accuracy"),
    "perplexity": (
        {"model": Language, "train": (TOKENS, TOKENS.roll(-1, 1)), "metric": "perplexity"},
        "classification",
        "perplexity",
    ),
    "masks of classes": (
        {"model": lambda: masks(3), "train": (IMAGES, (IMAGES[:, 0] > 0).long() + (IMAGES[:, 0] > 1)), "metric": "iou"},
        "classification",
        "intersection over union",
    ),
    "masks": (
        {"model": lambda: masks(1), "train": (IMAGES, (IMAGES > 0).long()), "metric": "dice"},
        "binary",
        "Dice coefficient",
    ),
    "mean and variance": (
        {"model": lambda: hidden(2), "train": (INPUTS, INPUTS[:, 0]), "loss": gaussian},
        "loss alone",
        "loss",
    ),
}


def task_of(name: str) -> Task:
    return Task(name, **TASKS[name][0], epochs=2, batch_size=16)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_of_any_form_is_built_trained_and_judged(name: str) -> None:
    task = task_of(name)
    assert (task.kind.name, task.metric.name) == TASKS[name][1:]
    model = task.build()
    run = train(model, task, rate=1e-2, seed=0)
    assert not run.diverged
    assert np.isfinite([run.valid, run.test, task.baseline(task.test), task.region(run.test)]).all()
    assert next(iter(judged(model, task, task.test)[0].values())) == pytest.approx(run.test)
    assert train(task.build(), task, rate=1e-2, seed=0).curve[0].loss != run.curve[-1].loss
    other = task.with_split(3)
    assert len(other.test) == len(task.test) == 12
    assert len({task.fingerprint(), other.fingerprint(), task.with_split(0).fingerprint()}) == 2
    assert set(task.contents()) >= {"the data", "the metric"}


@pytest.mark.parametrize("name", ["keywords", "autoencoder", "two heads, own metric", "language", "masks"])
def test_activations_of_such_models_are_compared(name: str) -> None:
    found = compare(task_of(name), candidates=["tanh"], seeds=2, budget=1)
    assert [arm.activation for arm in found.arms] == ["relu", "tanh"]
    assert all(np.isfinite(arm.tests).all() for arm in found.arms)


def test_why_the_loss_judges_is_said() -> None:
    assert "The outputs are a tuple of 3 entries, so this is judged by its own loss" in task_of("autoencoder").notes[0]
    assert "The outputs are a value of type Heads" in task_of("two heads").notes[0]
    assert "judged by its own loss" in task_of("mean and variance").notes[0]


def test_the_baseline_of_a_loss_is_that_of_an_untrained_model() -> None:
    task = task_of("autoencoder")
    assert task.baseline(task.test) == task.baseline(task.test) > 0
    assert task.baseline_name == "an untrained model"
    run = train(task.build(), task, rate=1e-2, seed=0)
    assert run.test < task.baseline(task.test)


def test_what_has_no_target_is_compared_with_its_inputs() -> None:
    task = task_of("autoencoder")
    assert all(part.targets is part.inputs for part in (task.train, task.valid, task.test, task.with_split(1).train))


def test_outputs_are_joined_row_by_row_or_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    part = Examples(INPUTS, CLASSES)
    for model in (TwoHeads(), Vae(), WithDistribution()):
        whole = outputs_on(model, part, task="t")
        with monkeypatch.context() as small:
            small.setattr(evaluate, "ROWS_AT_ONCE", 7)
            pieces = outputs_on(model, part, task="t")
        assert type(pieces) is type(whole)
        for one, other in zip(leaves(pieces), leaves(whole), strict=True):
            if isinstance(one, Tensor):
                assert torch.allclose(one, other, atol=1e-6)
            else:
                assert torch.allclose(one.mean, other.mean)
                assert len(one.mean) == ROWS


class WithDistribution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> torch.distributions.Distribution:
        return torch.distributions.Normal(self.linear(x), 1.0)


def test_trees_keep_their_form() -> None:
    tree = {"a": Heads(torch.ones(2), torch.zeros(2, 1)), "b": [None, (torch.ones(2),)]}
    twice = joined([tree, tree])
    assert isinstance(twice["a"], Heads)
    assert (twice["a"].number.shape, twice["b"][0], len(twice["b"][1][0])) == ((4, 1), None, 4)
    assert [len(each) for each in leaves(mapped(lambda values: values[:1], tree))] == [1, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": ((INPUTS, INPUTS[:9]), CLASSES)}, "train must have one target per input; got [60, 9, 60] rows"),
        ({"train": ({"a": INPUTS}, CLASSES)}, "raised TypeError"),
        ({"train": ((INPUTS, INPUTS * np.inf), CLASSES)}, "train inputs 1 must be finite"),
        ({"model": Vae, "train": (INPUTS, None)}, "the model must return one tensor; got a tuple of 3 entries. Pass a"),
        ({"model": Vae, "train": (INPUTS, None), "loss": elbo, "kind": "regression"}, "kind='regression' requires"),
        ({"model": Vae, "train": (INPUTS, None), "loss": elbo, "metric": "accuracy"}, r"one of loss; got 'accuracy'"),
        ({"train": ((INPUTS, INPUTS), {"kind": CLASSES})}, "loss must be a function of the outputs and the targets"),
    ],
)
def test_a_fault_of_the_form_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadTask) as raised:
        Task("t", **{"model": TwoInputs, **change})
    assert message in str(raised.value)


def test_a_task_with_several_inputs_can_be_pickled() -> None:
    task = task_of("two heads, own metric")
    assert pickle.loads(pickle.dumps(task)).fingerprint() == task.fingerprint()
