from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import BITS, CLASSES, Applied, X, findings, ids, mlp

D = torch.distributions
SIGNS = 2 * BITS - 1


class Encodes(nn.Module):
    """A variational autoencoder whose heads end in a function."""

    def __init__(self, *, mean=lambda z: z, log_variance=lambda z: z, spread=lambda z: torch.exp(z / 2)):
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.mean, self.scale, self.leave = (
            nn.Linear(8, 16),
            nn.Linear(16, 3),
            nn.Linear(16, 3),
            nn.Linear(3, 8),
        )
        self.of_mean, self.of_log_variance, self.spread = mean, log_variance, spread

    def forward(self, x):
        h = torch.tanh(self.enter(x))
        mean, log_variance = self.of_mean(self.mean(h)), self.of_log_variance(self.scale(h))
        z = mean + torch.randn_like(mean) * self.spread(log_variance)
        return self.leave(z), mean, log_variance


def written(out, x):
    return F.mse_loss(out[0], x) - 0.5 * torch.mean(torch.sum(1 + out[2] - out[1] ** 2 - out[2].exp(), dim=1), dim=0)


def other_order(out, x):
    return F.mse_loss(out[0], x) + 0.05 * (out[1].square() + out[2].exp() - out[2] - 1).sum(1).mean()


def divergence(out, x):
    code = D.Normal(out[1], torch.exp(0.5 * out[2]))
    prior = D.Normal(torch.zeros_like(out[1]), torch.ones_like(out[1]))
    return F.mse_loss(out[0], x) + D.kl_divergence(code, prior).sum(1).mean()


@pytest.mark.parametrize("loss", [written, other_order, divergence])
@pytest.mark.parametrize("function", [F.relu, F.softplus, torch.sigmoid])
def test_a_confined_log_variance_is_reported(function, loss):
    found = [each for each in findings(Encodes(log_variance=function), X, loss) if each.id == "AL213"]
    assert ["logarithm of a" in each.message for each in found] == [True]
    assert "so the variance cannot fall below 1" in found[0].message


@pytest.mark.parametrize("loss", [written, other_order, divergence])
def test_a_half_line_mean_is_reported(loss):
    found = [each for each in findings(Encodes(mean=F.relu), X, loss) if each.id == "AL213"]
    assert ["mean of a Gaussian" in each.message for each in found] == [True]


@pytest.mark.parametrize("loss", [written, other_order, divergence])
@pytest.mark.parametrize(
    "ends", [{}, {"mean": torch.tanh}, {"log_variance": lambda z: z.clamp(-10, 10)}, {"log_variance": F.hardtanh}]
)
def test_heads_of_either_sign_are_not_reported(ends, loss):
    assert ids(Encodes(**ends), X, loss) == []


def by_standard_deviation(out, x):
    return F.mse_loss(out[0], x) + 0.5 * (out[1] ** 2 + out[2] ** 2 - torch.log(out[2] ** 2) - 1).sum(1).mean()


def test_a_softplus_that_is_the_standard_deviation_is_not_reported():
    assert ids(Encodes(log_variance=F.softplus, spread=lambda s: s), X, by_standard_deviation) == []


HETEROSCEDASTIC = {
    "divided": lambda out, y: (0.5 * out[1] + 0.5 * (y - out[0]) ** 2 / out[1].exp()).mean(),
    "multiplied": lambda out, y: (0.5 * torch.exp(-out[1]) * (y - out[0]) ** 2 + 0.5 * out[1]).mean(),
    "a distribution": lambda out, y: -D.Normal(out[0], out[1].exp()).log_prob(y).mean(),
}


@pytest.mark.parametrize("name", HETEROSCEDASTIC)
@pytest.mark.parametrize(("end", "expected"), [(F.relu, ["AL213"]), (lambda z: z, [])])
def test_the_log_variance_of_a_regression(end, expected, name):
    model = Applied(lambda m, x: (m.mean(x), end(m.scale(x))), mean=mlp(1), scale=mlp(1))
    assert ids(model, X[:, :1], HETEROSCEDASTIC[name]) == expected


def critic(*end):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), *end)


def against(end):
    return Applied(lambda m, x: (m.critic(x), m.critic(m.generator(x))), critic=critic(*end), generator=nn.Linear(8, 8))


