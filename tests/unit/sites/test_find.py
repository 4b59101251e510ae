from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.errors import BadInput
from actlab.nn.torch_modules import TORCH_NAMES
from actlab.sites.find import sites
from unit.sites.small import Between, left, rows

# how a program spells it, what it is, its parameters
SPELLINGS = {
    "F.relu": (F.relu, "relu", {}),
    "torch.relu": (torch.relu, "relu", {}),
    "x.relu()": (lambda x: x.relu(), "relu", {}),
    "x.relu_()": (lambda x: x.relu_(), "relu", {}),
    "F.relu in place": (lambda x: F.relu(x, inplace=True), "relu", {}),
    "F.relu_": (F.relu_, "relu", {}),
    "aten": (torch.ops.aten.relu.default, "relu", {}),
    "x.clamp(min=0)": (lambda x: x.clamp(min=0), "relu", {}),
    "torch.clamp(x, 0)": (lambda x: torch.clamp(x, 0), "relu", {}),
    "x.clamp_(0)": (lambda x: x.clamp_(0), "relu", {}),
    "x.clamp_min(0)": (lambda x: x.clamp_min(0), "relu", {}),
    "x.clip(0, 6)": (lambda x: x.clip(0, 6), "relu6", {}),
    "F.hardtanh(x, 0, 6)": (lambda x: F.hardtanh(x, 0.0, 6.0), "relu6", {}),
    "clamp(-1, 1)": (lambda x: x.clamp(-1, 1), "hard_tanh", {"min_val": -1.0, "max_val": 1.0}),
    "maximum": (lambda x: torch.maximum(x, torch.zeros(())), "relu", {}),
    "maximum of zeros": (lambda x: torch.maximum(x, torch.zeros_like(x)), "relu", {}),
    "where": (lambda x: torch.where(x > 0, x, torch.zeros_like(x)), "relu", {}),
    "a mask": (lambda x: x * (x > 0), "relu", {}),
    "a mask of floats": (lambda x: x * (x > 0).float(), "relu", {}),
    "where leaky": (lambda x: torch.where(x > 0, x, 0.1 * x), "leaky_relu", {"negative_slope": 0.1}),
    "F.leaky_relu": (lambda x: F.leaky_relu(x, 0.2), "leaky_relu", {"negative_slope": 0.2}),
    "F.leaky_relu in place": (lambda x: F.leaky_relu(x, 0.2, True), "leaky_relu", {"negative_slope": 0.2}),
    "F.prelu": (lambda x: F.prelu(x, torch.tensor([0.2])), "prelu", None),
    "torch.sigmoid": (torch.sigmoid, "sigmoid", {}),
    "F.sigmoid": (F.sigmoid, "sigmoid", {}),
    "torch.special.expit": (torch.special.expit, "sigmoid", {}),
    "1/(1+exp(-x))": (lambda x: 1 / (1 + torch.exp(-x)), "sigmoid", {}),
    "F.tanh": (F.tanh, "tanh", {}),
    "x.tanh_()": (lambda x: x.tanh_(), "tanh", {}),
    "tanh by exp": (lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()), "tanh", {}),
    "F.silu": (F.silu, "silu", {}),
    "x*sigmoid(x)": (lambda x: x * torch.sigmoid(x), "silu", {}),
    "sigmoid(x).mul(x)": (lambda x: torch.sigmoid(x).mul(x), "silu", {}),
    "x.mul_(sigmoid(x))": (lambda x: x.mul_(torch.sigmoid(x)), "silu", {}),
    "x/(1+exp(-x))": (lambda x: x / (1 + torch.exp(-x)), "silu", {}),
    "x*sigmoid(1.3x)": (lambda x: x * torch.sigmoid(1.3 * x), "swish", {"beta": 1.3}),
    "x*sigmoid(1.702x)": (lambda x: x * torch.sigmoid(1.702 * x), "quick_gelu", {}),
    "F.gelu": (F.gelu, "gelu", {}),
    "F.gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), "gelu_tanh", {}),
    "gelu by erf": (lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), "gelu", {}),
    "gelu by ndtr": (lambda x: x * torch.special.ndtr(x), "gelu", {}),
    "gelu by tanh": (
        lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))),
        "gelu_tanh",
        {},
    ),
    "clipped": (lambda x: torch.clip(F.gelu(x), -10, 10), "clipped_gelu", None),
    "x*tanh(softplus(x))": (lambda x: x * torch.tanh(F.softplus(x)), "mish", {}),
    "relu(x)**2": (lambda x: F.relu(x) ** 2, "relu2", {}),
    "square(relu(x))": (lambda x: torch.square(F.relu(x)), "relu2", {}),
    "x*relu6(x+3)/6": (lambda x: x * F.relu6(x + 3) / 6, "hard_swish", {}),
    "relu6(x+3)/6": (lambda x: F.relu6(x + 3) / 6, "hard_sigmoid", {}),
    "x/(1+|x|)": (lambda x: x / (1 + x.abs()), "softsign", {}),
    "elu by hand": (lambda x: torch.where(x > 0, x, torch.exp(x) - 1), "elu", {"alpha": 1.0}),
    "log(1+exp(x))": (lambda x: torch.log(1 + torch.exp(x)), "softplus", {"beta": 1.0}),
    "F.softplus": (lambda x: F.softplus(x, beta=2.0), "softplus", {"beta": 2.0}),
    "F.logsigmoid": (F.logsigmoid, "log_sigmoid", {}),
    "torch.selu_": (torch.selu_, "selu", {}),
    "torch.celu": (lambda x: torch.celu(x, 1.5), "celu", {"alpha": 1.5}),
    "sin": (lambda x: torch.sin(30 * x), "sine", {"omega": 30.0}),
    "softmax": (lambda x: x.softmax(-1), "softmax", {}),
    "log_softmax": (lambda x: torch.log_softmax(x, 1), "log_softmax", {}),
    "our function": (actlab.functional("mish"), "mish", {}),
    "our softmax": (actlab.functional("entmax15"), "entmax15", {}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_an_activation_is_found(spelling):
    function, name, parameters = SPELLINGS[spelling]
    found = sites(Between(function), rows())
    assert [site.activation for site in found] == [name]
    assert parameters is None or dict(found[0].parameters) == pytest.approx(parameters)
    assert (found[0].shape, found[0].dtype, found[0].calls, found.unseen) == ((4, 6), "float32", 1, ())


MODULES = {kind.__name__: kind for kind in TORCH_NAMES if kind is not nn.Threshold}  # which has no defaults


@pytest.mark.parametrize("name", MODULES)
def test_a_module_of_pytorch_is_found_under_its_path(name):
    found = sites(Between(MODULES[name]()), rows())
    assert [(site.path, site.spelling) for site in found] == [("between", f"nn.{name}")]


def test_an_actlab_module_is_found_with_its_parameters():
    found = sites(Between(actlab.module("swish", beta=1.5)), rows())
    assert [(site.activation, site.path, site.parameters["beta"]) for site in found] == [("swish", "between", 1.5)]


def test_all_learned_values_are_shown():
    ours, theirs = actlab.module("swish"), nn.PReLU(6)
    with torch.no_grad():
        ours.beta.fill_(2.5)
        theirs.weight.copy_(torch.arange(6.0) / 8)
    (site,) = sites(Between(ours), rows())
    assert (dict(site.parameters), site.formula.params[0].value) == ({"beta": 2.5}, 2.5)
    (site,) = sites(Between(theirs), rows())
    assert site.parameters["weight"] == (0, 0.125, 0.25, 0.375, 0.5, 0.625)


def test_the_line_is_in_the_users_code():
    def own(x):
        return F.relu(x)

    (site,) = sites(Between(own), rows())
    assert (site.file, site.line) == (__file__, own.__code__.co_firstlineno + 1)
    assert site.spelling == "F.relu"


CHAINS = {
    "tanh of a silu": (lambda x: torch.tanh(x * torch.sigmoid(x)), ["silu", "tanh"]),
    "a root of a silu": (lambda x: torch.sqrt(x * torch.sigmoid(x) + 1), ["silu"]),
    "a scale of 1": (lambda x: F.gelu(x * 1) * 1, ["gelu"]),
    "a clipped input": (lambda x: (y := x.clamp(max=7.0)) * torch.sigmoid(1.702 * y), ["quick_gelu"]),
    "a clipped input, fitted": (lambda x: (y := x.clamp(max=7.0)) * torch.sigmoid(1.3 * y), ["swish"]),
    "a sum": (lambda x: F.relu(x) + torch.sigmoid(x), ["relu", "sigmoid"]),
    "a sum of the same": (lambda x: F.relu(x) - 0.5 * F.relu(x), ["relu", "relu"]),
    "gates itself": (lambda x: x * torch.tanh(torch.sigmoid(x)), ["x*tanh(sigmoid(x))"]),
    "gates itself, scaled": (lambda x: 2 * (x * torch.tanh(torch.sigmoid(x))), ["x*tanh(sigmoid(x))"]),
}


@pytest.mark.parametrize("what", CHAINS)
def test_scales_around_an_activation_are_not_part_of_it(what):
    function, names = CHAINS[what]
    found = sites(Between(function), rows())
    assert [site.activation for site in found] == names
    assert not any("min(" in site.spelling for site in found)


ARITHMETIC = {
    "a residual branch": (lambda x: x + F.relu(x), ["relu"]),
    "a square": (lambda x: x**2, []),
    "an absolute value": (lambda x: x.abs(), []),
    "a scale": (lambda x: 2 * x + 1, []),
    "the lower half": (lambda x: torch.minimum(x, torch.zeros(())), []),
    "whole numbers": (lambda x: x + torch.arange(6).abs(), []),
    "a small floor": (lambda x: x.clamp(min=1e-6), []),
}


@pytest.mark.parametrize("what", ARITHMETIC)
def test_arithmetic_is_not_an_activation(what):
    function, names = ARITHMETIC[what]
    assert [site.activation for site in sites(Between(function), rows())] == names


class Kept(nn.Module):
    """A parameter that a softplus keeps positive."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.scale = nn.Linear(6, 6), nn.Parameter(torch.zeros(6))

    def forward(self, x):
        return self.first(x) * F.softplus(self.scale)


def test_a_value_of_weights_alone_is_not_a_site():
    assert list(sites(Kept(), rows())) == []


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.act = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU()

    def forward(self, x):
        x = self.act(self.first(x))
        return self.act(self.act(self.second(x)))


def test_a_reused_module_is_several_sites():
    found = sites(Reused(), rows())
    assert [site.name for site in found] == ["act[0]", "act[1]", "act[2]"]
    assert found[1].line == found[2].line == found[0].line + 1


class Recurring(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.over = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        hidden = torch.zeros_like(x)
        for _ in range(5):
            hidden = torch.tanh(self.into(x) + self.over(hidden))
        return hidden


def test_a_loop_over_time_is_one_site_and_a_loop_over_layers_is_several():
    (site,) = sites(Recurring(), rows())
    assert (site.activation, site.calls) == ("tanh", 5)

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.act = nn.ModuleList(nn.Linear(6, 6) for _ in range(3)), nn.ReLU()

        def forward(self, x):
            for layer in self.layers:
                x = self.act(layer(x))
            return x

    assert [(site.name, site.calls) for site in sites(Deep(), rows())] == [(f"act[{at}]", 1) for at in range(3)]


class Gate(nn.Module):
    def __init__(self, act, *, packed=False):
        super().__init__()
        self.value, self.gate, self.both, self.act = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(6, 16), act
        self.packed = packed

    def forward(self, x):
        value, gate = self.both(x).chunk(2, -1) if self.packed else (self.value(x), self.gate(x))
        return self.act(gate) * value


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("act", "name"),
    [
        (nn.SiLU(), "swiglu"),
        (F.gelu, "geglu"),
        (nn.GELU("tanh"), "geglu_tanh"),
        (torch.relu, "reglu"),
        (torch.sigmoid, "glu"),
    ],
)
def test_a_value_times_the_activation_of_a_gate_is_a_gated_unit(act, name, packed):
    (site,) = sites(Gate(act, packed=packed), rows())
    assert site.activation == name
    assert site.measured.inputs == ("x",)


class Biased(nn.Module):
    """A gated unit whose halves are moved and get their bias by hand."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(6, 16)), nn.Parameter(torch.randn(16))

    def forward(self, x):
        both = (torch.bmm(x[:, None], self.weight.expand(len(x), -1, -1)).squeeze(1) + self.bias).double()
        return F.silu(both[..., ::2]) * both[..., 1::2]


def test_a_gated_unit_is_found_if_its_halves_are_moved_and_biased():
    assert [site.activation for site in sites(Biased(), rows())] == ["swiglu"]


class GruCell(nn.Module):
    """A reset gate times what is multiplied by weights: the gate is of two inputs."""

    def __init__(self):
        super().__init__()
        self.into, self.over = nn.Linear(6, 18), nn.Linear(6, 18)

    def forward(self, x):
        now, before = self.into(x).chunk(3, -1), self.over(x.flip(0)).chunk(3, -1)
        reset, keep = torch.sigmoid(now[0] + before[0]), torch.sigmoid(now[1] + before[1])
        return (1 - keep) * torch.tanh(now[2] + reset * before[2]) + keep * x


def test_a_gate_of_a_recurrent_cell_is_not_a_gated_unit():
    assert [site.activation for site in sites(GruCell(), rows())] == ["sigmoid", "sigmoid", "tanh"]


class Attending(nn.Module):
    """A value scaled by a gate computed from itself, which is not a gated linear unit."""

    def __init__(self):
        super().__init__()
        self.value, self.gate = nn.Linear(6, 8), nn.Linear(8, 8)

    def forward(self, x):
        value = self.value(x)
        return value * torch.sigmoid(self.gate(value))


def test_a_value_scaled_by_its_own_gate_is_not_a_gated_unit():
    assert [site.activation for site in sites(Attending(), rows())] == ["sigmoid"]


def test_only_a_convolution_has_a_channel_axis():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5), nn.Tanh())
    assert [site.channel_axis for site in sites(model, torch.randn(2, 3, 4, 4))] == [1, -1]


