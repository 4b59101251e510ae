"""Initialized networks carry the signal at the size that was aimed at, and nothing else of the model changes."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import actlab
from actlab.catalog.index import CATALOG
from actlab.errors import BadInput, NoMoment
from actlab.formula.activation import Activation
from actlab.initialization.draws import orthogonal, orthogonal_kernel
from unit.initialization.networks import Plain, ResNet18, ViT

ONE_INPUT = [name for name, act in CATALOG.items() if isinstance(act, Activation) and len(act.inputs) == 1]


def deep(name, *, width, depth):
    layers = [part for _ in range(depth) for part in (nn.Linear(width, width), actlab.module(name))]
    return nn.Sequential(*layers, nn.Linear(width, 10)).eval()


def mean_squares(model, x):
    """The mean square before each activation of a sequence, by calling its parts one by one."""
    found = []
    with torch.no_grad():
        for part in model[:-1]:
            x = part(x)
            if isinstance(part, nn.Linear):
                found.append(float(x.square().mean()))
    return found


@pytest.mark.parametrize("method", ["gain", "orthogonal", "lsuv", "mean-variance"])
def test_each_layer_of_a_deep_network_has_mean_square_one(method):
    model, x = deep("relu", width=256, depth=32), torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    done = actlab.initialize(model, x, method, seed=1)
    assert mean_squares(model, x) == pytest.approx([1] * 32, rel=0.03 if method == "lsuv" else 1e-3)
    assert [site.mean_square for site in done.sites] == pytest.approx(mean_squares(model, x), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_INPUT)
def test_every_activation_within_two_percent_at_width_1024_and_depth_32(name):
    model, x = deep(name, width=1024, depth=32), torch.randn(64, 1024, generator=torch.Generator().manual_seed(0))
    done = actlab.initialize(model, x, seed=1)
    assert mean_squares(model, x) == pytest.approx([1] * 32, rel=0.02)
    assert {each.derived_from for each in done.initialized[1:]} == {actlab.get(name).label}


def test_the_gain_is_that_of_the_activation_before_the_layer():
    model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    x = 3 * torch.randn(512, 32, generator=torch.Generator().manual_seed(0))
    first, second, third = actlab.initialize(model, x, seed=0).initialized
    assert first.derived_from == "inputs"
    assert first.gain == pytest.approx(float(x.square().mean()) ** -0.5)
    assert (second.gain, third.gain) == pytest.approx((actlab.gain("gelu"), actlab.gain("tanh")))
    assert [each.activation for each in (first, second, third)] == ["gelu", "tanh", ""]
    for each in (first, second, third):
        weight = model.get_submodule(each.path).weight
        scale = math.sqrt(weight.shape[1] * float(weight.detach().square().mean()))
        assert scale == pytest.approx(each.gain * each.correction, rel=1e-5)


def test_without_a_batch_inputs_of_the_shape_of_the_first_layer_stand_in():
    model = deep("silu", width=128, depth=8)
    done = actlab.initialize(model, seed=0)
    assert done.measured_on == "random inputs"
    assert mean_squares(model, torch.randn(512, 128)) == pytest.approx([1] * 8, rel=0.1)


def test_a_resnet_is_at_its_aim_also_behind_sums():
    model, x = ResNet18(16), torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    done = actlab.initialize(model, x, seed=0)
    assert [site.aim for site in done.sites] == pytest.approx([1.0] * 17)
    assert all(abs(site.error) < 0.1 for site in done.sites)
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    ends = [each for each in done.initialized if each.path.endswith("bn2")]
    assert all(0 < each.aim < 1 for each in ends)


def test_a_vision_transformer_is_at_its_aim_and_its_own_parameters_are_named():
    done = actlab.initialize(ViT(), torch.randn(8, 3, 32, 32), seed=0)
    assert len(done.sites) == 4
    assert all(site.aim == 1 and abs(site.error) < 0.1 for site in done.sites)
    assert {each.path for each in done.left_alone} == {"token", "position"}
    ends = [each.aim for each in done.initialized if each.path.endswith(("self_attn", "linear2"))]
    assert len(ends) == 8
    assert sum(ends) == pytest.approx(8 * ends[0])


def test_a_gpt_is_at_its_aim_and_its_tied_weight_is_drawn_once():
    transformers = pytest.importorskip("transformers")
    settings = transformers.GPT2Config(n_layer=2, n_embd=64, n_head=2, vocab_size=100, n_positions=32,
                                       bos_token_id=0, eos_token_id=0)  # fmt: skip
    model = transformers.GPT2LMHeadModel(settings).eval()
    tokens = torch.randint(100, (8, 32), generator=torch.Generator().manual_seed(0))
    done = actlab.initialize(model, {"input_ids": tokens}, seed=0)
    assert len(done.sites) == 2
    assert all(site.aim == 1 and abs(site.error) < 0.1 for site in done.sites)
    assert done.left_alone == ()
    (tied,) = [each for each in done.initialized if "tied to an embedding" in each.note]
    assert tied.parameters == ("transformer.wte.weight",)
    with torch.no_grad():
        assert float(model(tokens).logits.square().mean()) == pytest.approx(1, rel=0.05)


def test_the_branches_of_a_stream_together_double_it():
    model, x = Plain(), torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    done = actlab.initialize(model, x, seed=0)
    aims = {each.path: each.aim for each in done.initialized}
    assert [aims[f"two.{at}"] for at in range(4)] == pytest.approx([0.25] * 4, rel=1e-4)
    assert done.sites[-1].aim == pytest.approx(2, rel=1e-4)
    assert all(abs(site.error) < 0.1 for site in done.sites)


class Mixed(nn.Module):
    """Layers of many kinds, one used twice, one never, and one whose weight is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 32, padding_idx=0)
        self.recurrent = nn.LSTM(32, 48, num_layers=2, batch_first=True)
        self.cell = nn.GRUCell(48, 32)
        self.normalized = nn.utils.parametrizations.weight_norm(nn.Linear(32, 32))
        self.slope = nn.PReLU()
        self.gates = nn.Linear(32, 64)
        self.twice = nn.Linear(32, 32)
        self.unused = nn.Linear(3, 3)
        self.frozen = nn.Linear(32, 32).requires_grad_(False)
        self.matrix, self.shift = nn.Parameter(torch.randn(32, 16)), nn.Parameter(torch.randn(16))

    def forward(self, tokens):
        states, _ = self.recurrent(self.slope(self.normalized(self.tokens(tokens))))
        value, gate = self.gates(self.frozen(self.cell(states[:, 0]))).chunk(2, -1)
        hidden = torch.tanh(self.twice(value * functional.silu(gate)))
        return torch.relu(torch.tanh(self.twice(hidden)) @ self.matrix + self.shift)


