"""Small data, models, layers and losses that the tests of several rules use."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from actlab.catalog.index import CATALOG
from actlab.diagnosis.check import check
from actlab.formula.activation import Activation

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(32) % 4
BITS = (X[:, :1] > 0).float()
SEVERAL = (X[:, :5] > 0).float()

ELEMENTWISE = tuple(act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1)


def mlp(outputs, *end, act=nn.ReLU):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, outputs), *end)


class Applied(nn.Module):
    """A model whose forward is a function of its parts and the input."""

    def __init__(self, function, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = function

    def forward(self, *inputs):
        return self.function(self, *inputs)


def findings(model, targets, loss, *, optimizer=None):
    torch.manual_seed(0)
    return check(model, (X, targets), loss, optimizer=optimizer).findings


def ids(model, targets, loss, *, optimizer=None):
    return [each.id for each in findings(model, targets, loss, optimizer=optimizer)]


def sole_fault(id, model, targets, loss, *, path=None):
    """Return the finding with this id, which has a place and a remedy, and is the only one that counts."""
    reported = findings(model, targets, loss)
    others = [each for each in reported if each.id != id and each.severity != "information"]
    assert not others, others
    first = next(each for each in reported if each.id == id)
    assert path is None or first.site.path == path
    assert first.lines or first.site.path or first.site.spelling
    assert first.remedies
    return first


LAYERS = {
    "F.linear": lambda x, w, b: F.linear(x, w.T, b),
    "F.linear, the bias apart": lambda x, w, b: F.linear(x, w.t()) + b,
    "matmul and add": lambda x, w, b: b + x @ w,
    "mm, added in place": lambda x, w, b: torch.mm(x, w).add_(b),
    "addmm": lambda x, w, b: torch.addmm(b, x, w),
    "a method": lambda x, w, b: b.addmm(x, w),
    "transposed twice": lambda x, w, b: x.matmul(w.T.contiguous().mT) + b,
}


class Composite(nn.Module):
    """Layers composed of operations, with a function after each but the last."""

    def __init__(self, spelling, *widths, act=lambda x: x, gain=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.act = LAYERS[spelling], act
        pairs = list(pairwise(widths))
        self.weights = nn.ParameterList(gain * torch.randn(pair) / pair[0] ** 0.5 for pair in pairs)
        self.biases = nn.ParameterList(0.1 * torch.randn(pair[1]) for pair in pairs)

    def forward(self, x):
        for at, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = self.layer(x, weight, bias)
            x = self.act(x) if at + 1 < len(self.weights) else x
        return x


def chain(*, std, act, depth):
    """Return an MLP whose weights are normal with this standard deviation."""
    model = nn.Sequential(
        nn.Linear(8, 32), act(), *(part for _ in range(depth) for part in (nn.Linear(32, 32), act())), nn.Linear(32, 4)
    )
    torch.manual_seed(0)
    for part in model:
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=std)
    return model


# Losses composed of operations: of probabilities p or logits z, and targets.


def binary(p, t):
    return -(t * torch.log(p) + (1 - t) * torch.log(1 - p)).mean()


def guarded(p, t):
    return (-t * (p + 1e-8).log() - (1.0 - t) * torch.log(1.0 - p + 1e-8)).sum() / len(p)


def clamped(p, t):
    p = p.clamp(1e-7, 1 - 1e-7).squeeze(1)
    return -torch.mean(torch.log(1 - p) * (1 - t[:, 0]) + p.log() * t[:, 0])


def softplus(z, t):
    return (F.softplus(z) - t * z).mean()


def log_sigmoid(z, t):
    return -(t * F.logsigmoid(z) + (1 - t) * F.logsigmoid(-z)).mean()


def sigmoid_inside(z, t):
    return binary(torch.sigmoid(z), t)


def picked(z, y):
    return -z.gather(1, y[:, None]).mean()


def indexed(z, y):
    return -1 * z[torch.arange(len(y)), y].sum() / len(y)


def one_hot(z, y):
    return -(F.one_hot(y, 4).float() * z).sum(1).mean()


def log_sum(z, y):
    return (torch.logsumexp(z, 1) - z.gather(1, y[:, None]).squeeze(1)).mean()


def squares(p, t):
    return ((p - t) ** 2).mean()
