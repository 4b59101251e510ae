"""Layers and losses that are written out in several steps."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(32) % 4
BITS = (X[:, :1] > 0).float()

LAYERS = {
    "F.linear": lambda x, w, b: F.linear(x, w.T, b),
    "F.linear, the bias apart": lambda x, w, b: F.linear(x, w.t()) + b,
    "matmul and add": lambda x, w, b: b + x @ w,
    "mm, added in place": lambda x, w, b: torch.mm(x, w).add_(b),
    "addmm": lambda x, w, b: torch.addmm(b, x, w),
    "a method": lambda x, w, b: b.addmm(x, w),
    "turned": lambda x, w, b: x.matmul(w.T.contiguous().mT) + b,
}


class Written(nn.Module):
    """Layers of this spelling, with a function after each but the last."""

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


def ids(model, targets, loss):
    return [each.id for each in check(model, (X, targets), loss).findings]


@pytest.mark.parametrize("spelling", LAYERS)
def test_two_layers_collapse_however_they_are_spelled(spelling):
    model = Written(spelling, 8, 32, 4)
    (found,) = check(model, (X, CLASSES), F.cross_entropy).findings
    assert found.id == "AL301"
    assert found.evidence["equivalent"] == [8, 4]
    assert found.evidence["apart"] < 1e-5
    assert all(line.partition(":")[0] == __file__ for line in found.evidence["lines"])
    assert ids(Written(spelling, 8, 32, 4, act=torch.relu), CLASSES, F.cross_entropy) == []
    assert ids(Written(spelling, 8, 3, 32), X.repeat(1, 4), F.mse_loss) == []  # of lower rank on purpose


@pytest.mark.parametrize("spelling", LAYERS)
def test_a_start_that_does_not_fit_is_told_however_it_is_spelled(spelling):
    def told(act, gain):
        return ids(Written(spelling, 8, *[32] * 6, 4, act=act, gain=gain), CLASSES, F.cross_entropy)

    assert told(torch.relu, 0.05) == ["AL303"]
    assert told(torch.relu, math.sqrt(2)) == []
    assert told(F.selu, 3.0) == ["AL304"]
    assert told(F.selu, 1.0) == []


def test_what_bends_unseen_between_two_layers_is_no_collapse():
    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clamp(-0.1, 0.1)

        @staticmethod
        def backward(ctx, dy):
            return dy

    class Hidden(Written):
        def forward(self, x):
            h = self.layer(x, self.weights[0], self.biases[0])
            array = h.detach().numpy()
            array.clip(-0.1, 0.1, out=array)  # behind PyTorch's back
            return self.layer(h, self.weights[1], self.biases[1])

    assert ids(Hidden("matmul and add", 8, 32, 4), CLASSES, F.cross_entropy) == []
    assert ids(Written("addmm", 8, 32, 4, act=Clipped.apply), CLASSES, F.cross_entropy) == []


@pytest.mark.parametrize("between", [nn.Dropout(0.3), nn.BatchNorm1d(32), nn.Identity(), nn.Unflatten(1, (4, 8))])
def test_of_what_draws_or_normalises_between_nothing_is_compared(between):
    end = nn.Flatten() if isinstance(between, nn.Unflatten) else nn.Identity()
    model = nn.Sequential(nn.Linear(8, 32), between, end, nn.Linear(32, 4))
    (found,) = check(model, (X, CLASSES), F.cross_entropy).findings
    assert found.id == "AL301"
    assert (found.evidence["apart"] is None) is not isinstance(between, nn.Identity)


def mlp(outputs, *end):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, outputs), *end)


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


SEVERAL = (X[:, :5] > 0).float()
ALONG, OVER_BATCH = nn.Softmax(1), nn.LogSoftmax(0)

WRONG = {
    "no sigmoid": ("AL204", mlp(1), BITS, binary),
    "no sigmoid, guarded": ("AL204", mlp(1), BITS, guarded),
    "no sigmoid, clamped": ("AL204", mlp(1), BITS, clamped),
    "tanh for probabilities": ("AL204", mlp(1, nn.Tanh()), BITS, binary),
    "sigmoid twice, softplus": ("AL203", mlp(1, nn.Sigmoid()), BITS, softplus),
    "sigmoid twice, its logarithm": ("AL203", mlp(1, nn.Sigmoid()), BITS, log_sigmoid),
    "sigmoid twice": ("AL203", mlp(1, nn.Sigmoid()), BITS, sigmoid_inside),
    "raw outputs, gathered": ("AL205", mlp(4), CLASSES, picked),
    "raw outputs, indexed": ("AL205", mlp(4), CLASSES, indexed),
    "raw outputs, one-hot": ("AL205", mlp(4), CLASSES, one_hot),
    "softmax of one": ("AL206", mlp(1, nn.Softmax(1)), BITS, guarded),
    "along the batch": ("AL207", mlp(4, OVER_BATCH), CLASSES, picked),
    "along the batch, one-hot": ("AL207", mlp(4, OVER_BATCH), CLASSES, one_hot),
    "sigmoid, signed targets": ("AL208", mlp(1, nn.Sigmoid()), X[:, :1], squares),
    "relu on logits": ("AL209", mlp(4, nn.ReLU()), CLASSES, log_sum),
    "several labels": ("AL210", mlp(5, ALONG), SEVERAL, guarded),
    "softmax twice": ("AL201", mlp(4, ALONG), CLASSES, log_sum),
}
RIGHT = {
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
    "the mean probability": (mlp(4, ALONG), CLASSES, picked),
    "logits, log-sum": (mlp(4), CLASSES, log_sum),
    "a critic": (mlp(1), BITS, lambda z, t: -z.mean()),
    "values of actions": (mlp(4), CLASSES, lambda z, y: (z.gather(1, y[:, None]) - 1).square().mean()),
    "a gain": (mlp(4), CLASSES, lambda z, y: -(F.log_softmax(z, 1).gather(1, y[:, None]) * X[:, :1]).mean()),
    "a margin": (mlp(4), CLASSES, lambda z, y: (1 + z - z.gather(1, y[:, None])).relu().mean()),
    "least likely": (mlp(4), CLASSES, lambda z, y: z.gather(1, y[:, None]).mean()),
    "shares": (mlp(1, nn.Sigmoid()), torch.sigmoid(X[:, :1]), squares),
    "one of several": (mlp(4, ALONG), F.one_hot(CLASSES).float(), guarded),
    "a return": (mlp(4), X[:, :4], lambda z, t: -(t * z).sum(1).mean()),
    "a waiting time": (mlp(1, nn.Softplus()), X[:, :1].abs(), lambda r, t: (r * t - torch.log(r)).mean()),
    "two ranked": (mlp(2, nn.Sigmoid()), BITS, lambda p, t: -F.logsigmoid(p[:, :1] - p[:, 1:]).mean()),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_loss_that_is_written_out_is_one(name):
    wanted, model, targets, loss = WRONG[name]
    found = {each.id for each in check(model, (X, targets), loss).findings if each.severity != "information"}
    assert found - {"AL107"} == {wanted}  # the logarithm of a negative number is none


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_said_of_a_right_one_that_is_written_out(name):
    model, targets, loss = RIGHT[name]
    report = check(model, (X, targets), loss)
    assert report.is_well, report.lines()


class Linear(nn.Module):
    """Applies its activation in training alone, as a slip of indentation has it."""

    def __init__(self, *, always):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.always = nn.Linear(8, 32), nn.Linear(32, 4), always

    def forward(self, x):
        x = self.one(x)
        if self.training or self.always:
            x = F.dropout(F.relu(x), 0.1)
        return self.two(x)


def test_layers_that_collapse_in_evaluation_alone_are_told():
    (found,) = check(Linear(always=False), (X, CLASSES), F.cross_entropy).findings
    assert (found.id, found.evidence["layers"]) == ("AL301", ["one", "two"])
    assert "in evaluation mode" in found.message
    assert ids(Linear(always=True), CLASSES, F.cross_entropy) == []
    always = nn.Sequential(nn.Linear(8, 32), nn.Linear(32, 4))
    assert ids(always, CLASSES, F.cross_entropy) == ["AL301"]  # once


COUNTS = torch.poisson(torch.exp(0.5 * X[:, :1]), generator=torch.Generator().manual_seed(0))
HUNDRED = torch.arange(32) % 32


@pytest.mark.parametrize(
    ("model", "targets", "loss", "severity"),
    [
        (mlp(4, nn.Sigmoid()), CLASSES, F.cross_entropy, "error"),
        (mlp(4, nn.Sigmoid(), nn.LogSoftmax(1)), CLASSES, F.nll_loss, "error"),
        (mlp(4, nn.Sigmoid(), nn.LogSoftmax(1)), CLASSES, picked, "error"),
        (mlp(4, nn.Tanh()), CLASSES, F.cross_entropy, "warning"),
        (mlp(32, nn.Tanh()), HUNDRED, F.cross_entropy, "error"),
        (mlp(4, nn.ReLU6()), CLASSES, F.cross_entropy, None),
        (mlp(4, nn.Tanh()), CLASSES, lambda z, y: F.cross_entropy(10 * z, y), None),
        (mlp(4, nn.Sigmoid()), torch.full((32, 4), 0.25), F.cross_entropy, None),
        (mlp(1), COUNTS, nn.PoissonNLLLoss(), None),
        (mlp(1, nn.Tanh()), COUNTS[:1].expand(32, 1) * 0 + 1, nn.PoissonNLLLoss(), None),
        (mlp(1, nn.Softplus()), COUNTS, nn.PoissonNLLLoss(log_input=False), None),
        (mlp(1, nn.Softplus()), COUNTS, nn.PoissonNLLLoss(), "error"),
        (mlp(1, nn.ReLU()), COUNTS, F.poisson_nll_loss, "error"),
        (mlp(1, nn.ReLU()), 5 + COUNTS, F.poisson_nll_loss, None),
    ],
)
def test_bounded_logits_and_rates_cannot_reach_their_targets(model, targets, loss, severity):
    found = [each for each in check(model, (X, targets), loss).findings if each.id == "AL208"]
    assert [each.severity for each in found] == ([] if severity is None else [severity])


def test_an_exponential_of_an_exponential_is_told():
    class Rates(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp(1)

        def forward(self, x):
            return torch.exp(self.body(x))

    (found,) = check(Rates(), (X, COUNTS), nn.PoissonNLLLoss()).findings
    assert (found.id, found.site.path) == ("AL208", "")
    assert ids(Rates(), COUNTS, nn.PoissonNLLLoss(log_input=False)) == []


class Discards(nn.Module):
    """Applies an activation and throws the result away."""

    def __init__(self, call):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.act, self.call = nn.Linear(8, 32), nn.Linear(32, 4), nn.ReLU(), call

    def forward(self, x):
        x = self.one(x)
        self.call(self, x)
        return self.two(x)


@pytest.mark.parametrize("call", [lambda m, x: F.relu(x), lambda m, x: m.act(x), lambda m, x: x.relu() + 1])
@pytest.mark.parametrize("steps", [0, 12])
def test_an_activation_whose_result_is_thrown_away_bends_nothing(call, steps):
    report = check(Discards(call), (X, CLASSES), F.cross_entropy, train_steps=steps)
    (found,) = [each for each in report.findings if each.severity != "information"]
    assert found.id == "AL301"
    assert "relu gives at line" in found.message


def test_in_place_it_is_not_thrown_away():
    assert ids(Discards(lambda m, x: F.relu_(x)), CLASSES, F.cross_entropy) == []


class Adapted(nn.Module):
    """A frozen head with two small layers beside it, whose product joins it in the end."""

    def __init__(self, *, beside):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Sequential(nn.Linear(8, 64), nn.ReLU()), nn.Linear(64, 3).requires_grad_(False)
        self.down, self.up, self.beside = nn.Linear(64, 4, bias=False), nn.Linear(4, 3, bias=False), beside

    def forward(self, x):
        h = self.body(x)
        added = 2.0 * self.up(F.dropout(self.down(h), 0.1))
        return self.head(h) + added if self.beside else added


def test_an_adapter_beside_a_layer_is_meant():
    targets = torch.arange(32) % 3
    assert ids(Adapted(beside=True), targets, F.cross_entropy) == []
    assert ids(Adapted(beside=False), targets, F.cross_entropy) == ["AL301"]


@pytest.mark.parametrize("end", [(nn.Sigmoid(), nn.Sigmoid()), (nn.Hardsigmoid(), nn.Sigmoid())])
def test_a_sigmoid_of_a_sigmoid_is_told_under_any_binary_loss(end):
    assert ids(mlp(1, *end), BITS, F.binary_cross_entropy) == ["AL203"]
    assert ids(mlp(1, *end), BITS, binary) == ["AL203"]
    assert ids(mlp(1, end[0]), BITS, lambda p, t: F.binary_cross_entropy(torch.sigmoid(p), t)) == ["AL203"]


def test_a_number_added_to_what_a_layer_gave_leaves_it_one():
    model = Written("F.linear", 8, *[32] * 6, 4, act=lambda x: torch.relu(x + 0.01), gain=0.05)
    assert ids(model, CLASSES, F.cross_entropy) == ["AL303"]
    model = Written("F.linear", 8, 32, 4, act=lambda x: x + 0.5)
    (found,) = check(model, (X, CLASSES), F.cross_entropy).findings
    assert found.evidence["apart"] < 1e-5


DROPOUTS = {
    "F.dropout": lambda h: F.dropout(h, 0.1),
    "torch.dropout_": lambda h: torch.dropout_(h, 0.1, True),
    "native": lambda h: torch.native_dropout(h, 0.1, True)[0],
    "a mask": lambda h: h * (torch.rand_like(h) > 0.1) / 0.9,
    "a mask of numbers": lambda h: (torch.rand(h.shape) >= 0.1).float().div(0.9) * h,
    "drawn": lambda h: h * torch.bernoulli(torch.full_like(h, 0.9)) / 0.9,
    "drawn in place": lambda h: h * torch.empty_like(h).bernoulli_(0.9).div_(0.9),
}
NO_DROPOUTS = {
    "alpha dropout": lambda h: F.alpha_dropout(h, 0.1),
    "none": lambda h: F.dropout(h, 0.0),
    "noise": lambda h: h * (1 + 0.1 * torch.randn_like(h)),
    "uniform noise": lambda h: h * (0.5 + torch.rand_like(h)),
    "uniform shares": lambda h: h * torch.rand_like(h),
    "a gate": lambda h: h * torch.sigmoid(h),
    "what is above 0": lambda h: h * (h > -5),
}


class Dropped(nn.Module):
    def __init__(self, drop, act):
        super().__init__()
        self.one, self.two, self.drop, self.act = nn.Linear(8, 32), nn.Linear(32, 4), drop, act
        nn.init.normal_(self.one.weight, std=8**-0.5)

    def forward(self, x):
        return self.two(self.drop(self.act(self.one(x))))


@pytest.mark.parametrize("name", DROPOUTS)
def test_plain_dropout_after_selu_is_told_however_it_is_spelled(name):
    assert ids(Dropped(DROPOUTS[name], F.selu), CLASSES, F.cross_entropy) == ["AL305"]
    assert "AL305" not in ids(Dropped(DROPOUTS[name], F.elu), CLASSES, F.cross_entropy)


@pytest.mark.parametrize("name", NO_DROPOUTS)
def test_what_is_no_plain_dropout_after_selu_is_not(name):
    assert ids(Dropped(NO_DROPOUTS[name], F.selu), CLASSES, F.cross_entropy) == []


def test_a_loss_that_is_written_out_is_told_by_its_own_words():
    (found,) = check(mlp(1, nn.Sigmoid()), (X, BITS), softplus).findings
    assert "before the loss's F.softplus, which takes logits" in found.message
    (found,) = check(mlp(4), (X, CLASSES), picked).findings
    assert "the loss's x.gather() takes log-probabilities" in found.message


class Logistic(nn.Module):
    """A sigmoid written out, of which the last step reads another step of its own."""

    def __init__(self, twice):
        super().__init__()
        self.last, self.twice = nn.Linear(8, 1), twice

    def forward(self, x):
        y = 1 / (1 + torch.exp(-self.last(x)))
        return torch.sigmoid(y) if self.twice else y


@pytest.mark.parametrize("twice", [False, True])
def test_a_sigmoid_that_is_written_out_is_applied_once_or_twice(twice):
    torch.manual_seed(0)
    found = check(Logistic(twice), (X, BITS), nn.BCELoss()).findings
    assert [each.id for each in found if each.severity == "error"] == ["AL203"] * twice
