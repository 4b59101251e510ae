from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from unit.rules.programs import Applied

N, T, D = 8, 10, 128
X = torch.randn(N, T, D, generator=torch.Generator().manual_seed(4))
CLASSES = torch.arange(N) % 3


def softmaxed(q, k, **_):
    return F.softmax(q @ k.mT, -1)


def late(q, k, **_):
    return F.softmax(q @ k.mT, -1) / math.sqrt(D)


def upside_down(q, k, **_):
    return F.softmax(q @ k.mT * math.sqrt(D), -1)


def masked(q, k, **_):
    return F.softmax((q @ k.mT).masked_fill(torch.ones(T, T).triu(1).bool(), -1e9), -1)


def by_einsum(q, k, **_):
    return torch.einsum("nid,njd->nij", q, k).softmax(-1)


def by_bmm(q, k, **_):
    return nn.Softmax(dim=2)(torch.bmm(q, k.transpose(1, 2)))


def of_heads(q, k, **_):
    q, k = (each.view(N, T, 1, D).transpose(1, 2) for each in (q, k))
    return F.softmax(q @ k.transpose(-2, -1), -1).squeeze(1)


def weakly(q, k, **_):
    return F.softmax(q @ k.mT * 0.9, -1)


UNSCALED = [softmaxed, late, upside_down, masked, by_einsum, by_bmm, of_heads, weakly]


def scaled(q, k, **_):
    return F.softmax(q @ k.mT / math.sqrt(D), -1)


def scaled_queries(q, k, **_):
    return F.softmax((q * D**-0.5) @ k.mT, -1)


def scaled_by_tensor(q, k, **_):
    return F.softmax(q @ k.mT / torch.sqrt(torch.tensor(float(D))), -1)


def halves(q, k, **_):
    return F.softmax((q * D**-0.25) @ (k * D**-0.25).mT, -1)


def cosine(q, k, **_):
    return F.softmax(F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT / 0.02, -1)


def cold(q, k, **_):
    return F.softmax(q @ k.mT / math.sqrt(D) / 0.01, -1)


def learned(q, k, scale):
    return F.softmax(q @ k.mT * scale, -1)


def one_key_left(q, k, **_):
    return F.softmax((q @ k.mT).masked_fill(~torch.eye(T).bool(), -1e9), -1)


def over_neighbors(q, k, **_):
    return F.softmax(
        (q @ k.mT).masked_fill(torch.ones(T, T).triu(2).bool() | torch.ones(T, T).tril(-2).bool(), -1e9), -1
    )


SCALED = [scaled, scaled_queries, scaled_by_tensor, halves, cosine, cold, learned, one_key_left, over_neighbors]


def ids(attention, *, gain=2.0):
    torch.manual_seed(0)
    model = Applied(
        lambda m, x: m.out((attention(m.q(x), m.k(x), scale=m.scale) @ m.v(x)).mean(1)),
        q=nn.Linear(D, D),
        k=nn.Linear(D, D),
        v=nn.Linear(D, D),
        out=nn.Linear(D, 3),
        scale=nn.Parameter(torch.ones(())),
    )
    for layer in (model.q, model.k):
        nn.init.normal_(layer.weight, std=gain / D**0.5)
    report = check(model, (X, CLASSES), F.cross_entropy)
    return [(each.id, each.evidence["width"]) for each in report.findings if each.severity != "information"]


@pytest.mark.parametrize("attention", UNSCALED)
def test_unscaled_attention_that_is_saturated_is_reported(attention):
    assert ids(attention) == [("AL312", D)]
    assert ids(attention, gain=0.1 if attention is not upside_down else 0.02) == []  # it does no harm


@pytest.mark.parametrize("attention", SCALED)
def test_scaled_peaked_and_masked_attention_is_not_reported(attention):
    assert ids(attention) == []


def test_a_factor_after_the_softmax_is_named():
    torch.manual_seed(0)
    model = Applied(
        lambda m, x: m.out((late(m.q(x), m.k(x)) @ x).mean(1)),
        q=nn.Linear(D, D),
        k=nn.Linear(D, D),
        out=nn.Linear(D, 3),
    )
    nn.init.normal_(model.q.weight, std=4 / D**0.5)
    (found,) = check(model, (X, CLASSES), F.cross_entropy).findings
    assert "The weights are multiplied by 0.0884 after the softmax, which does not help." in found.message
    assert found.evidence["factor"] == 1
    assert found.site.activation == "softmax"
