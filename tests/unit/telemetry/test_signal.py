"""The signal in a model: measured as hooks measure it, predicted as written out by hand, and why the two part."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import actlab
from actlab.errors import BadInput
from actlab.telemetry.signal.answer import Signal, SiteSignal

WIDTH, EXAMPLES = 512, 16


def mlp(
    width: int = WIDTH, *, depth: int = 3, std: float = 1.4, bias: float = 0.3, act: type = nn.ReLU
) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    inputs = 64
    for _ in range(depth):
        layer = nn.Linear(inputs, width)
        nn.init.normal_(layer.weight, std=std / inputs**0.5)
        nn.init.normal_(layer.bias, std=bias)
        layers += [layer, act()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 3))


def inputs_of(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(999))  # seeds of weights are small


def reasons(signal: Signal) -> list[str | None]:
    return [each.reason for each in signal.sites]


def arc_cosine(covariance: Tensor) -> Tensor:
    """E relu(u) relu(v), Cho and Saul 2009, arXiv:1112.3712, eq. 6."""
    sizes = torch.outer(covariance.diagonal(), covariance.diagonal()).sqrt()
    c = (covariance / sizes).clamp(-1, 1)
    return sizes / (2 * math.pi) * ((1 - c * c).clamp(min=0).sqrt() + (math.pi - c.acos()) * c)


def test_prediction_is_the_recursion_written_out_by_hand() -> None:
    model, x = mlp(), inputs_of(EXAMPLES, 64)
    found = actlab.signal(model, (x, None))
    covariance = (x.double() @ x.double().T) / 64
    for layer, site in zip(list(model)[::2], found.sites, strict=False):
        weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
        covariance = weight.var(correction=0) * weight.shape[1] * covariance + bias.square().mean()
        assert site.pre_square.predicted == pytest.approx(float(covariance.diagonal().mean()), rel=1e-6)
        q = covariance.diagonal().mean()
        common = (covariance.sum() / EXAMPLES - q) / (EXAMPLES - 1) / q
        assert site.correlation.predicted == pytest.approx(float(common), rel=1e-5)
        assert site.chi.predicted == pytest.approx(site.sigma_w**2 / 2, rel=1e-6)
        covariance = arc_cosine(covariance)
        assert site.square.predicted == pytest.approx(float(covariance.diagonal().mean()), rel=1e-6)


def test_measurement_is_what_hooks_read_and_the_derivative_what_autograd_says() -> None:
    model, x = mlp(40, act=nn.Tanh), inputs_of(EXAMPLES, 64)
    found = actlab.signal(model, x)
    z = x
    for layer, site in zip(list(model)[::2], found.sites, strict=False):
        before, z = z, layer(z).detach()
        y = z.tanh()
        assert site.pre_square.measured == pytest.approx(float(z.square().mean()), rel=1e-5)
        assert site.square.measured == pytest.approx(float(y.square().mean()), rel=1e-5)
        assert site.mean.measured == pytest.approx(float(y.mean()), abs=1e-6)
        jacobians = torch.func.vmap(torch.func.jacrev(lambda one, layer=layer: layer(one).tanh()))(before)
        assert site.chi.measured == pytest.approx(float(jacobians.detach().square().sum(2).mean()), rel=1e-4)
        z = y


class Parts(nn.Module):
    """Residual blocks: normalized, gated, dropped out, one with a scale."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(64, width)
        self.norm, self.rms = nn.LayerNorm(width), nn.RMSNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gate, self.value, self.out = (nn.Linear(*each) for each in ((width, 512), (width, 512), (512, width)))
        self.scale = nn.Parameter(torch.full((width,), 0.5))
        self.join = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.scale * self.down(F.dropout(F.gelu(self.up(self.norm(x))), 0.2, self.training))
        h = self.rms(x)
        x = x - 3 * self.out(F.silu(self.gate(h)) * self.value(h))
        return torch.tanh(self.join(torch.cat([x, h], dim=1)))


@pytest.mark.parametrize("training", [True, False])
def test_sums_gates_normalization_and_dropout_are_predicted(training: bool) -> None:
    found = actlab.signal(Parts().train(training), inputs_of(32, 64))
    assert [each.site.activation for each in found.sites] == ["gelu", "swiglu", "tanh"]
    for site in found.sites[:2]:
        assert site.is_predicted
        assert not site.since
        assert abs(site.pre_square.errors_apart) < 4
        assert site.square.relative == pytest.approx(0, abs=0.06)
        assert site.chi.relative == pytest.approx(0, abs=0.06)
    # x and its normalized self are joined, which is no sum of independent values
    assert found.sites[2].pre_square.relative == pytest.approx(0, abs=0.1)


# the first two need outputs with a mean, so that all inputs of the next layer have a direction in common
ACTIVATIONS = {"aligned": nn.Sigmoid, "mean": nn.Sigmoid, "bias": nn.ELU, "heavy": nn.Tanh}


