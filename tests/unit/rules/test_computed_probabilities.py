"""Probabilities and other confined values that reach a loss of logits through arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import BITS, CLASSES, SEVERAL, Applied, X, findings, ids, mlp, sole_fault

TWO = (X[:, 0] > 0).long()
ONE_HOT = F.one_hot(CLASSES, 4).float()
TURNED = torch.eye(4)[[2, 0, 3, 1]]
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 1.0])
RETURNS = 3 * X[:, 1] + 1
MISSING = torch.where(X[:, :4] < -0.5, torch.tensor(-1.0), torch.sigmoid(X[:, 4:]))


def pair(function, **ends):
    torch.manual_seed(0)
    return Applied(lambda model, x: function(model.a(x), model.b(x)), a=nn.Linear(8, 4), b=nn.Linear(8, 4))


class OwnSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(context, z):
        p = z.softmax(1)
        context.save_for_backward(p)
        return p

    @staticmethod
    def backward(context, gradient):
        (p,) = context.saved_tensors
        return p * (gradient - (gradient * p).sum(1, keepdim=True))


def categorical(p, y):
    return -torch.distributions.Categorical(logits=p).log_prob(y).mean()


SOFTMAX, SIGMOID = mlp(4, nn.Softmax(1)), mlp(1, nn.Sigmoid())
TO_CLASSES = {
    "columns 1 - p and p": (SIGMOID, TWO, lambda p, y: F.cross_entropy(torch.cat([1 - p, p], 1), y), "5"),
    "stacked": (SIGMOID, TWO, lambda p, y: F.cross_entropy(torch.stack([1 - p[:, 0], p[:, 0]], -1), y), "5"),
    "ones_like": (SIGMOID, TWO, lambda p, y: F.cross_entropy(torch.hstack([torch.ones_like(p) - p, p]), y), "5"),
    "turned by a matrix": (SOFTMAX, CLASSES, lambda p, y: F.cross_entropy(p @ TURNED, y), "5"),
    "weighted": (SOFTMAX, CLASSES, lambda p, y: F.cross_entropy(p * WEIGHTS / (p * WEIGHTS).sum(1, True), y), "5"),
    "smoothed": (SOFTMAX, CLASSES, lambda p, y: F.cross_entropy(0.9 * p + 0.025, y), "5"),
    "picked": (SOFTMAX, CLASSES, lambda p, y: F.cross_entropy(p[y > 0], y[y > 0]), "5"),
    "distribution": (pair(lambda a, b: (a.softmax(1) + b.softmax(1)) / 2), CLASSES, categorical, ""),
    "mean": (pair(lambda a, b: (a.softmax(1) + b.softmax(1)) / 2), CLASSES, F.cross_entropy, ""),
    "stacked mean": (
        pair(lambda a, b: torch.stack([a.softmax(1), b.softmax(1)]).mean(0)),
        CLASSES,
        nn.CrossEntropyLoss(),
        "",
    ),
    "own function": (
        Applied(lambda model, x: OwnSoftmax.apply(model.body(x)), body=mlp(4)),
        CLASSES,
        F.cross_entropy,
        "",
    ),
}


@pytest.mark.parametrize("name", TO_CLASSES)
def test_probabilities_from_arithmetic_before_cross_entropy_are_reported(name):
    model, targets, loss, path = TO_CLASSES[name]
    found = sole_fault("AL201", model, targets, loss, path=path)
    assert "softmax" in found.message or "every row sums to 1" in found.message


def test_every_softmax_of_a_mean_is_reported():
    model = Applied(lambda model, x: sum(end(x).softmax(1) for end in model.ends) / 3, ends=nn.ModuleList(
        [nn.Linear(8, 4) for _ in range(3)]))  # fmt: skip
    assert ids(model, CLASSES, F.cross_entropy) == ["AL201"]  # one line


TO_BITS = {
    "1 - p": lambda p, t: F.binary_cross_entropy_with_logits(1 - p, 1 - t),
    "both": lambda p, t: F.binary_cross_entropy_with_logits(torch.cat([1 - p, p], 1), torch.cat([1 - t, t], 1)),
    "scaled": lambda p, t: F.binary_cross_entropy_with_logits(2 * p.clamp(1e-4, 1 - 1e-4), t),
    "focal": lambda p, t: (
        (1 - (p * t + (1 - p) * (1 - t))) ** 2 * F.binary_cross_entropy_with_logits(p, t, reduction="none")
    ).mean(),
    "soft margin": lambda p, t: F.soft_margin_loss(p, 2 * t - 1),
    "soft margin, turned": lambda p, t: F.soft_margin_loss(1 - p, 1 - 2 * t),
    "Bernoulli": lambda p, t: -torch.distributions.Bernoulli(logits=p).log_prob(t).mean(),
    "log(1 + exp)": lambda p, t: torch.log(1 + torch.exp(-(2 * t - 1) * p)).mean(),
    "log1p(exp)": lambda p, t: (torch.log1p(torch.exp(p)) - t * p).mean(),
    "logaddexp": lambda p, t: (torch.logaddexp(torch.zeros(()), p) - t * p).mean(),
    "without overflow": lambda p, t: (p.clamp(min=0) - p * t + (1 + (-p.abs()).exp()).log()).mean(),
    "softplus of signs": lambda p, t: F.softplus(-(2 * t - 1) * p).mean(),
    "sigmoid of a mean": lambda p, t: F.binary_cross_entropy(torch.sigmoid((p + p) / 2), t),
}


@pytest.mark.parametrize("name", TO_BITS)
def test_probabilities_from_arithmetic_before_a_binary_loss_are_reported(name):
    sole_fault("AL203", SIGMOID, BITS, TO_BITS[name], path="5")


POOLS = [
    lambda p: p.mean(1, True),
    lambda p: p.max(1, True)[0],
    lambda p: p.amax(1)[:, None],
    lambda p: 1 - (1 - p).prod(1, True),
    lambda p: F.adaptive_max_pool1d(p[:, None], 1)[:, 0],
    lambda p: F.avg_pool1d(p[:, None], 4)[:, 0],
]


@pytest.mark.parametrize("pool", POOLS)
def test_pooled_probabilities_before_a_binary_loss_are_reported(pool):
    model = Applied(lambda model, x: pool(torch.sigmoid(model.body(x))), body=mlp(4))
    sole_fault("AL203", model, BITS, nn.BCEWithLogitsLoss(), path="")


def test_softmax_for_several_labels_under_multilabel_soft_margin_is_one_finding():
    assert ids(mlp(5, nn.Softmax(1)), SEVERAL, nn.MultiLabelSoftMarginLoss()) == ["AL210"]
    assert ids(mlp(4, nn.Softmax(1)), ONE_HOT, nn.MultiLabelSoftMarginLoss()) == ["AL203"]


@pytest.mark.parametrize(
    ("model", "targets", "loss"),
    [
        (mlp(4, nn.Sigmoid()), ONE_HOT, F.cross_entropy),
        (mlp(4, nn.Sigmoid()), 0.9 * ONE_HOT + 0.025, F.cross_entropy),
        (mlp(4), ONE_HOT, lambda z, t: F.cross_entropy(z.sigmoid(), t)),
        (pair(lambda a, b: (a.tanh() + b.tanh()) / 2), CLASSES, F.cross_entropy),
        (mlp(1, nn.Tanh()), BITS, F.binary_cross_entropy_with_logits),
        (mlp(4, nn.Softmax(1)), CLASSES, lambda p, y: F.cross_entropy(p * WEIGHTS, y)),
    ],
)
def test_bounded_logits_are_reported_for_hard_and_soft_targets(model, targets, loss):
    sole_fault("AL208", model, targets, loss)


RELU = mlp(4, nn.ReLU(), nn.Softmax(1))
POLICIES = {
    "Categorical(logits)": (mlp(4, nn.ReLU()), lambda z: torch.distributions.Categorical(logits=z).log_prob(CLASSES)),
    "Categorical(probs)": (RELU, lambda p: torch.distributions.Categorical(probs=p).log_prob(CLASSES)),
    "gather": (RELU, lambda p: p.gather(1, CLASSES[:, None]).squeeze(1).log()),
    "index": (mlp(4, nn.Softplus(), nn.Softmax(1)), lambda p: torch.log(p[range(32), CLASSES])),
    "log_softmax": (mlp(4, nn.ReLU(), nn.LogSoftmax(1)), lambda p: p[range(32), CLASSES]),
    "einsum": (RELU, lambda p: torch.einsum("nc,nc->n", p.log(), ONE_HOT)),
    "exponentials": (mlp(4, nn.ReLU()), lambda z: ((z.exp() / z.exp().sum(1, keepdim=True)).log() * ONE_HOT).sum(1)),
    "scaled": (mlp(4, nn.ReLU()), lambda z: F.log_softmax(z / 2, 1)[range(32), CLASSES]),
    "dropout": (mlp(4, nn.ReLU(), nn.Dropout(0.2)), lambda z: F.log_softmax(z, 1)[range(32), CLASSES]),
    "entropy": (RELU, lambda p: (p * (p + 1e-8).log()).sum(1) + p.gather(1, CLASSES[:, None])[:, 0].log()),
}


@pytest.mark.parametrize("name", POLICIES)
def test_relu_on_the_logits_of_a_policy_is_reported(name):
    model, log_probability = POLICIES[name]
    sole_fault("AL209", model, CLASSES, lambda p, _: -(log_probability(p) * RETURNS).mean(), path="5")


def test_squared_error_on_a_softmax_of_relu_is_reported():
    sole_fault("AL209", RELU, ONE_HOT, F.mse_loss, path="5")


def test_relu_inside_the_loss_has_a_place():
    found = sole_fault("AL209", mlp(4), CLASSES, lambda z, y: F.cross_entropy(F.relu(z), y))
    assert found.site.spelling == "F.relu"


class Pools(nn.Module):
    """Attention whose scores pass a ReLU, and whose weights are an output too."""

    def __init__(self):
        super().__init__()
        self.embed, self.score, self.out = nn.Linear(2, 16), nn.Linear(16, 1), nn.Linear(16, 4)

    def forward(self, x):
        h = torch.tanh(self.embed(x.view(-1, 4, 2)))
        weights = F.softmax(F.relu(self.score(h)), 1)
        return self.out((weights * h).sum(1)), weights


class Cosines(nn.Module):
    """Cosines times a learned temperature, as contrastive models of pictures and texts have them."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.scale = nn.Linear(8, 6), nn.Linear(8, 6), nn.Parameter(torch.tensor(2.6))

    def forward(self, x):
        one, other = F.normalize(self.one(x), dim=1), F.normalize(self.other(x), dim=1)
        return self.scale.exp() * one @ other.T