def test_each_kind_of_layer_is_drawn_once_and_what_is_unknown_is_named():
    model = Mixed()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    done = actlab.initialize(model, torch.randint(1, 20, (64, 7)), seed=0)
    drawn = {each.path: each for each in done.initialized}
    assert list(drawn) == ["tokens", "recurrent", "cell", "gates", "twice", "matrix"]
    assert (drawn["twice"].derived_from, drawn["twice"].activation) == ("swiglu", "tanh")
    left = {each.path: each.why for each in done.left_alone}
    assert "the activation prelu" in left["slope.weight"]
    assert left["unused.weight"] == "the pass does not read it"
    assert left["frozen.weight"] == "it is frozen"
    assert "weight_norm" in left["normalized.parametrizations.weight.original1"]
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], before[name]) for name in left)
    assert not any(
        torch.equal(now[name], before[name])
        for each in done.initialized
        for name in each.parameters
        if "bias" not in name
    )
    assert set(left) | {name for each in done.initialized for name in each.parameters} == set(before)
    assert torch.equal(model.tokens.weight[0], torch.zeros(32))
    gates = model.recurrent.weight_hh_l0.detach().view(4, 48, 48)
    torch.testing.assert_close(gates @ gates.mT, torch.eye(48).expand(4, 48, 48), atol=1e-5, rtol=0)
    assert model.recurrent.bias_ih_l0.detach().view(4, 48).mean(1).tolist() == [0, 1, 0, 0]
    json.dumps(done.to_json())


