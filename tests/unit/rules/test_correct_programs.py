"""Correct programs, about which no rule may report anything."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F

from actlab.diagnosis.check import check
from corpus import everything, tempting_designs
from corpus.program import Program
from unit.rules.programs import (
    BITS,
    CLASSES,
    Applied,
    X,
    binary,
    clamped,
    guarded,
    indexed,
    log_sigmoid,
    log_sum,
    mlp,
    one_hot,
    picked,
    sigmoid_inside,
    softplus,
    squares,
)

PICTURES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(2))
TEXT = torch.randint(20, (16, 6), generator=torch.Generator().manual_seed(3))


def attend(model, x):
    h = model.embed(x)
    q, k, v = model.mix(h).chunk(3, -1)
    return model.out((torch.softmax(q @ k.transpose(-1, -2) / 4, -1) @ v).mean(1))


def focal(z, y):
    p = torch.sigmoid(z)
    return (
        (1 - torch.where(y > 0.5, p, 1 - p)) ** 2 * F.binary_cross_entropy_with_logits(z, y, reduction="none")
    ).mean()


def clip(output, _):
    one, two = F.normalize(output[:16], dim=1), F.normalize(output[16:], dim=1)
    logits = one @ two.T / 0.07
    return (F.cross_entropy(logits, torch.arange(16)) + F.cross_entropy(logits.T, torch.arange(16))) / 2


def policy(logits, chosen):
    return -(Categorical(probs=logits.softmax(-1)).log_prob(chosen) * torch.linspace(-1, 1, 32)).mean()


def chosen_log(z, y):
    return -F.log_softmax(z, 1).gather(1, y[:, None]).mean()


def distil(z, y):
    return F.kl_div(F.log_softmax(z / 2, -1), F.softmax(y / 2, -1), reduction="batchmean")


def lowrank():
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4))


def masked(p, y):
    return (((p - y) ** 2) * (y >= 0)).mean()


def with_missing():
    shares = torch.sigmoid(X[:, :1]).clone()
    shares[::4] = -1.0
    return shares


CNN = nn.Sequential(
    nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
)
UNET = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.LogSoftmax(1))
SEPARABLE = nn.Sequential(
    nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
)  # fmt: skip
PARTS = {"embed": nn.Embedding(20, 16), "mix": nn.Linear(16, 48), "out": nn.Linear(16, 4)}
ENCODER = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

PROGRAMS = {
    "classifier": (mlp(4), X, CLASSES, F.cross_entropy),
    "classifier with class weights": (mlp(4), X, CLASSES, nn.CrossEntropyLoss(weight=torch.ones(4))),
    "classifier that ignores an index": (mlp(4), X, CLASSES, nn.CrossEntropyLoss(ignore_index=3)),
    "classifier with soft targets": (mlp(4), X, torch.full((32, 4), 0.25), F.cross_entropy),
    "classifier with one-hot targets": (mlp(4), X, F.one_hot(CLASSES).float(), F.cross_entropy),
    "log_softmax and nll": (mlp(4, nn.LogSoftmax(1)), X, CLASSES, F.nll_loss),
    "log of softmax and nll": (mlp(4, nn.Softmax(1)), X, CLASSES, lambda p, y: F.nll_loss((p + 1e-8).log(), y)),
    "log-likelihood by hand": (mlp(4), X, CLASSES, chosen_log),
    "logsumexp by hand": (mlp(4), X, CLASSES, lambda z, y: F.nll_loss(z - z.logsumexp(1, keepdim=True), y)),
    "cnn": (CNN, PICTURES, CLASSES[:16], F.cross_entropy),
    "separable cnn": (SEPARABLE, PICTURES, CLASSES[:16], F.cross_entropy),
    "segmentation": (UNET, PICTURES, torch.zeros(16, 8, 8, dtype=torch.long), F.nll_loss),
    "binary": (mlp(1), X, BITS, F.binary_cross_entropy_with_logits),
    "binary with positive weight": (mlp(1), X, BITS, nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))),
    "sigmoid and bce": (mlp(1, nn.Sigmoid()), X, BITS, F.binary_cross_entropy),
    "clamped sigmoid and bce": (
        mlp(1, nn.Sigmoid()), X, BITS, lambda p, y: F.binary_cross_entropy(p.clamp(1e-7, 1 - 1e-7), y)
    ),
    "halved tanh and bce": (mlp(1, nn.Tanh()), X, BITS, lambda p, y: F.binary_cross_entropy((p + 1) / 2, y)),
    "several labels": (mlp(5), X, (X[:, :5] > 0).float(), F.binary_cross_entropy_with_logits),
    "several labels, sigmoid": (mlp(5, nn.Sigmoid()), X, (X[:, :5] > 0).float(), F.binary_cross_entropy),
    "focal": (mlp(1), X, BITS, focal),
    "regression": (mlp(1), X, X[:, :1] * 3, F.mse_loss),
    "regression with tanh units": (mlp(1, act=nn.Tanh), X, X[:, :1] * 3, F.huber_loss),
    "scaled tanh": (mlp(1, nn.Tanh()), X, X[:, :1] * 3, lambda p, y: F.mse_loss(12 * p, y)),
    "shares": (mlp(1, nn.Sigmoid()), X, torch.sigmoid(X[:, :1]), F.mse_loss),
    "shares, some missing": (mlp(1, nn.Sigmoid()), X, with_missing(), masked),
    "noughts and ones by squares": (mlp(1, nn.Sigmoid()), X, BITS, F.mse_loss),
    "tanh for shares": (mlp(1, nn.Tanh()), X, torch.sigmoid(X[:, :1]), F.mse_loss),
    "amounts": (mlp(1, nn.ReLU()), X, X[:, :1].abs(), F.l1_loss),
    "low rank": (lowrank(), X, CLASSES, F.cross_entropy),
    "contrastive": (mlp(16), X, None, lambda z: clip(z, None)),
    "policy gradient": (mlp(4), X, CLASSES, policy),
    "distillation": (mlp(4), X, torch.randn(32, 4), distil),
    "attention by hand": (Applied(attend, **PARTS), TEXT, CLASSES[:16], F.cross_entropy),
    "transformer": (
        Applied(lambda m, x: m.out(m.encode(m.embed(x)).mean(1)), encode=ENCODER, **PARTS), TEXT, CLASSES[:16],
        F.cross_entropy,
    ),
    "lstm": (
        Applied(lambda m, x: m.out(m.read(m.embed(x))[0][:, -1]), read=nn.LSTM(16, 16, batch_first=True), **PARTS),
        TEXT, CLASSES[:16], F.cross_entropy,
    ),
    "bypassed sigmoid": (
        Applied(lambda m, x: (z := m.body(x), torch.sigmoid(z)), body=mlp(1)), X, BITS,
        lambda out, y: F.binary_cross_entropy_with_logits(out[0], y),
    ),
    "residual that starts at nought": (
        Applied(lambda m, x: m.out(x + m.body(x)), body=mlp(8), out=nn.Linear(8, 4)), X, CLASSES, F.cross_entropy
    ),
    "linear embedding": (nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(48, 4)), TEXT, CLASSES[:16],
                         F.cross_entropy),
    "graph": (
        Applied(lambda m, x: m.out(m.near @ F.relu(m.near @ m.inner(x))), inner=nn.Linear(8, 16),
                out=nn.Linear(16, 4), near=nn.Buffer(torch.eye(32))), X, CLASSES, F.cross_entropy,
    ),
}  # fmt: skip


COMPOSITE = {
    "sigmoid": (mlp(1, nn.Sigmoid()), BITS, binary),
    "sigmoid, guarded": (mlp(1, nn.Sigmoid()), BITS, guarded),
    "sigmoid, clamped": (mlp(1, nn.Sigmoid()), BITS, clamped),
    "logits, softplus": (mlp(1), BITS, softplus),
    "logits, logarithms": (mlp(1), BITS, log_sigmoid),
    "logits": (mlp(1), BITS, sigmoid_inside),
    "a hazard": (mlp(1), BITS, lambda z, t: binary(1 - torch.exp(-torch.exp(z)), t)),
    "log-probabilities": (mlp(4, nn.LogSoftmax(1)), CLASSES, picked),
    "log-probabilities, indexed": (mlp(4, nn.LogSoftmax(1)), CLASSES, indexed),
    "log-probabilities, one-hot": (mlp(4, nn.LogSoftmax(1)), CLASSES, one_hot),
    "the mean probability": (mlp(4, nn.Softmax(1)), CLASSES, picked),
    "logits, log-sum": (mlp(4), CLASSES, log_sum),
    "a critic": (mlp(1), BITS, lambda z, t: -z.mean()),
    "values of actions": (mlp(4), CLASSES, lambda z, y: (z.gather(1, y[:, None]) - 1).square().mean()),
    "a gain": (mlp(4), CLASSES, lambda z, y: -(F.log_softmax(z, 1).gather(1, y[:, None]) * X[:, :1]).mean()),
    "a margin": (mlp(4), CLASSES, lambda z, y: (1 + z - z.gather(1, y[:, None])).relu().mean()),
    "least likely": (mlp(4), CLASSES, lambda z, y: z.gather(1, y[:, None]).mean()),
    "shares": (mlp(1, nn.Sigmoid()), torch.sigmoid(X[:, :1]), squares),
    "one of several": (mlp(4, nn.Softmax(1)), F.one_hot(CLASSES).float(), guarded),
    "a return": (mlp(4), X[:, :4], lambda z, t: -(t * z).sum(1).mean()),
    "a waiting time": (mlp(1, nn.Softplus()), X[:, :1].abs(), lambda r, t: (r * t - torch.log(r)).mean()),
    "two ranked": (mlp(2, nn.Sigmoid()), BITS, lambda p, t: -F.logsigmoid(p[:, :1] - p[:, 1:]).mean()),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_is_reported_for_a_correct_program(name):
    torch.manual_seed(0)
    model, inputs, targets, loss = PROGRAMS[name]
    report = check(model, (inputs, targets), loss)
    assert report.findings == (), report.lines()


@pytest.mark.parametrize("name", COMPOSITE)
def test_nothing_is_reported_for_a_correct_composite_loss(name):
    model, targets, loss = COMPOSITE[name]
    report = check(model, (X, targets), loss)
    assert report.ok, report.lines()


DESIGNS = [found for found in everything.made_in(tempting_designs) if isinstance(found, Program)]


@pytest.mark.parametrize("steps", [0, 10])
@pytest.mark.parametrize("program", DESIGNS, ids=lambda program: program.name)
def test_designs_that_look_at_fault_raise_no_alarm(program, steps):
    torch.manual_seed(0)
    case = program.build()
    report = check(
        case.model, case.data(0), case.loss, optimizer=case.optimiser(case.model) if steps else None, train_steps=steps
    )
    assert [each for each in report.findings if each.severity != "information"] == []
