"""The group of a site follows from what the dataflow does with its result."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.rules.site_groups import site_groups
from actlab.sites.find import recorded
from unit.rules.programs import Applied


def groups(function, *shape, **parts):
    trace = recorded(Applied(function, **parts), (torch.randn(4, *shape),), {})
    return [(site.activation, group) for site, group in zip(trace.sites, site_groups(trace), strict=True)]


def two(**more):
    return {"a": nn.Linear(8, 8), "b": nn.Linear(8, 8), "out": nn.Linear(8, 2), **more}


def recurrent(m, x):
    state = x.new_zeros(len(x), 8)
    for step in range(3):
        state = m.cell(x[:, step], state)
    return m.out(state[0] if isinstance(state, tuple) else state)


def long_short(m, x):
    h = c = x.new_zeros(len(x), 8)
    for step in range(x.shape[1]):
        i, f, g, o = (m.of_input(x[:, step]) + m.of_state(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return m.out(h)


@pytest.mark.parametrize(
    ("function", "parts", "expected"),
    [
        (lambda m, x: m.out(F.relu(m.a(x))), two(), ["hidden"]),
        (lambda m, x: m.b(F.relu(m.a(x))).sigmoid(), two(), ["hidden", "output"]),
        (lambda m, x: m.b(F.relu(m.a(x))).sigmoid().flatten(), two(), ["hidden", "output"]),
        (lambda m, x: m.out(m.a(x) * F.silu(m.b(x))), two(), ["gate"]),
        (lambda m, x: m.out(x * torch.sigmoid(m.b(F.relu(m.a(x))))), two(), ["hidden", "gate"]),
        (lambda m, x: m.out(torch.tanh(m.a(x)) * torch.sigmoid(m.b(x))), two(), ["hidden", "gate"]),
        (lambda m, x: m.out(x + m.b(F.relu(m.a(x)))), two(), ["block"]),
        (lambda m, x: m.out(F.relu(x + m.b(F.gelu(m.a(x))))), two(), ["block", "hidden"]),
        # a shortcut with weights of its own
        (lambda m, x: m.out((lambda y: m.a(y) + m.b(F.relu(y)))(F.elu(x))), two(), ["hidden", "block"]),
        # two layers side by side, each of the input, are not a residual block
        (lambda m, x: m.out(m.a(x) + F.relu(m.b(x))), two(), ["hidden"]),
        (lambda m, x: m.out(torch.cat([x, F.relu(m.a(x))], 1)[:, 4:12]), two(), ["hidden"]),
        # neither a mask of dropout nor a weight is another branch
        (lambda m, x: m.out(F.relu(m.a(x)) * torch.bernoulli(torch.full((8,), 0.5))), two(), ["hidden"]),
        (lambda m, x: m.out(F.relu(m.a(x)) * m.scale + m.scale), two(scale=nn.Parameter(torch.ones(8))), ["hidden"]),
    ],
)  # fmt: skip
def test_the_group_follows_from_the_dataflow(function, parts, expected) -> None:
    found = [group for _, group in groups(function, 8, **parts)]
    assert found == expected


def test_the_gates_of_recurrent_cells_are_gates() -> None:
    parts = {"of_input": nn.Linear(3, 32), "of_state": nn.Linear(8, 32), "out": nn.Linear(8, 2)}
    assert groups(long_short, 3, 3, **parts) == [
        ("sigmoid", "gate"),
        ("sigmoid", "gate"),
        ("tanh", "hidden"),
        ("sigmoid", "gate"),
        ("tanh", "hidden"),
    ]
    cell = {"cell": actlab.nn.GRUCell(3, 8), "out": nn.Linear(8, 2)}
    assert groups(recurrent, 3, 3, **cell) == [("sigmoid", "gate"), ("tanh", "hidden")]


def test_squeeze_and_excitation_in_a_block() -> None:
    def function(m, x):
        x = torch.relu(m.a(x))
        y = m.b(torch.tanh(x))
        gate = torch.sigmoid(m.f(y.mean((2, 3))))[:, :, None, None]
        return m.out(torch.relu(m.s(x) + y * gate).mean((2, 3)))

    parts = {
        "a": nn.Conv2d(1, 4, 3, padding=1),
        "b": nn.Conv2d(4, 4, 3, padding=1),
        "s": nn.Conv2d(4, 4, 1),
        "f": nn.Linear(4, 4),
        "out": nn.Linear(4, 2),
    }
    assert [group for _, group in groups(function, 1, 5, 5, **parts)] == ["hidden", "block", "gate", "hidden"]