class Answers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)

    def forward(self, x, *, twice=False):
        y = F.relu(self.first(x))
        return {"y": (y, y * 2 if twice else None), "name": "text"}


def test_outputs_may_be_nested_and_inputs_passed_by_name():
    assert [site.activation for site in sites(Answers(), rows(), twice=True)] == ["relu"]


UNSEEN = {
    "nn.LSTM": lambda: nn.LSTM(6, 6),
    "nn.GRU": lambda: nn.GRU(6, 6),
    "nn.RNN": lambda: nn.RNN(6, 6),
    "nn.LSTMCell": lambda: nn.LSTMCell(6, 6),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_a_fused_module_is_listed_as_unseen(what):
    model = nn.ModuleDict({"part": UNSEEN[what]()})
    model.forward = lambda x: model["part"](x)[0]
    assert [(each.path, each.what) for each in sites(model, rows()).unseen] == [("part", what)]


def test_attention_is_unseen_and_its_feed_forward_part_is_found():
    layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True).eval()
    found = sites(layer, torch.randn(2, 3, 6))
    assert [site.activation for site in found] == ["relu"]
    assert [each.what for each in found.unseen] == ["nn.MultiheadAttention"]

    def attend(x):
        return F.scaled_dot_product_attention(x, x, x)

    assert [each.what for each in sites(Between(attend), rows()).unseen] == ["F.scaled_dot_product_attention"]


