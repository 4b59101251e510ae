"""AL117: which terms of a loss train nothing, and which are without a gradient on purpose."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from unit.rules.programs import CLASSES, findings, ids, mlp, sole_fault


def with_cross_entropy(term):
    return lambda z, labels: F.cross_entropy(z, labels) + 0.5 * term(z, labels)


def own_sign(z):
    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            return torch.sign(z)

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    return Sign.apply(z)


DEAD = {
    "argmax": lambda z, y: F.mse_loss(z.argmax(1).float(), y.float()),
    "max indices": lambda z, y: (z.max(1).indices - y).abs().float().mean(),
    "comparison": lambda z, y: (z > 0).float().mean(),
    "operator": lambda z, y: 1 - z.argmax(1).eq(y).float().mean(),
    "sign": lambda z, y: (torch.sign(z) - 1).square().mean(),
    "round": lambda z, y: F.l1_loss(torch.round(z), z.detach().round() + 1),
    "detach": lambda z, y: z.square().detach().mean(),
    "data": lambda z, y: z.data.abs().mean(),
    "item": lambda z, y: torch.tensor(z.square().mean().item()),
    "numpy": lambda z, y: torch.from_numpy(z.detach().numpy() ** 2).mean(),
    "weighted list": lambda z, y: (torch.stack([z.round().mean(), y.float().mean()]) * torch.tensor([1.0, 2.0])).sum(),
    "numpy and back": lambda z, y: torch.tensor(z.detach().numpy().mean()),
    "a list": lambda z, y: sum([z.logsumexp(1).detach().mean(), z.argmax(1).float().var()]),
}


@pytest.mark.parametrize("term", DEAD.values(), ids=DEAD)
def test_a_term_without_a_gradient_is_reported(term):
    assert sole_fault("AL117", mlp(4), CLASSES, with_cross_entropy(term)).severity == "warning"


ALIVE = {
    "softmax": lambda z, y: (1 - z.softmax(1)).mean(),
    "straight through": lambda z, y: (z + (z.round() - z).detach()).square().mean(),
    "own function": lambda z, y: (own_sign(z) - 1).square().mean(),
    "detached weight": lambda z, y: (z.detach().abs() * z).mean(),
    "pseudo-labels": lambda z, y: F.cross_entropy(z, z.argmax(1)),
    "masked": lambda z, y: ((z > 0).float() * z).mean(),
    "offset": lambda z, y: torch.tensor(0.3),
    "of the targets": lambda z, y: y.float().mean(),
    "noise of its shape": lambda z, y: torch.randn_like(z).square().mean(),
    "zeros of its shape": lambda z, y: z.new_zeros(z.shape).mean() + torch.zeros_like(z).sum(),
    "factor 0": lambda z, y: 0 * z.argmax(1).float().mean(),
    "baseline": lambda z, y: z.mean() - z.mean().detach(),
    "hinge": lambda z, y: F.relu(z - 1000).mean(),
}


@pytest.mark.parametrize("term", ALIVE.values(), ids=ALIVE)
def test_other_terms_are_not(term):
    assert "AL117" not in ids(mlp(4), CLASSES, with_cross_entropy(term))


def test_a_number_that_is_added_where_it_is_taken_out():
    def loss(z, labels):
        return F.cross_entropy(z, labels) + 0.1 * z.square().mean().item()

    assert sole_fault("AL117", mlp(4), CLASSES, loss).site.spelling == "x.item()"


def test_a_logged_number_is_no_term():
    def loss(z, labels):
        accuracy = (z.argmax(1) == labels).float().mean().item()
        assert 0 <= accuracy <= 1
        return F.cross_entropy(z, labels)

    assert ids(mlp(4), CLASSES, loss) == []


def test_a_term_that_is_all_of_the_loss_is_left_to_al114():
    reported = findings(mlp(4), CLASSES, lambda z, y: z.argmax(1).float().mean())
    assert [each.id for each in reported if each.severity == "error"] == ["AL114"]
    assert "AL117" not in {each.id for each in reported}


def test_terms_for_each_example():
    def loss(z, labels):
        wrong = (z.argmax(1) != labels).float()
        return (F.cross_entropy(z, labels, reduction="none") + 0.1 * wrong).mean()

    assert sole_fault("AL117", mlp(4), CLASSES, loss).site.spelling == "x.argmax()"