def arc(cosine, y):
    angle = torch.acos(cosine.clamp(-1 + 1e-7, 1 - 1e-7))
    hot = F.one_hot(y, 4).float()
    return F.cross_entropy(30 * (torch.cos(angle + 0.5) * hot + cosine * (1 - hot)), y)


def focal(z, t):
    p = torch.sigmoid(z)
    likely = p * t + (1 - p) * (1 - t)
    return ((1 - likely) ** 2 * F.binary_cross_entropy_with_logits(z, t, reduction="none")).mean()


def written_focal(z, t):
    p = torch.sigmoid(z).clamp(1e-6, 1 - 1e-6)
    return -(t * (1 - p) ** 2 * p.log() + (1 - t) * p**2 * (1 - p).log()).mean()


def dirichlet(z, y):
    alpha = F.softplus(z) + 1
    return (F.one_hot(y, 4) * (alpha.sum(1, keepdim=True).digamma() - alpha.digamma())).sum(1).mean()


class Views(nn.Module):
    """Two embeddings behind a ReLU."""

    def __init__(self):
        super().__init__()
        self.body = mlp(6, nn.ReLU())

    def forward(self, x):
        return self.body(x), self.body(x + 0.1)


RIGHT = {
    "ReLU before pooling": (
        Applied(lambda model, x: F.relu(model.body(x)).view(-1, 4, 3).mean(2), body=mlp(12)), CLASSES, F.cross_entropy),
    "products of embeddings": (Views(), torch.arange(32), lambda out, y: F.cross_entropy(out[0] @ out[1].T, y)),
    "cosines of embeddings": (
        Views(),
        torch.arange(32),
        lambda out, y: F.cross_entropy(F.cosine_similarity(out[0][:, None], out[1][None], dim=-1) / 0.5, y),
    ),
    "clipped values": (
        mlp(1),
        3 * X[:, 0],
        lambda v, r: torch.max((v[:, 0] - r) ** 2, (X[:, 1] + (v[:, 0] - X[:, 1]).clamp(-1, 1) - r) ** 2).mean(),
    ),
    "an action times its advantage": (mlp(4), ONE_HOT * X[:, :1], F.cross_entropy),
    "cosines at a temperature": (Cosines(), torch.arange(32), F.cross_entropy),
    "an angular margin": (
        Applied(lambda model, x: F.linear(F.normalize(model.body(x)), F.normalize(model.head.weight)), body=mlp(6),
                head=nn.Linear(6, 4)),
        CLASSES,
        arc,
    ),
    "attention behind a ReLU": (
        Pools(),
        CLASSES,
        lambda out, y: F.cross_entropy(out[0], y) - 0.01 * (out[1] * out[1].clamp(min=1e-8).log()).sum(1).mean(),
    ),
    "clipped scores of a pointer": (
        Applied(lambda model, x: 10 * torch.tanh(model.body(x)), body=mlp(4)),
        CLASSES,
        F.cross_entropy,
    ),
    "logarithms of probabilities": (SOFTMAX, CLASSES, lambda p, y: F.nll_loss((p + 1e-8).log(), y)),
    "logarithms of two columns": (
        SIGMOID, TWO, lambda p, y: F.nll_loss(torch.cat([1 - p, p], 1).clamp(min=1e-8).log(), y)),
    "a mixture of softmaxes": (
        pair(lambda a, b: (a.softmax(1) + b.softmax(1)) / 2), CLASSES, lambda p, y: F.nll_loss(p.log(), y)),
    "logit of probabilities": (SIGMOID, BITS, lambda p, t: F.binary_cross_entropy_with_logits(torch.logit(p, 1e-6), t)),
    "a wide scaled sigmoid": (SIGMOID, BITS, lambda p, t: F.binary_cross_entropy_with_logits(20 * (p - 0.5), t)),
    "focal loss": (mlp(1), BITS, focal),
    "focal loss by hand": (mlp(1), BITS, written_focal),
    "evidence": (mlp(4), CLASSES, dirichlet),
    "negative distances": (mlp(4), CLASSES, lambda z, y: F.cross_entropy(-torch.cdist(z, ONE_HOT[:4]), y)),
    "a ranking of probabilities": (
        pair(lambda a, b: (a.sigmoid(), b.sigmoid())), CLASSES, lambda out, _: -F.logsigmoid(out[0] - out[1]).mean()),
    "gated features": (pair(lambda a, b: a * b.sigmoid()), CLASSES, F.cross_entropy),
    "uniform targets": (mlp(4, nn.Tanh()), torch.full((32, 4), 0.25), F.cross_entropy),
    "missing, masked": (
        mlp(4, nn.Sigmoid()),
        MISSING,
        lambda p, t: (F.mse_loss(p, t, reduction="none") * (t >= 0)).sum() / (t >= 0).sum(),
    ),
    "missing, left out": (mlp(4, nn.Sigmoid()), MISSING, lambda p, t: F.mse_loss(p[t >= 0], t[t >= 0])),
    "missing, left out later": (mlp(4, nn.Sigmoid()), MISSING, lambda p, t: ((p - t) ** 2)[t >= 0].mean()),
    "an average over fixed atoms": (
        Applied(lambda model, x: (model.body(x).softmax(-1) * torch.linspace(-5, 5, 11)).sum(-1), body=mlp(11)),
        2 * X[:, 0],
        F.smooth_l1_loss,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_that_look_similar_are_not_reported(name):
    assert [each for each in findings(*RIGHT[name]) if each.severity != "information"] == []


@pytest.mark.parametrize(
    ("end", "targets"),
    [(nn.Sigmoid(), (CLASSES % 3).float()[:, None]), (nn.ReLU(), (CLASSES % 3).float()[:, None] - 1)],
)
def test_a_single_value_outside_counts_if_nothing_masks_it(end, targets):
    sole_fault("AL208", mlp(1, end), targets, F.mse_loss, path="5")
    sole_fault("AL208", mlp(1, end), targets, lambda p, t: ((p - t) ** 2).mean(), path="5")


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        (pair(lambda a, b: (a.sigmoid() + b.sigmoid()) / 2), 3 * X[:, :4]),
        (Applied(lambda model, x: 3 * model.body(x).tanh(), body=mlp(1)), 5 * X[:, :1]),
        (
            Applied(lambda model, x: F.cosine_similarity(model.body(x), model.body(-x)), body=mlp(6, nn.ReLU())),
            X[:, 0].tanh(),
        ),
    ],
)
def test_targets_beyond_computed_bounds_are_reported(model, targets):
    assert "AL208" in ids(model, targets, F.mse_loss)
