from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import BITS, CLASSES, Applied, X, findings, ids, mlp, sole_fault

SIGNS, COLUMN = 2 * BITS - 1, CLASSES.float()[:, None]
MISSING = torch.where(X[:, 1:2] > 0.5, torch.tensor(-1.0), BITS)
DISTANCE = Applied(lambda model, x: (model.body(x) - model.body(-x)).norm(dim=1), body=mlp(4))
SHARES = X[:, :4].softmax(1)


def focal(z, t):
    return (0.25 * F.binary_cross_entropy_with_logits(z, t, reduction="none") ** 2).mean()


def by_hand(p, t):
    return -(t * torch.log(p) + (1 - t) * torch.log(1 - p)).mean()


def hinge(z, t):
    return F.relu(1 - t * z).mean()


def clamped_hinge(z, t):
    return torch.clamp(1 - z * t, min=0).mean()


WRONG = {
    "signs": (mlp(1), SIGNS, F.binary_cross_entropy_with_logits),
    "signs, probabilities": (mlp(1, nn.Sigmoid()), SIGNS, nn.BCELoss()),
    "bytes": (mlp(1, nn.Sigmoid()), 255 * BITS, F.binary_cross_entropy),
    "classes": (mlp(1), COLUMN, nn.BCEWithLogitsLoss()),
    "by hand": (mlp(1, nn.Sigmoid()), SIGNS, by_hand),
    "focal": (mlp(1), SIGNS, focal),
    "Bernoulli": (
        mlp(1),
        SIGNS,
        lambda z, t: -torch.distributions.Bernoulli(logits=z, validate_args=False).log_prob(t).mean(),
    ),
    "several labels": (mlp(4), X[:, :4].sign(), nn.MultiLabelSoftMarginLoss()),
    "negative counts": (mlp(1), X[:, :1], nn.PoissonNLLLoss()),
    "soft margin": (mlp(1), BITS, nn.SoftMarginLoss()),
    "hinge embedding": (DISTANCE, BITS[:, 0], F.hinge_embedding_loss),
    "cosine embedding": (
        Applied(lambda model, x: (model.body(x), model.body(-x)), body=mlp(4)),
        BITS[:, 0],
        lambda out, t: F.cosine_embedding_loss(*out, t),
    ),
    "ranking": (
        Applied(lambda model, x: (model.body(x)[:, 0], model.body(-x)[:, 0]), body=mlp(1)),
        BITS[:, 0],
        lambda out, t: F.margin_ranking_loss(*out, t, margin=1.0),
    ),
    "hinge": (mlp(1), BITS, hinge),
    "clamped hinge": (mlp(1), BITS, clamped_hinge),
    "probabilities for logarithms": (
        mlp(4, nn.LogSoftmax(1)),
        SHARES,
        nn.KLDivLoss(reduction="batchmean", log_target=True),
    ),
    "negative shares": (mlp(4), X[:, :4], F.cross_entropy),
}


@pytest.mark.parametrize("name", WRONG)
def test_targets_that_the_loss_cannot_take_are_reported(name):
    found = sole_fault("AL211", *WRONG[name])
    assert found.severity == "error"
    assert found.evidence["outside"] > 0


def test_logarithms_for_probabilities_are_reported():
    loss = nn.KLDivLoss(reduction="batchmean")
    assert "AL211" in ids(mlp(4, nn.LogSoftmax(1)), SHARES.log(), loss)


RIGHT = {
    "0 and 1": (mlp(1), BITS, F.binary_cross_entropy_with_logits),
    "smoothed": (mlp(1), 0.9 * BITS + 0.05, F.binary_cross_entropy_with_logits),
    "masked": (
        mlp(1),
        MISSING,
        lambda z, t: (F.binary_cross_entropy_with_logits(z, t, reduction="none") * (t >= 0)).mean(),
    ),
    "left out": (mlp(1), MISSING, lambda z, t: F.binary_cross_entropy_with_logits(z[t >= 0], t[t >= 0])),
    "weighted": (mlp(1), MISSING, lambda z, t: F.binary_cross_entropy_with_logits(z, t, weight=(t >= 0).float())),
    "masked by hand": (
        mlp(1, nn.Sigmoid()),
        MISSING,
        lambda p, t: -((t * torch.log(p) + (1 - t) * torch.log(1 - p)) * (t >= 0)).mean(),
    ),
    "soft margin": (mlp(1), SIGNS, nn.SoftMarginLoss()),
    "hinge": (mlp(1), SIGNS, hinge),
    "contrastive": (DISTANCE, BITS[:, 0], lambda d, t: (t * d**2 + (1 - t) * F.relu(1 - d) ** 2).mean()),
    "counts": (mlp(1), COLUMN, nn.PoissonNLLLoss()),
    "shares": (mlp(4, nn.LogSoftmax(1)), SHARES, nn.KLDivLoss(reduction="batchmean")),
    "logarithms": (mlp(4, nn.LogSoftmax(1)), SHARES.log(), nn.KLDivLoss(reduction="batchmean", log_target=True)),
    "distances": (DISTANCE, SIGNS[:, 0], F.hinge_embedding_loss),
}


@pytest.mark.parametrize("name", RIGHT)
def test_targets_that_the_loss_takes_are_not_reported(name):
    assert ids(*RIGHT[name]) == []


@pytest.mark.parametrize(("noise", "severity"), [(0.04, "information"), (0.2, "warning"), (0.6, "error")])
def test_noise_on_labels_counts_by_its_size(noise, severity):
    noisy = BITS + noise * torch.linspace(-1, 1, 32)[:, None]
    (found,) = findings(mlp(1), noisy, F.binary_cross_entropy_with_logits)
    assert (found.id, found.severity) == ("AL211", severity)


def test_the_place_is_the_line_of_the_loss_or_the_layer_before_it():
    def loss(z, t):
        return F.binary_cross_entropy_with_logits(z, t)

    assert sole_fault("AL211", mlp(1), SIGNS, loss).site.spelling == "F.binary_cross_entropy_with_logits"
    from actlab.diagnosis.check import check

    (found,) = check(mlp(1), (X, SIGNS), nn.BCEWithLogitsLoss()).findings
    assert found.site.path == "4"