def with_weights(model: nn.Sequential, at: int, change: str) -> nn.Sequential:
    layer = model[at]
    with torch.no_grad():
        if change == "aligned":
            rows = model[:at](inputs_of(EXAMPLES, 64))
            direction = rows.mean(0) / rows.mean(0).norm()
            layer.weight += torch.outer(torch.randn(len(layer.weight)) * 0.5, direction)
        elif change == "mean":
            layer.weight += 2.0 / layer.weight.shape[1]
        elif change == "bias":
            layer.bias.fill_(1.0)
        elif change == "heavy":
            layer.weight[::2] *= 0.05
            layer.bias.zero_()
    return model


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("aligned", "dependent weights"),
        ("mean", "mean of the weights"),
        ("bias", "mean"),
        ("heavy", "not normal"),
    ],
)
def test_the_reason_is_the_one_that_was_built_in(change: str, reason: str) -> None:
    model = with_weights(mlp(1024, act=ACTIVATIONS[change], std=3.0), 2, change)
    found = actlab.signal(model, inputs_of(EXAMPLES, 64))
    assert found.sites[0].reason in {None, "finite width"}
    assert found.sites[1].reason == reason
    assert found.sites[2].reason in {"earlier", None, "finite width"}
    assert [each.reason for each in found.partings][:1] == [reason]


def test_correct_random_networks_seldom_part() -> None:
    parted = 0
    for seed in range(6):
        model = mlp(48, depth=4, act=nn.GELU)
        torch.manual_seed(seed)
        for layer in list(model)[::2]:
            nn.init.normal_(layer.weight, std=1.4 / layer.weight.shape[1] ** 0.5)
        found = actlab.signal(model, inputs_of(8, 64))
        parted += sum(each.square.parts or each.pre_square.parts for each in found.sites)
        assert set(reasons(found)) <= {None, "finite width"}
    assert parted == 0


def test_shared_weights_and_borders_of_a_convolution() -> None:
    torch.manual_seed(0)
    even = inputs_of(1, 3, 1, 1).expand(8, 3, 16, 16)  # all positions alike, so that each channel is one number
    found = [reasons(actlab.signal(nn.Sequential(nn.Conv2d(3, 12, 3), nn.Tanh()), even)) for _ in range(3)]
    assert ["weight sharing"] in found
    ringed = torch.zeros(8, 3, 16, 16)
    ringed[:, :, 0, :] = inputs_of(8, 3, 16) * 3  # only the border carries a signal
    wide = nn.Sequential(nn.Conv2d(3, 512, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(512 * 256, 2))
    assert reasons(actlab.signal(wide, ringed)) == ["inputs differ"]


@pytest.mark.parametrize("training", [True, False])
def test_what_is_not_predicted_is_named_and_measured(training: bool) -> None:
    torch.manual_seed(0)
    first_part = (nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU())
    net = nn.Sequential(*first_part, nn.Conv2d(64, 9, 3), nn.Flatten(), nn.Softmax(1)).train(training)
    first, pooled, last = actlab.signal(net, inputs_of(8, 3, 12, 12)).sites
    assert first.is_predicted
    assert ("positions" in first.since) is training
    assert (pooled.reason, last.reason) == ("not predicted", "not predicted")
    assert "not normal" in pooled.sentence
    assert "along an axis" in last.sentence
    assert pooled.square.measured > 0


def test_attention_is_named() -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True, norm_first=True)
    found = actlab.signal(nn.Sequential(nn.Embedding(50, 64), block), torch.randint(0, 50, (8, 6)))
    site = next(each for each in found.sites if each.site.activation == "relu")
    assert "attention" in site.since
    assert "embedding" in site.since
    assert site.square.relative == pytest.approx(0, abs=0.2)


def test_nothing_of_the_model_changes() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))
    model[4].eval()
    handle = model[0].register_forward_hook(lambda *_: None)
    before, modes = copy.deepcopy(model.state_dict()), [each.training for each in model.modules()]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    actlab.signal(model, inputs_of(12, 8))
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [each.training for each in model.modules()] == modes
    assert len(model[0]._forward_hooks) == 1
    assert all(not each._forward_hooks for each in list(model)[1:])
    assert all(value.grad is None for value in model.parameters())
    handle.remove()


def test_answer_is_plain_and_readable() -> None:
    found = actlab.signal(mlp(16, depth=2), (inputs_of(100, 64), None))
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert values["examples"] == 64
    assert set(values["sites"][0]["square"]) == {"measured", "predicted", "standard_error", "errors_apart"}
    lines = found.lines()
    assert lines[0].split()[:2] == ["site", "activation"]
    assert any(line.startswith("[1] finite width: within chance") for line in lines)


def test_one_example_and_one_unit() -> None:
    (site,) = actlab.signal(nn.Sequential(nn.Linear(4, 1), nn.Tanh()), inputs_of(1, 4)).sites
    assert math.isnan(site.correlation.measured)
    assert not site.square.parts
    assert isinstance(site, SiteSignal)


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        ((), "a pair of inputs and targets"),
        ([], "a pair of inputs and targets"),
        (iter(()), "the loader is empty"),
        (torch.ones(0, 64), "at least one example"),
        ({"x": 3}, "a tensor of inputs"),
        (torch.ones(4, 5), "the model"),
    ],
)
def test_bad_batches_are_refused(batch: object, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        actlab.signal(mlp(8), batch)