MEANS = {
    "subtracted": lambda real, fake: torch.mean(fake) - torch.mean(real),
    "negated": lambda real, fake: -(real.mean() - fake.mean()),
    "of differences": lambda real, fake: (fake - real).mean(),
    "sums": lambda real, fake: fake.sum() / 32 - real.sum() / 32,
}


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize(
    ("end", "expected"),
    [((nn.Sigmoid(),), ["AL213"]), ((nn.Tanh(),), ["AL213"]), ((nn.Hardtanh(),), ["AL213"]), ((), [])],
)
def test_means_of_bounded_scores_are_reported(name, end, expected):
    found = findings(against(end), BITS, lambda out, _: MEANS[name](*out))
    assert [each.id for each in found] == expected
    assert [each.site.path for each in found] == ["critic.3"] * len(expected)


def test_scores_picked_or_signed_by_targets():
    assert ids(critic(nn.Sigmoid()), BITS > 0, lambda s, real: s[~real].mean() - s[real].mean()) == ["AL213"]
    assert ids(critic(nn.Sigmoid()), SIGNS, lambda s, t: (s * t).mean()) == ["AL213"]
    assert ids(critic(), SIGNS, lambda s, t: (s * t).mean()) == []


HINGES = {
    "relu": lambda p, t: F.relu(1 - t * p).mean(),
    "clamp": lambda p, t: torch.clamp(1 - t * p, min=0).mean(),
    "maximum": lambda p, t: torch.max(torch.zeros_like(p), 1 - t * p).mean(),
    "of two": lambda p, t: F.relu(1 - p[t > 0]).mean() + F.relu(1 + p[t < 0]).mean(),
}


@pytest.mark.parametrize("name", HINGES)
@pytest.mark.parametrize(
    ("end", "expected"), [((nn.Sigmoid(),), ["AL213"]), ((nn.ReLU(),), ["AL213"]), ((nn.Tanh(),), []), ((), [])]
)
def test_a_hinge_that_is_never_satisfied_is_reported(name, end, expected):
    assert ids(mlp(1, *end), SIGNS, HINGES[name]) == expected


def test_margins_wider_than_the_range_are_reported():
    assert ids(mlp(4, nn.Softmax(1)), CLASSES, nn.MultiMarginLoss()) == ["AL213"]
    assert ids(mlp(4, nn.Sigmoid()), CLASSES, F.multi_margin_loss) == ["AL213"]
    assert ids(mlp(4, nn.Softmax(1)), CLASSES, nn.MultiMarginLoss(margin=0.2)) == []
    assert ids(mlp(4), CLASSES, nn.MultiMarginLoss()) == []


RIGHT = {
    "binary cross-entropy of a GAN": lambda real, fake: -torch.mean(torch.log(real) + torch.log(1 - fake)),
    "least squares": lambda real, fake: ((real - 1) ** 2).mean() + (fake**2).mean(),
    "a generator": lambda real, fake: -fake.mean(),
    "a penalty beside a loss": lambda real, fake: (
        F.binary_cross_entropy(real, BITS) + 0.1 * (real[:16].mean() - real[16:].mean())
    ),
    "a size of a difference": lambda real, fake: F.binary_cross_entropy(real, BITS) + (real.mean() - fake.mean()).abs(),
    "overlap": lambda real, fake: 1 - (2 * (real * BITS).sum() + 1) / (real.sum() + BITS.sum() + 1),
    "triplet": lambda real, fake: F.relu((real - BITS) ** 2 - (fake - BITS) ** 2 + 0.2).mean(),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_losses_of_bounded_scores_are_not_reported(name):
    assert ids(against((nn.Sigmoid(),)), BITS, lambda out, _: RIGHT[name](*out)) == []


def test_a_bounded_action_is_not_reported():
    model = Applied(
        lambda m, x: m.critic(torch.cat([x, m.actor(x)], 1)), actor=mlp(2, nn.Tanh()), critic=nn.Linear(10, 1)
    )
    assert ids(model, BITS, lambda q, _: -q.mean()) == []


def test_a_gradient_penalty_beside_the_difference_of_means():
    def scored(model, x):
        x = x.clone().requires_grad_()
        score = model.critic(x)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        return score, slope

    def loss(out, _):
        score, slope = out
        return score[:16].mean() - score[16:].mean() + 10 * (slope.norm(dim=1) - 1).square().mean()

    assert "AL213" in ids(Applied(scored, critic=mlp(1, nn.Sigmoid())), CLASSES, loss)
    assert "AL213" not in ids(Applied(scored, critic=mlp(1)), CLASSES, loss)
