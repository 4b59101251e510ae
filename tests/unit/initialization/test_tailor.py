"""The subnetwork maximizing function comes from the model's graph, and the tailored activation goes into a copy."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import actlab
from actlab.errors import BadInput
from actlab.initialization.passes import Pass
from actlab.initialization.subnetworks import network_of
from actlab.rules.context import Context
from actlab.rules.observed import Observed
from actlab.sites.find import recorded
from unit.initialization.networks import Plain, ResNet18, ViT


class Shape(nn.Module):
    """A network of 4 features and as many layers as its forward takes; `body(x, layer, act)` is the forward."""

    def __init__(self, body, *, layers=120, sizes=()) -> None:
        super().__init__()
        self.body = body
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(layers))
        self.sized = nn.ModuleDict({f"{a}x{b}": nn.Linear(a, b) for a, b in sizes})
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        waiting = iter(self.layers)
        return self.body(self, x, lambda x: next(waiting)(x), torch.tanh)


def network(model, *inputs):
    inputs = inputs or (torch.randn(3, 4),)
    return network_of(Pass(Context(recorded(model, inputs, {}), Observed(), model)))


W = 0.6
V = math.sqrt(1 - W * W)


def sequence(_, x, layer, act):
    for _ in range(5):
        x = act(layer(x))
    return layer(x)


def residual(_, x, layer, act):
    x = layer(x)
    for _ in range(3):
        x = W * x + V * layer(act(layer(act(x))))
    return layer(act(x))


def residual_by_hand(x, r):
    start = x
    for _ in range(3):
        x = W * W * x + V * V * r(r(x))
    return max(r(x), r(r(start)))


def projected(_, x, layer, act):
    x = act(layer(x))
    return layer(act(W * layer(x) + layer(act(layer(x))) * V))


def post_activation(_, x, layer, act):
    x = layer(x)
    for _ in range(2):
        x = V * layer(act(layer(act(x)))) + W * layer(act(x))
    return layer(act(x))


def post_activation_by_hand(x, r):
    start = x
    for _ in range(2):
        x = V * V * r(r(x)) + W * W * r(x)
    return max(r(x), r(r(start)))


def dense(model, x, layer, act):
    x = layer(x)
    first = torch.cat([x, layer(act(x))], dim=-1)
    second = torch.cat([first, model.sized["8x4"](act(model.sized["8x8"](first)))], dim=-1)
    return model.sized["12x2"](second)


def dense_by_hand(x, r):
    first = (x + r(x)) / 2
    return max((2 * first + r(first)) / 3, r(x))


def transformer(model, x, layer, act):
    x = layer(x)
    for _ in range(2):
        seen = model.norm(x)
        x = W * x + V * model.attention(seen, seen, seen, need_weights=False)[0]
        x = W * x + V * layer(act(layer(model.norm(x))))
    return layer(model.norm(x))


def transformer_by_hand(x, r):
    start = x
    for _ in range(2):
        x = W * W * x + V * V * r(x)
    return max(x, r(start))


def plain_sums(model, x, layer, act):
    x = layer(x)
    for _ in range(3):
        x = x + layer(act(layer(model.norm(x))))
    return layer(model.norm(x))


def plain_sums_by_hand(x, r):
    start = x
    for at in range(1, 4):
        x = (at * x + r(x)) / (at + 1)
    return max(x, r(start))


def three_terms(_, x, layer, act):
    x = layer(x)
    third = math.sqrt(1 / 3)
    return layer(act(third * x + third * layer(act(x)) + third * layer(act(layer(act(x))))))


def three_terms_by_hand(x, r):
    return max(r((x + r(x) + r(r(x))) / 3), r(r(x)))


def own_attention(_, x, layer, act):
    x = layer(x)
    pattern = torch.softmax(layer(x) @ layer(x).mT / 2, dim=-1)
    return layer(act(layer(W * x + V * layer(act(pattern @ layer(x))))))


def tied(model, x, layer, act):
    for _ in range(4):
        x = act(model.layers[0](x))
    return layer(x)


SHAPES = {
    "one layer": (lambda _, x, layer, act: layer(act(layer(x))), lambda x, r: r(x)),
    "sequence": (sequence, lambda x, r: r(r(r(r(r(x)))))),
    "residual": (residual, residual_by_hand),
    "projected shortcut": (projected, lambda x, r: max(r(W * W * r(x) + V * V * r(r(x))), r(r(x)))),
    "all shortcuts projected": (post_activation, post_activation_by_hand),
    "dense": (dense, dense_by_hand),
    "transformer": (transformer, transformer_by_hand),
    "sums before normalization": (plain_sums, plain_sums_by_hand),
    "three terms": (three_terms, three_terms_by_hand),
    "attention written out": (own_attention, lambda x, r: max(r(W * W * x + V * V * r(x)), r(x))),
    "one weight for all": (tied, lambda x, r: r(r(r(r(x))))),
    "dropout switched off": (
        lambda _, x, layer, act: layer(functional.dropout(act(layer(x)), 0.5, training=False)),
        lambda x, r: r(x),
    ),
}

MAPS = {
    "product": (1.0, lambda x: 1.07 * x),
    "sum": (0.0, lambda x: x + 0.03),
    "curve": (0.0, lambda x: x + 0.2 * (1 - x) ** 2),
    "square": (0.5, lambda x: x + x * x / 4),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_subnetwork_function_equals_one_written_by_hand(shape):
    body, by_hand = SHAPES[shape]
    model = Shape(body, sizes=((8, 8), (8, 4), (12, 2)))
    inputs = torch.randn(3, 5, 4)
    found = network(model, inputs)
    for start, step in MAPS.values():
        assert found.largest(step, start) == pytest.approx(max(start, by_hand(start, step)), rel=1e-12)


class ModifiedResNet(nn.Module):
    """The modified ResNet-101 of the papers: bottleneck blocks, the first of each group with a projected shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [at == 0 for count in (3, 4, 23, 3) for at in range(count)]
        self.stem, self.head = nn.Conv2d(3, 2, 1), nn.Linear(2, 2)
        self.main = nn.ModuleList(nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in range(3)) for _ in self.blocks)
        self.shortcut = nn.ModuleList(nn.Conv2d(2, 2, 1) if first else nn.Identity() for first in self.blocks)

    def forward(self, x):
        x = self.stem(x)
        for is_first, main, shortcut in zip(self.blocks, self.main, self.shortcut, strict=True):
            before = torch.relu(x)
            branch = main[2](torch.relu(main[1](torch.relu(main[0](before)))))
            x = W * (shortcut(before) if is_first else x) + V * branch
        return self.head(functional.adaptive_avg_pool2d(torch.relu(x), 1).flatten(1))


