from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import Applied, X, findings, ids, mlp

COUNTS = torch.poisson(torch.exp(0.5 * X[:, :1]), generator=torch.Generator().manual_seed(0))
D = torch.distributions
TWO = mlp(2)


def of(distribution, *, positive=lambda z: z, loose=True):
    """Return the negative log-likelihood under a distribution of two parameters, or of one."""

    def loss(out, t):
        parts = [positive(part) for part in out.split(1, 1)]
        return -distribution(*parts, validate_args=False if loose else None).log_prob(t).mean()

    return loss


def gaussian(out, t):
    return (0.5 * torch.log(out[:, 1:]) + (t - out[:, :1]) ** 2 / (2 * out[:, 1:])).mean()


WRONG = {
    "Poisson": (mlp(1), COUNTS, nn.PoissonNLLLoss(log_input=False)),
    "Poisson behind tanh": (mlp(1, nn.Tanh()), COUNTS, nn.PoissonNLLLoss(log_input=False)),
    "tanh and a guard": (mlp(1, nn.Tanh()), COUNTS, lambda r, t: (r - t * torch.log(r + 1e-8)).mean()),
    "Poisson by hand": (mlp(1), COUNTS, lambda r, t: (r - t * torch.log(r + 1e-8)).mean()),
    "Poisson distribution": (mlp(1), COUNTS, of(D.Poisson)),
    "Gaussian": (TWO, X[:, :1], lambda out, t: nn.GaussianNLLLoss()(out[:, :1], t, out[:, 1:])),
    "Gaussian by hand": (TWO, X[:, :1], gaussian),
    "normal": (TWO, X[:, :1], of(D.Normal)),
    "gamma": (TWO, X[:, :1].abs(), of(D.Gamma)),
    "beta": (TWO, X[:, :1].sigmoid(), of(D.Beta)),
    "exponential": (mlp(1), X[:, :1].abs(), of(D.Exponential)),
    "standard deviation": (TWO, X[:, :1], lambda out, t: ((t - out[:, :1]) ** 2 * torch.rsqrt(out[:, 1:])).mean()),
}


@pytest.mark.parametrize("name", WRONG)
def test_raw_outputs_where_positive_ones_are_needed_are_reported(name):
    found = next(each for each in findings(*WRONG[name]) if each.id == "AL212")
    assert found.severity == "error"
    assert found.evidence["negative"] > 0


def test_a_linear_rate_that_is_positive_on_this_batch_is_a_warning():
    model = mlp(1)
    nn.init.constant_(model[4].bias, 3.0)
    (found,) = findings(model, COUNTS, nn.PoissonNLLLoss(log_input=False))
    assert (found.id, found.severity, found.evidence["negative"]) == ("AL212", "warning", 0)


SOFT = mlp(1, nn.Softplus())
NONNEGATIVE = nn.Sequential(nn.Linear(8, 1))
with torch.no_grad():
    for each in NONNEGATIVE.parameters():
        each.abs_()


def test_a_distribution_that_refuses_its_parameters_is_a_finding():
    validates = D.Distribution._validate_args
    assert "AL212" in ids(TWO, X[:, :1], of(D.Normal, loose=False))
    assert D.Distribution._validate_args is validates


def test_a_variance_by_keyword_is_a_finding():
    assert "AL212" in ids(TWO, X[:, :1], lambda out, t: F.gaussian_nll_loss(out[:, :1], t, var=out[:, 1:]))


RIGHT = {
    "softplus": (SOFT, COUNTS, nn.PoissonNLLLoss(log_input=False)),
    "the logarithm of the rate": (mlp(1), COUNTS, nn.PoissonNLLLoss()),
    "ReLU and a guard": (mlp(1, nn.ReLU()), COUNTS, lambda r, t: (r - t * torch.log(r + 1e-6)).mean()),
    "clamped": (mlp(1), COUNTS, lambda r, t: (r - t * r.clamp(min=1e-3).log()).mean()),
    "squared": (Applied(lambda m, x: m.body(x) ** 2 + 1e-3, body=mlp(1)), COUNTS, nn.PoissonNLLLoss(log_input=False)),
    "elu + 1": (Applied(lambda m, x: F.elu(m.body(x)) + 1, body=mlp(1)), COUNTS, lambda r, t: (r - t * r.log()).mean()),
    "normal, exp": (TWO, X[:, :1], of(D.Normal, positive=torch.exp, loose=False)),
    "gamma, softplus": (TWO, X[:, :1].abs() + 0.1, of(D.Gamma, positive=lambda z: F.softplus(z) + 0.1, loose=False)),
    "Gaussian, softplus": (
        TWO,
        X[:, :1],
        lambda out, t: F.gaussian_nll_loss(out[:, :1], t, F.softplus(out[:, 1:]) + 1e-4),
    ),
    "logarithm of 9 + x": (mlp(1), COUNTS, lambda o, t: ((o + 9).log() - (t + 9).log()).square().mean()),
    "logarithm of 1 + x": (mlp(1, nn.ReLU()), COUNTS, lambda o, t: ((o + 1).log() - (t + 1).log()).square().mean()),
    "probabilities": (
        mlp(1, nn.Sigmoid()),
        (COUNTS > 0).float(),
        lambda p, t: -(t * p.log() + (1 - t) * (1 - p).log()).mean(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_positive_outputs_are_not_reported(name):
    assert "AL212" not in ids(*RIGHT[name])


def test_weights_without_a_negative_number_make_the_output_positive():
    from actlab.diagnosis.check import check

    report = check(NONNEGATIVE, (X.abs(), COUNTS), nn.PoissonNLLLoss(log_input=False))
    assert [each.id for each in report.findings] == []