def test_a_scripted_part_is_listed_as_unseen():
    model = nn.Sequential(nn.Linear(6, 6), torch.jit.script(nn.Sequential(nn.ReLU())))
    assert [(each.path, each.what) for each in sites(model, rows()).unseen] == [("1", "a scripted module")]


def test_the_model_is_unchanged():
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.ReLU(inplace=True))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.get_rng_state()
    sites(model, rows())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)
    assert left(model) == []


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("no such thing")


def test_a_model_that_raises_is_an_error_and_unchanged():
    model = nn.Sequential(nn.BatchNorm1d(6), Failing())
    with pytest.raises(BadInput, match=r"the model raised RuntimeError: no such thing \(test_find.py, line \d+\)"):
        sites(model, rows())
    assert int(model[0].num_batches_tracked) == 0
    assert left(model) == []
    assert len(torch.overrides._get_current_function_mode_stack()) == 0


def test_wrong_inputs_are_errors():
    with pytest.raises(BadInput, match="the model raised RuntimeError"):
        sites(nn.Linear(6, 6), torch.ones(2, 3))
    with pytest.raises(BadInput, match=r"the model must be a torch\.nn\.Module; got function"):
        sites(rows, rows())


def test_wrappers_are_looked_through():
    model = Between(F.relu)
    assert [site.path for site in sites(nn.DataParallel(model), rows())] == [""]
    assert [site.activation for site in sites(torch.compile(model, backend="eager"), rows())] == ["relu"]