def test_the_published_numbers_from_the_graph_of_the_network():
    model, x = ModifiedResNet(), torch.randn(2, 3, 2, 2)
    found = actlab.tailor("relu", model=model, batch=x, method="tat", eta=0.75)
    assert found.network.nonlinear_layers == 100
    assert found.transform.negative_slope == pytest.approx(0.6291800290346146, rel=1e-7)
    assert found.transform.gamma == pytest.approx(1.196996549778802, rel=1e-7)
    assert found.reached == pytest.approx(0.75)
    shaped = actlab.tailor("gelu", model=model, batch=x, zeta=1.2)
    assert shaped.target == pytest.approx(1.002770965849537, rel=1e-12)
    assert shaped.transform.alpha == pytest.approx(0.07043253126531114, rel=1e-7)
    smooth = actlab.tailor("softplus", model=model, batch=x, method="tat", tau=0.2)
    assert smooth.target == pytest.approx(0.00303951367781155, rel=1e-7)
    assert smooth.transform.gamma == pytest.approx(10.54880187880574, rel=1e-7)


def test_it_is_applied_to_a_copy():
    layers = [part for _ in range(6) for part in (nn.Linear(16, 16), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Linear(16, 3), nn.Sigmoid())
    x = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    before = model(x)
    found = actlab.tailor("tanh", model=model, batch=x)
    copied = found.apply(model)
    assert torch.equal(model(x), before)
    assert isinstance(model[1], nn.Tanh)
    assert [actlab.sites(copied, x)[at].formula.key for at in range(6)] == [found.activation.key] * 6
    assert isinstance(copied[-1], nn.Sigmoid)
    actlab.initialize(copied, x, "orthogonal", seed=0)
    with torch.no_grad():
        hidden = copied[:-3](x)
    # f̂ preserves the variance, and correlations grow by ζ at most
    assert float(hidden.square().mean()) == pytest.approx(1, abs=0.1)
    shown = json.loads(json.dumps(found.to_json()))
    assert (shown["nonlinear_layers"], shown["q"]) == (6, pytest.approx(1))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda _, x, layer, act: layer(act(act(layer(x)))), "no layer with random weights is between"),
        (lambda _, x, layer, act: layer(act(x)), "no layer with random weights is between"),
        (lambda _, x, layer, act: layer(act(layer(x) + layer(act(layer(x))))), "is not normalized: it has 2 times"),
        (lambda _, x, layer, act: layer(act(act(layer(x)) + layer(x))), "no layer with random weights|not normalized"),
        (lambda _, x, layer, act: layer(act(layer(functional.dropout(act(layer(x)), 0.5)))), "dropout changes the"),
        (
            lambda _, x, layer, act: layer(act(functional.batch_norm(layer(x), None, None, training=True))),
            "batch_norm makes each example depend",
        ),
        (
            lambda _, x, layer, act: layer(act(layer(functional.max_pool1d(act(layer(x)), 3, 1, 1)))),
            "max_pool1d pools values before an activation",
        ),
        (lambda _, x, layer, act: layer(act(layer(act(layer(x)).exp()))), "exp cannot be followed"),
        (lambda _, x, layer, act: layer(functional.silu(layer(x)) * layer(x)), "the gated unit swiglu multiplies"),
        (lambda _, x, layer, act: layer(act(layer(layer(x) * layer(act(layer(x)))))), "mul cannot be followed"),
        (lambda _, x, layer, act: act(layer(x)), "no element-wise activation between two layers"),
    ],
    ids=["twice", "input", "sum", "after", "dropout", "batch norm", "pool", "exp", "gate", "product", "output"],
)
def test_conditions_that_do_not_hold_are_named(body, message):
    with pytest.raises(BadInput, match=message):
        actlab.tailor("tanh", model=Shape(body), batch=torch.randn(4, 4))


def test_known_networks():
    with pytest.raises(BadInput, match="Use layer normalization"):
        actlab.tailor("relu", model=ResNet18(8), batch=torch.randn(2, 3, 16, 16))
    with pytest.raises(BadInput, match=r"the sum before .* is not normalized"):
        actlab.tailor("relu", model=Plain(8), batch=torch.randn(2, 8))
    found = actlab.tailor("gelu", model=ViT(16, depth=2), batch=torch.randn(2, 3, 32, 32), zeta=1.2)
    assert found.network.nonlinear_layers == 2
    assert len(actlab.sites(found.apply(ViT(16, depth=2)), torch.randn(2, 3, 32, 32))) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "xyz"}, "must be dks or tat"),
        ({"zeta": 1.0}, "must be above 1"),
        ({"tau": 0.0}, "must be above 0"),
        ({"eta": 1.0}, "between 0 and 1"),
        ({"batch": torch.ones(2, 3)}, "the model raised RuntimeError"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(BadInput, match=message):
        actlab.tailor("tanh", model=Shape(sequence), **{"batch": torch.randn(2, 4), **settings})
