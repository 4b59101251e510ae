from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import BITS, CLASSES, Applied, X, findings, ids, mlp, picked, sole_fault, squares

COUNTS = torch.poisson(torch.exp(0.5 * X[:, :1]), generator=torch.Generator().manual_seed(0))
HUNDRED = torch.arange(32) % 32
SHARES = torch.full((32, 4), 0.25)


@pytest.mark.parametrize("loss", [F.mse_loss, squares])
def test_signed_targets_for_a_sigmoid_are_reported(loss):
    found = sole_fault("AL208", mlp(1, nn.Sigmoid()), X[:, :1], loss, path="5")
    assert found.evidence["range"] == [0, 1]


def test_large_targets_for_a_tanh_are_reported():
    sole_fault("AL208", mlp(1, nn.Tanh()), 5 * X[:, :1], lambda p, y: ((p - y) ** 2).mean(), path="5")


def test_softmax_for_targets_that_do_not_sum_to_1_is_reported():
    found = sole_fault("AL208", mlp(5, nn.Softmax(1)), torch.sigmoid(X[:, :5]), F.mse_loss, path="5")
    assert found.remedies == ("use-sigmoid", "linear-output")


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
        (mlp(4, nn.Sigmoid()), SHARES, F.cross_entropy, None),
        (mlp(1), COUNTS, nn.PoissonNLLLoss(), None),
        (mlp(1, nn.Tanh()), COUNTS[:1].expand(32, 1) * 0 + 1, nn.PoissonNLLLoss(), None),
        (mlp(1, nn.Softplus()), COUNTS, nn.PoissonNLLLoss(log_input=False), None),
        (mlp(1, nn.Softplus()), COUNTS, nn.PoissonNLLLoss(), "error"),
        (mlp(1, nn.ReLU()), COUNTS, F.poisson_nll_loss, "error"),
        (mlp(1, nn.ReLU()), 5 + COUNTS, F.poisson_nll_loss, None),
    ],
)
def test_bounded_logits_and_rates_cannot_reach_their_targets(model, targets, loss, severity):
    found = [each for each in findings(model, targets, loss) if each.id == "AL208"]
    assert [each.severity for each in found] == ([] if severity is None else [severity])


def test_an_exponential_as_logarithm_of_a_rate_is_reported():
    model = Applied(lambda model, x: torch.exp(model.body(x)), body=mlp(1))
    (found,) = findings(model, COUNTS, nn.PoissonNLLLoss())
    assert (found.id, found.site.path) == ("AL208", "")
    assert "so the rate lies between 1 and inf" in found.message
    assert ids(model, COUNTS, nn.PoissonNLLLoss(log_input=False)) == []


ACTIONS = 2 * X[:, :2]


def likelihood(output, actions):
    return torch.distributions.Normal(output, torch.ones(2).requires_grad_().exp()).log_prob(actions).sum(1)


@pytest.mark.parametrize(
    "loss",
    [
        lambda output, y: -((likelihood(output, y) - 0.5).exp() * X[:, 0]).mean(),
        lambda output, y: -(likelihood(output, y) * X[:, 0]).mean(),
        lambda output, y: -(likelihood(output, y) * X[:, 0].exp()).mean(),
    ],
)
def test_actions_drawn_around_a_bounded_mean_are_right(loss):
    assert ids(mlp(2, nn.Tanh()), ACTIONS, loss) == []


def test_the_same_likelihood_of_targets_is_reported():
    assert "AL208" in ids(mlp(2, nn.Tanh()), ACTIONS, lambda output, y: -likelihood(output, y).mean())


def test_weighted_squares_are_reported():
    assert "AL208" in ids(mlp(2, nn.Tanh()), ACTIONS, lambda p, y: (((p - y) ** 2).sum(1) * X[:, 0].exp()).mean())


def test_logits_that_are_never_positive_are_reported():
    assert sole_fault("AL208", mlp(1, nn.LogSigmoid()), BITS, nn.BCEWithLogitsLoss()).severity == "warning"
    assert ids(mlp(4, nn.LogSigmoid()), CLASSES, F.cross_entropy) == []  # only differences of logits count


@pytest.mark.parametrize("loss", [F.mse_loss, F.binary_cross_entropy])
def test_an_activation_that_another_one_bounds(loss):
    first = sole_fault("AL208", mlp(1, nn.Tanh(), nn.Sigmoid()), BITS, loss)
    assert "since tanh at 5[0] bounds its input" in first.message
    assert ids(mlp(1, nn.LeakyReLU(), nn.Sigmoid()), BITS, loss) == []


def test_a_module_that_is_applied_twice():
    twice = nn.Tanh()
    assert "-0.762" in sole_fault("AL208", mlp(1, twice, twice), 0.95 * X[:, :1].sign(), F.mse_loss).message
