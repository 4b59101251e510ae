from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from unit.rules.programs import CLASSES, LAYERS, Applied, Composite, X, findings, ids, sole_fault


def test_two_linear_layers_are_reported_with_the_single_layer():
    found = sole_fault("AL301", nn.Sequential(nn.Linear(8, 32), nn.Linear(32, 4)), CLASSES, F.cross_entropy)
    assert found.message.startswith("no non-linearity between 0 and 1: ")
    assert found.evidence["layers"] == ["0", "1"]
    assert found.evidence["equivalent"] == [8, 4]
    assert (found.evidence["weights"], found.evidence["weights_of_one"]) == (8 * 32 + 32 * 4, 32)


@pytest.mark.parametrize("spelling", LAYERS)
def test_layers_collapse_however_they_are_written(spelling):
    (found,) = findings(Composite(spelling, 8, 32, 4), CLASSES, F.cross_entropy)
    assert found.id == "AL301"
    assert found.evidence["equivalent"] == [8, 4]
    assert found.evidence["apart"] < 1e-5
    assert all(line.partition(":")[0].endswith("programs.py") for line in found.evidence["lines"])
    assert ids(Composite(spelling, 8, 32, 4, act=torch.relu), CLASSES, F.cross_entropy) == []
    assert ids(Composite(spelling, 8, 3, 32), X.repeat(1, 4), F.mse_loss) == []  # of lower rank on purpose


def test_a_hidden_non_linearity_is_found_by_value():
    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clamp(-0.1, 0.1)

        @staticmethod
        def backward(ctx, dy):
            return dy

    class Hidden(Composite):
        def forward(self, x):
            h = self.layer(x, self.weights[0], self.biases[0])
            array = h.detach().numpy()
            array.clip(-0.1, 0.1, out=array)  # PyTorch does not know
            return self.layer(h, self.weights[1], self.biases[1])

    assert ids(Hidden("matmul and add", 8, 32, 4), CLASSES, F.cross_entropy) == []
    assert ids(Composite("addmm", 8, 32, 4, act=Clipped.apply), CLASSES, F.cross_entropy) == []


@pytest.mark.parametrize("between", [nn.Dropout(0.3), nn.BatchNorm1d(32), nn.Identity(), nn.Unflatten(1, (4, 8))])
def test_layers_with_affine_steps_in_between_collapse(between):
    end = nn.Flatten() if isinstance(between, nn.Unflatten) else nn.Identity()
    model = nn.Sequential(nn.Linear(8, 32), between, end, nn.Linear(32, 4))
    found = sole_fault("AL301", model, CLASSES, F.cross_entropy, path="3")
    assert (found.evidence["apart"] is None) is not isinstance(between, nn.Identity)


def test_a_number_added_in_between_is_affine():
    (found,) = findings(Composite("F.linear", 8, 32, 4, act=lambda x: x + 0.5), CLASSES, F.cross_entropy)
    assert found.id == "AL301"
    assert found.evidence["apart"] < 1e-5


class OnlyInTraining(nn.Module):
    """Applies its activation only in training, as a wrong indentation does."""

    def __init__(self, *, always):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.always = nn.Linear(8, 32), nn.Linear(32, 4), always

    def forward(self, x):
        x = self.one(x)
        if self.training or self.always:
            x = F.dropout(F.relu(x), 0.1, self.training)
        return self.two(x)


def test_layers_that_collapse_only_in_evaluation_mode_are_reported():
    (found,) = findings(OnlyInTraining(always=False), CLASSES, F.cross_entropy)
    assert (found.id, found.evidence["layers"]) == ("AL301", ["one", "two"])
    assert "in evaluation mode" in found.message
    assert ids(OnlyInTraining(always=True), CLASSES, F.cross_entropy) == []
    always = nn.Sequential(nn.Linear(8, 32), nn.Linear(32, 4))
    assert ids(always, CLASSES, F.cross_entropy) == ["AL301"]  # once


class Discards(nn.Module):
    """Applies an activation and discards the result."""

    def __init__(self, call):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.act, self.call = nn.Linear(8, 32), nn.Linear(32, 4), nn.ReLU(), call

    def forward(self, x):
        x = self.one(x)
        self.call(self, x)
        return self.two(x)


@pytest.mark.parametrize("call", [lambda m, x: F.relu(x), lambda m, x: m.act(x), lambda m, x: x.relu() + 1])
@pytest.mark.parametrize("steps", [0, 12])
def test_an_activation_whose_result_is_discarded_is_reported(call, steps):
    report = check(Discards(call), (X, CLASSES), F.cross_entropy, train_steps=steps)
    (found,) = [each for each in report.findings if each.severity != "information"]
    assert found.id == "AL301"
    assert "The result of relu at line" in found.message


def test_an_activation_in_place_is_not_discarded():
    assert ids(Discards(lambda m, x: F.relu_(x)), CLASSES, F.cross_entropy) == []


class Adapted(nn.Module):
    """A frozen head with two small layers beside it, whose output is added to the head's."""

    def __init__(self, *, beside):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Sequential(nn.Linear(8, 64), nn.ReLU()), nn.Linear(64, 3).requires_grad_(False)
        self.down, self.up, self.beside = nn.Linear(64, 4, bias=False), nn.Linear(4, 3, bias=False), beside

    def forward(self, x):
        h = self.body(x)
        added = 2.0 * self.up(F.dropout(self.down(h), 0.1, self.training))
        return self.head(h) + added if self.beside else added


def test_an_adapter_beside_a_layer_is_intentional():
    targets = torch.arange(32) % 3
    assert ids(Adapted(beside=True), targets, F.cross_entropy) == []
    assert ids(Adapted(beside=False), targets, F.cross_entropy) == ["AL301"]


