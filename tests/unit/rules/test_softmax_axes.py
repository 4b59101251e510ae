"""Softmax along a wrong axis inside a network, in its many spellings, and the same axes on purpose."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from unit.rules.programs import Applied

N, T, C = 16, 7, 6
SEQUENCES, VECTORS, TIME_FIRST = torch.randn(N, T, C), torch.randn(N, C), torch.randn(T, N, C)
CLASSES = torch.arange(N) % 3


def dense(*sizes):
    return nn.ModuleList(nn.Linear(a, b) for a, b in sizes)


def pooled(m, x, *, dim):
    h = torch.tanh(m.layers[0](x))
    return m.layers[2]((F.softmax(m.layers[1](h), dim) * h).sum(1))


def multiplied(m, x, *, dim):
    return m.layers[2](torch.bmm(F.softmax(m.layers[1](m.layers[0](x)), dim).mT, m.layers[0](x)).squeeze(1))


def written_out(m, x, *, dim):
    h = m.layers[0](x)
    e = torch.exp(m.layers[1](h))
    return m.layers[2]((e / e.sum(dim, keepdim=True) * h).sum(1))


def by_einsum(m, x, *, dim):
    h = m.layers[0](x)
    return m.layers[2](torch.einsum("nt,ntd->nd", m.layers[1](h).squeeze(-1).softmax(dim), h))


def flattened(m, x, *, dim):
    h = m.layers[0](x)
    scores = m.layers[1](h.reshape(-1, 8))
    scores = scores if dim < 2 else scores.reshape(len(x), -1)
    return m.layers[2]((F.softmax(scores, min(dim, 1)).view(len(x), -1, 1) * h).sum(1))


POOLS = [pooled, multiplied, written_out, by_einsum]


def found(function, *parts, x=SEQUENCES, y=CLASSES, loss=F.cross_entropy, **options):
    torch.manual_seed(0)
    model = Applied(lambda m, *inputs: function(m, *inputs, **options), layers=dense(*parts))
    return [each for each in check(model, (x, y), loss).findings if each.severity != "information"]


def ids(*arguments, **options):
    return [each.id for each in found(*arguments, **options)]


SCORED = (C, 8), (8, 1), (8, 3)


@pytest.mark.parametrize("function", POOLS)
def test_attention_over_the_examples_is_reported(function):
    (one,) = found(function, *SCORED, dim=0)
    assert one.id == "AL207"
    assert "is that of the examples" in one.message
    assert one.site.file.endswith("test_softmax_axes.py")
    assert found(function, *SCORED, dim=1) == []


@pytest.mark.parametrize("function", [pooled, multiplied, written_out])
def test_attention_over_one_score_is_reported(function):
    (one,) = found(function, *SCORED, dim=-1)
    assert one.id == "AL206"
    assert "whose length is 1" in one.message


@pytest.mark.filterwarnings("ignore:Implicit dimension")
def test_the_axis_that_pytorch_chooses_is_named():
    (one,) = found(pooled, *SCORED, dim=None)
    assert "axis 0, which PyTorch chooses if no dim is given, is that of the examples" in one.message


def test_scores_of_a_flattened_batch():
    (one,) = found(flattened, *SCORED, dim=0)
    assert (one.id, one.evidence["shape"]) == ("AL207", [N * T, 1])
    assert "and of other axes that were flattened with it" in one.message
    assert ids(flattened, *SCORED, dim=1) == ["AL206"]
    assert ids(flattened, *SCORED, dim=2) == []


def heads(m, x, *, dim):
    q, k, v = (part.view(len(x), -1, 2, 4).transpose(1, 2) for part in m.layers[0](x).chunk(3, -1))
    mixed = F.softmax(q @ k.transpose(-1, -2) / 2, dim) @ v
    return m.layers[1](mixed.transpose(1, 2).flatten(2).mean(1))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_attention_of_several_heads(dim):
    assert ids(heads, (C, 24), (8, 3), dim=dim) == ["AL207"]
    assert ids(heads, (C, 24), (8, 3), dim=3) == []
    assert ids(heads, (C, 24), (8, 3), x=torch.randn(N, 1, C), dim=3) == []  # a sequence of one token


def experts(m, x, *, dim):
    gates, *parts = m.layers
    return (F.softmax(gates(x), dim).unsqueeze(-1) * torch.stack([part(x) for part in parts], 1)).sum(1)


def test_gates_of_experts():
    assert ids(experts, (C, 4), *[(C, 3)] * 4, x=VECTORS, dim=0) == ["AL207"]
    assert ids(experts, (C, 4), *[(C, 3)] * 4, x=VECTORS, dim=1) == []
    assert ids(experts, (C, 1), (C, 3), x=VECTORS, dim=1) == []  # one expert on purpose


def gate(m, x):
    g = torch.softmax(m.layers[0](x), 1)
    return g * m.layers[1](x) + (1 - g) * m.layers[2](x)


def test_a_gate_of_one_unit_is_reported():
    assert ids(gate, (C, 1), (C, 3), (C, 3), x=VECTORS) == ["AL206"]


def excited(m, x, *, dim):
    h = F.relu(m.layers[0](x))
    weights = F.softmax(m.layers[1](h.mean((2, 3))), dim)
    return (h * weights[:, :, None, None]).mean((2, 3))


@pytest.mark.parametrize("dim", [0, 1])
def test_channel_attention(dim):
    torch.manual_seed(0)
    model = Applied(lambda m, x: excited(m, x, dim=dim), layers=nn.ModuleList([nn.Conv2d(3, 8, 3), nn.Linear(8, 8)]))
    report = check(model, (torch.randn(N, 3, 9, 9), CLASSES), F.cross_entropy)
    assert [each.id for each in report.findings] == ["AL207"] * (dim == 0)


@pytest.mark.parametrize("batch_first", [False, True])
def test_fused_attention_over_the_examples(batch_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
    model = Applied(
        lambda m, x: m.out(m.encoder(m.embed(x)).mean(1)),
        embed=nn.Linear(C, 8),
        encoder=nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        out=nn.Linear(8, 3),
    )
    report = check(model, (SEQUENCES, CLASSES), F.cross_entropy)
    assert [each.id for each in report.findings] == ([] if batch_first else ["AL207"])  # once, for both layers
    assert all(each.remedies == ("batch-first",) for each in report.findings)


def time_first(m, x):
    h = m.layers[0](x)
    return m.layers[2]((F.softmax(m.layers[1](h), 0) * h).sum(0))


def time_first_tags(m, x):
    q, k, v = m.layers[0](x).chunk(3, -1)
    weights = F.softmax(torch.einsum("ind,jnd->ijn", q, k), 1)
    return m.layers[1](torch.einsum("ijn,jnd->ind", weights, v))


def of_tags(z, y):
    return F.cross_entropy(z.flatten(0, 1), y.flatten())


def across_examples(m, x):
    q, k, v = (layer(x) for layer in m.layers[:3])
    return m.layers[3](x + F.softmax(q @ k.T / 3, -1) @ v)


def slots(m, x):
    s = m.layers[3].weight.expand(len(x), -1, -1)
    for _ in range(2):
        a = F.softmax(m.layers[0](x) @ m.layers[1](s).mT / 3, -1) + 1e-8
        s = s + (a / a.sum(1, keepdim=True)).mT @ m.layers[2](x)
    return m.layers[4](s.mean(1))


def capsules(m, x):
    u = m.layers[0](x).view(len(x), T, 3, 4)
    b = torch.zeros(len(x), T, 3)
    for _ in range(3):
        v = torch.tanh((F.softmax(b, 2)[..., None] * u).sum(1))
        b = b + (u * v[:, None]).sum(-1)
    return v.norm(dim=-1)


def clusters(m, x):
    a = F.softmax(m.layers[0](x), -1)
    return m.layers[1]((a.mT @ x - a.sum(1)[..., None]).flatten(1))


def mixture(m, x):
    h = torch.tanh(m.layers[0](x))
    return m.layers[1](h).softmax(-1), m.layers[2](h)


def of_mixture(output, y):
    weights, means = output
    return -torch.logsumexp(weights.log() - (y[:, None] - means) ** 2 / 2, 1).mean()


def context_of_all(m, x):
    return m.layers[1](x - (F.softmax(m.layers[0](x), 0) * x).sum(0))


def pairs(m, x):
    one, two = F.normalize(m.layers[0](x), dim=1), F.normalize(m.layers[1](x), dim=1)
    similar = one @ two.T
    return similar * F.softmax(similar / 0.1, 0) * len(x)


def balanced(m, x):
    scores = m.layers[0](x)
    q = F.softmax(scores, 0)
    return q / q.sum(1, keepdim=True) * scores


@pytest.mark.parametrize(
    ("function", "parts", "x", "y", "loss"),
    [
        (time_first, SCORED, TIME_FIRST, CLASSES, F.cross_entropy),
        (time_first_tags, ((C, 24), (8, 3)), TIME_FIRST, torch.randint(3, (T, N)), of_tags),
        (across_examples, ((C, 8), (C, 8), (C, C), (C, 3)), VECTORS, CLASSES, F.cross_entropy),
        (slots, ((C, 8), (8, 8), (C, 8), (8, 4), (8, 3)), SEQUENCES, CLASSES, F.cross_entropy),
        (capsules, ((C, 12),), SEQUENCES, CLASSES, F.cross_entropy),
        (clusters, ((C, 4), (24, 3)), SEQUENCES, CLASSES, F.cross_entropy),
        (mixture, ((C, 8), (8, 1), (8, 1)), VECTORS, torch.randn(N), of_mixture),
        (context_of_all, ((C, 1), (C, 3)), VECTORS, CLASSES, F.cross_entropy),
        (pairs, ((C, 8), (C, 8)), VECTORS, torch.arange(N), F.cross_entropy),
        (balanced, ((C, 3),), VECTORS, CLASSES, F.cross_entropy),
        (pooled, SCORED, torch.randn(N, 1, C), CLASSES, F.cross_entropy),
    ],
)
def test_other_axes_on_purpose_are_not_reported(function, parts, x, y, loss):
    options = {"dim": 1} if function is pooled else {}
    assert found(function, *parts, x=x, y=y, loss=loss, **options) == []