@pytest.mark.parametrize("method", ["gain", "orthogonal", "mean-variance"])
def test_convolutions_of_every_kind_are_at_their_aim(method):
    model = nn.Sequential(
        nn.Conv1d(8, 16, 5, groups=4, dilation=2), nn.ELU(),
        nn.Conv1d(16, 16, 3, groups=16, padding=1), nn.SiLU(),
        nn.ConvTranspose1d(16, 12, 4, stride=2, groups=4), nn.ReLU(),
        nn.ConvTranspose1d(12, 6, 3, padding=1), nn.Tanh(),
        nn.Flatten(), nn.Linear(396, 3),
    )  # fmt: skip
    done = actlab.initialize(model, torch.randn(64, 8, 40), method, seed=0)
    assert [site.mean_square for site in done.sites] == pytest.approx([1] * 4, rel=1e-3)
    # the gain is right before the batch corrects it, but for borders and single units
    assert all(abs(each.correction - 1) < (1 if method == "mean-variance" else 0.35) for each in done.initialized)


@pytest.mark.parametrize(("rows", "columns"), [(256, 64), (64, 256), (96, 96)])
def test_orthogonal_matrices_preserve_the_mean_square_both_ways(rows, columns):
    weight = orthogonal(rows, columns, generator=torch.Generator().manual_seed(0))
    x = torch.randn(4096, columns, generator=torch.Generator().manual_seed(1))
    assert float((x @ weight.mT).square().mean() / x.square().mean()) == pytest.approx(1, abs=0.02)
    longer = weight if rows >= columns else weight.mT
    gram = longer.mT @ longer
    torch.testing.assert_close(gram / gram[0, 0], torch.eye(min(rows, columns)), atol=1e-5, rtol=0)


def test_delta_kernels_use_the_middle_alone():
    weight = orthogonal_kernel((6, 4, 3, 3), groups=1, fan_in=36, is_delta=True, generator=None)
    middle = weight[:, :, 1, 1]
    assert float(weight.abs().sum()) == pytest.approx(float(middle.abs().sum()))
    assert 4 * float(middle.square().mean()) == pytest.approx(1)


def test_on_the_edge_of_chaos_the_variance_is_a_fixed_point():
    model, x = deep("tanh", width=512, depth=12), torch.randn(128, 512, generator=torch.Generator().manual_seed(0))
    done = actlab.initialize(model, x, "edge", seed=0)
    (point,) = actlab.edge_of_chaos("tanh", sigma_b=0.2)
    assert mean_squares(model, x) == pytest.approx([point.q] * 12, rel=1e-3)
    second = model[2]
    assert math.sqrt(512 * float(second.weight.detach().square().mean())) == pytest.approx(point.sigma_w, rel=0.03)
    assert float(second.bias.detach().std()) == pytest.approx(0.2, rel=0.1)
    assert all(not each.note for each in done.initialized)
    unstable = actlab.initialize(deep("gelu", width=64, depth=2), torch.randn(64, 64), "edge", seed=0)
    assert "not stable" in unstable.initialized[0].note


def test_an_activation_without_an_edge_of_chaos_is_refused_and_nothing_changes():
    model = deep("softplus", width=16, depth=2)
    before = [value.detach().clone() for value in model.parameters()]
    with pytest.raises(NoMoment, match=r"softplus.* has no point on the edge of chaos"):
        actlab.initialize(model, torch.randn(8, 16), "edge")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