def test_a_sharded_model_is_refused_by_name():
    class FullyShardedDataParallel(nn.Module): ...

    with pytest.raises(BadInput, match="FullyShardedDataParallel"):
        sites(FullyShardedDataParallel(), rows())


def test_a_scripted_model_is_refused():
    with pytest.raises(BadInput, match="scripted"):
        sites(torch.jit.script(nn.Sequential(nn.ReLU())), rows())


def test_sites_are_hashable_values():
    found = sites(Between(F.relu), rows())
    assert found.to_json()["sites"][0]["activation"] == "relu"
    assert {found[0]: 1}[found[0]] == 1
    assert found.lines()[0].startswith("model[0]  relu  F.relu")


def test_a_compiled_part_is_inspected_as_eager_code():
    model = nn.Sequential(torch.compile(Between(nn.ReLU()), backend="eager", fullgraph=True), nn.Tanh())
    model(rows())
    found = sites(model, rows())
    assert [(site.activation, site.path) for site in found] == [("relu", "0.between"), ("tanh", "1")]
    assert found.unseen == ()


def test_numbers_passed_to_an_actlab_function_are_its_parameters():
    (site,) = sites(Between(lambda x: actlab.functional("swish")(x, beta=2.0)), rows())
    assert dict(site.parameters) == {"beta": 2.0}