def test_a_scale_between_layers_is_a_straight_line():
    assert ids(Composite("F.linear", 8, 32, 4, act=lambda x: 2 * x - 1), CLASSES, F.cross_entropy) == ["AL301"]
    assert ids(Composite("F.linear", 8, 32, 4, act=lambda x: torch.maximum(x, 1.0 * x)), CLASSES, F.cross_entropy) == [
        "AL301"
    ]
    assert ids(Composite("F.linear", 8, 32, 4, act=lambda x: torch.maximum(x, 0.5 * x)), CLASSES, F.cross_entropy) == []


EINSUMS = {"bi,io->bo": (8, 16, 4), "bi,oi->bo": (8, 16, 4)}


@pytest.mark.parametrize("equation", EINSUMS)
@pytest.mark.parametrize("weight_first", [False, True])
def test_layers_written_as_einsum_collapse(equation, weight_first):
    def layer(x, weight):
        weight = weight if equation == "bi,io->bo" else weight.T
        terms, result = equation.split("->")
        swapped = ",".join(reversed(terms.split(","))) + "->" + result
        return torch.einsum(swapped, weight, x) if weight_first else torch.einsum(equation, x, weight)

    def model(act):
        parts = {name: nn.Parameter(torch.randn(size) / 3) for name, size in [("one", (8, 16)), ("two", (16, 4))]}
        return Applied(lambda m, x: layer(act(layer(x, m.one)), m.two), **parts)

    (found,) = findings(model(lambda h: h), CLASSES, F.cross_entropy)
    assert (found.id, found.evidence["equivalent"]) == ("AL301", [8, 4])
    assert ids(model(torch.relu), CLASSES, F.cross_entropy) == []


def over_time_then_channels(m, x):
    return m.out(F.relu(m.channels(m.time(x))).mean(1))


def test_layers_along_different_axes_do_not_collapse():
    parts = {"time": nn.Conv1d(6, 24, 1), "channels": nn.Linear(24, 8), "out": nn.Linear(8, 3)}
    report = check(Applied(over_time_then_channels, **parts), (torch.randn(8, 6, 24), CLASSES[:8] % 3), F.cross_entropy)
    assert report.findings == ()


@pytest.mark.parametrize("beside", ["the first layer", "the second layer"])
def test_an_activation_that_is_never_called_is_named(beside):
    class Block(nn.Module):
        def __init__(self, has):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            if has:
                self.act = nn.GELU()

        def forward(self, x):
            return self.layer(x)

    model = nn.Sequential(Block(beside == "the first layer"), Block(beside == "the second layer"))
    (found,) = findings(model, CLASSES, F.cross_entropy)
    path = "0.act" if beside == "the first layer" else "1.act"
    assert f"{path} is never called." in found.message
    assert found.evidence["never_called"] == [path]
    assert found.remedies[0] == "call-activation"


def test_an_activation_discarded_after_normalization_is_named():
    def forward(m, x):
        h = m.norm(m.one(x))
        m.act(h)
        return m.two(h)

    parts = {"one": nn.Linear(8, 16), "norm": nn.BatchNorm1d(16), "act": nn.ReLU(), "two": nn.Linear(16, 4)}
    (found,) = findings(Applied(forward, **parts), CLASSES, F.cross_entropy)
    assert "The result of relu at line" in found.message
    assert found.evidence["never_called"] == []


class Ends(nn.Module):
    """A block that ends in a linear layer."""

    def __init__(self, before, after):
        super().__init__()
        self.before, self.after = nn.Linear(before, after), nn.Linear(after, after)

    def forward(self, x):
        return self.after(F.relu(self.before(x)))


class Plain(nn.Module):
    """A block of one layer, without any activation."""

    def __init__(self, before, after):
        super().__init__()
        self.layer, self.norm = nn.Linear(before, after), nn.BatchNorm1d(after)

    def forward(self, x):
        return self.norm(self.layer(x))


def severities(model, inputs=X):
    torch.manual_seed(0)
    report = check(model, (inputs, torch.arange(len(inputs)) % 4), F.cross_entropy)
    return {each.severity for each in report.findings if each.id == "AL301"}


def attended(m, x):
    q, k, v = m.parts(torch.relu(m.embed(x))).chunk(3, -1)
    return m.head(m.out((q @ k.transpose(1, 2)).softmax(-1) @ v))[:, 0]


ITEMS = torch.randn(16, 5, 8)
USUAL = {
    "the end of one block and the start of the next": (nn.Sequential(Ends(8, 16), Ends(16, 16)), X),
    "a mean over positions": (
        Applied(
            lambda m, x: m.out(m.projector(torch.relu(m.embed(x))).mean(1)),
            embed=nn.Linear(8, 16), projector=nn.Linear(16, 16), out=nn.Linear(16, 4),
        ),
        ITEMS,
    ),
    "a projection of attention": (
        Applied(
            attended,
            embed=nn.Linear(8, 16), parts=nn.Linear(16, 48), out=nn.Linear(16, 16), head=nn.Linear(16, 4),
        ),
        ITEMS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", USUAL)
def test_pairs_of_layers_that_are_common_on_purpose_are_information(case):
    model, inputs = USUAL[case]
    assert severities(model, inputs) == {"information"}


def test_the_same_part_of_blocks_of_one_class_is_a_warning():
    model = nn.Sequential(Plain(8, 16), Plain(16, 16), nn.ReLU(), nn.Linear(16, 4))
    assert severities(model) == {"warning"}


def test_layers_of_a_list_are_called_by_its_owner():
    def forward(m, x):
        for layer in m.layers:
            x = layer(x)
        return m.out(torch.relu(x))

    layers = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 16)])
    assert severities(Applied(forward, layers=layers, out=nn.Linear(16, 4))) == {"warning"}