class Third(nn.Module):
    """A model that raises, or takes another way, in its second pass."""

    def __init__(self, then) -> None:
        super().__init__()
        self.layer, self.then, self.passes = nn.Linear(4, 4), then, 0

    def forward(self, x):
        self.passes += 1
        x = torch.relu(self.layer(x))
        return self.then(x) if self.passes > 1 else self.layer(x)


def fail(x):
    raise RuntimeError("out of order")


@pytest.mark.parametrize(("then", "message"), [(fail, "out of order"), (torch.sin, "another way in its second pass")])
def test_a_model_that_fails_halfway_is_as_before(then, message):
    model = Third(then)
    before = [value.detach().clone() for value in model.parameters()]
    with pytest.raises(BadInput, match=message):
        actlab.initialize(model, torch.randn(8, 4), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_outputs_that_are_not_finite_are_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    before = model[0].weight.detach().clone()
    with pytest.raises(BadInput, match="output of 0 is not finite on the batch"):
        actlab.initialize(model, torch.full((3, 4), math.inf))
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "xavier"}, "method must be one of gain, edge"),
        ({"method": "lsuv"}, "'lsuv' measures a batch; got none"),
        ({"seed": 1, "generator": torch.Generator()}, "a seed or a generator, not both"),
        ({"seed": -1}, "whole number from 0"),
        ({"batch": (1, 2, 3)}, "inputs, or a pair"),
        ({"batch": "digits"}, "must hold tensors"),
        ({"batch": torch.ones(0, 4)}, "at least one example"),
        ({"batch": torch.ones(2, 5)}, "the model raised RuntimeError"),
    ],
)
def test_wrong_arguments_say_what_to_change(arguments, message):
    with pytest.raises(BadInput, match=message):
        actlab.initialize(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), **arguments)


def test_models_that_cannot_be_drawn_are_refused():
    with pytest.raises(BadInput, match="no shape yet"):
        actlab.initialize(nn.LazyLinear(3))
    with pytest.raises(BadInput, match="meta device"):
        actlab.initialize(nn.Linear(3, 3, device="meta"))
    with pytest.raises(BadInput, match="no layer whose weights can be drawn"):
        actlab.initialize(nn.ReLU(), torch.randn(3))


def test_a_seed_gives_the_same_weights_and_leaves_the_random_stream_alone():
    model, x = nn.Sequential(nn.Linear(8, 8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 2)), torch.randn(16, 8)
    state = torch.random.get_rng_state()
    actlab.initialize(model, x, seed=3)
    first = model[0].weight.detach().clone()
    actlab.initialize(model, x, seed=3)
    assert torch.equal(model[0].weight, first)
    assert torch.equal(torch.random.get_rng_state(), state)
    actlab.initialize(model, x, seed=4)
    assert not torch.equal(model[0].weight, first)
    numbers = torch.Generator().manual_seed(3)
    actlab.initialize(model, x, generator=numbers)
    assert not torch.equal(numbers.get_state(), torch.Generator().manual_seed(3).get_state())


def test_inputs_drawn_with_the_same_seed_are_not_the_weights():
    model, x = nn.Sequential(nn.Linear(64, 64)), torch.randn(64, 64, generator=torch.Generator().manual_seed(5))
    (done,) = actlab.initialize(model, x, seed=5).initialized
    assert done.correction == pytest.approx(1, abs=0.05)


def test_mean_and_variance_of_each_unit_and_lsuv_variance():
    model, x = nn.Sequential(nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 16)), torch.randn(256, 64)
    actlab.initialize(model, x, "mean-variance", seed=0)
    with torch.no_grad():
        variance, mean = torch.var_mean(model(x), dim=0, correction=0)
        torch.testing.assert_close(variance, torch.ones(16), atol=1e-4, rtol=0)
        torch.testing.assert_close(mean, torch.zeros(16), atol=1e-4, rtol=0)
        actlab.initialize(model, x, "lsuv", seed=0)
        assert float(model(x).var(correction=0)) == pytest.approx(1, rel=1e-4)
