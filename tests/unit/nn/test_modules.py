"""Activations as modules: what they show, learn, refuse, and how random ones behave."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from actlab.errors import BadInput, BadParam
from actlab.nn import FewBit, functional, module


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (lambda: module("gelu"), "Elementwise(gelu)"),
        (lambda: module("swish", beta=1.5), "Elementwise(swish, beta=1.5 (trainable))"),
        (lambda: module("swish", trainable=False), "Elementwise(swish, beta=1)"),
        (lambda: module("elu", trainable=True), "Elementwise(elu, alpha=1 (trainable))"),
        (lambda: module("prelu", channels=8), "Elementwise(prelu, weight=0.25 (trainable), channels=8)"),
        (lambda: module("x*sigmoid(b*x)", b=2), "Elementwise(x*sigmoid(b*x), b=2 (trainable))"),
        (lambda: module("swiglu", layout="two"), "Gated(swiglu, layout=two)"),
        (lambda: module("glu", layout="gate_first", dim=1), "Gated(glu, layout=gate_first, dim=1)"),
        (lambda: module("softmax", dim=0), "AlongAxis(softmax, dim=0)"),
    ],
)
def test_the_repr_of_modules(made: object, shown: str) -> None:
    assert repr(made()) == shown


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 3), 1), ((2, 3, 4, 5), 1), ((2, 4, 5, 3), -1), ((3,), 1), ((5, 3), -1), ((3, 4), 0)]
)
def test_channels_follow_the_channel_axis(shape: tuple[int, ...], axis: int) -> None:
    weights = torch.tensor([0.1, 0.5, 2.0])
    prelu = module("prelu", channels=3, channel_axis=axis)
    prelu.load_state_dict({"weight": weights})
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = prelu(x).movedim(min(axis, x.dim() - 1), -1)
    moved = x.movedim(min(axis, x.dim() - 1), -1)
    torch.testing.assert_close(found, torch.where(moved > 0, moved, weights * moved))


def test_pytorchs_prelu_hands_its_state_over() -> None:
    theirs, ours = nn.PReLU(6, init=0.3), module("prelu", channels=6)
    ours.load_state_dict(theirs.state_dict())
    for shape in ((4, 6), (4, 6, 3), (2, 6, 3, 3)):
        x = torch.randn(shape)
        torch.testing.assert_close(ours(x), theirs(x))
    nn.PReLU().load_state_dict(module("prelu").state_dict())


@pytest.mark.parametrize(
    ("trainable", "learned"),
    [(None, {"alpha", "weight", "bias"}), (False, set()), (("alpha",), {"alpha"}), (True, {"alpha", "weight", "bias"})],
)
def test_which_parameters_are_learned_is_a_choice(trainable: object, learned: set[str]) -> None:
    network = module("dynamic_tanh", trainable=trainable, alpha=0.8)
    assert {name for name, _ in network.named_parameters()} == learned
    x = torch.tensor([0.5])
    torch.testing.assert_close(network(x), torch.tanh(0.8 * x))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: module("swiglu"), BadInput, "swiglu has two inputs and needs a layout: layout="
         "'value_first', 'gate_first', 'interleaved', 'two'; got None."),
        (lambda: module("swiglu", layout="sideways"), BadInput, "swiglu has two inputs"),
        (lambda: module("gelu", layout="two"), BadInput, "gelu takes no layout: it has no gate."),
        (lambda: module("softmax", channels=3), BadInput, "softmax takes no channels: it has no parameters."),
        (lambda: module("softmax", trainable=True), BadInput, "softmax takes no trainable"),
        (lambda: module("gelu", channels=3), BadInput, "gelu cannot have parameters for 3 channels: "
         "it has no trainable parameter."),
        (lambda: module("prelu", channels=0), BadInput, "prelu cannot have parameters for 0 channels: "
         "there must be at least one."),
        (lambda: module("elu", trainable=("beta",)), BadParam, "elu has no parameter 'beta' to train; it has alpha."),
        (lambda: module("celu", alpha=0), BadParam, "celu: alpha must lie"),
        (lambda: module("prelu", channels=3)(torch.ones(2, 4)), BadInput, "prelu has parameters for 3 channels along "
         "axis 1; got a tensor of shape (2, 4)."),
        (lambda: module("prelu", channels=3)(torch.tensor(1.0)), BadInput, "prelu has parameters for 3 channels"),
        (lambda: module("glu", layout="two")(torch.ones(4)), BadInput, "glu with layout='two' takes two tensors."),
        (lambda: module("glu", layout="value_first")(torch.ones(4), torch.ones(4)), BadInput,
         "glu with layout='value_first' takes one packed tensor."),
        (lambda: module("glu", layout="interleaved")(torch.ones(2, 5)), BadInput,
         "glu splits axis -1 in two; got a tensor of shape (2, 5)."),
        (lambda: module("glu", layout="value_first", dim=2)(torch.ones(2, 4)), BadInput, "glu splits axis 2 in two"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_one_line_errors(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as found:
        call()
    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)


MADE = (
    lambda: module("gelu"), lambda: module("relu"), lambda: module("prelu"), lambda: module("softmax"),
    lambda: module("swiglu", layout="value_first"), lambda: FewBit("gelu"),
    lambda: module("gelu", match="torch"),
)  # fmt: skip


@pytest.mark.parametrize("make", MADE)
def test_torch_fx_takes_a_module_as_one_call(make: object) -> None:
    network, x = nn.Sequential(nn.Linear(4, 4), make()), torch.randn(3, 4)
    traced = torch.fx.symbolic_trace(network)
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_module", "call_module", "output"]
    found, wanted = (each(x) for each in (traced, network))
    assert torch.equal(found, wanted)
    for one, other in zip(*(torch.autograd.grad(y.sum(), network[0].weight) for y in (found, wanted)), strict=True):
        assert torch.equal(one, other)

    class Called(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional("gelu")(x)

    with pytest.raises(BadInput, match=r"torch.fx cannot follow functional\('gelu'\). Use actlab.module"):
        torch.fx.symbolic_trace(Called())


@pytest.mark.parametrize("make", MADE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_traced_module_gives_the_same_values_elsewhere(make: object) -> None:
    network = nn.Sequential(nn.Linear(4, 4), make())
    x, file = torch.randn(3, 4), io.BytesIO()
    torch.jit.save(torch.jit.trace(network, x), file)
    file.seek(0)
    found = torch.jit.load(file)(2 * x)
    torch.testing.assert_close(found, network(2 * x))


@pytest.mark.parametrize("make", MADE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_jit_script_is_refused_in_words(make: object) -> None:
    with pytest.raises(BadInput, match=r"torch.jit.script cannot read .*Use torch.jit.trace\(model, example\)"):
        torch.jit.script(nn.Sequential(nn.Linear(4, 4), make()))


def test_a_packed_glu_is_pytorchs() -> None:
    x = torch.randn(3, 8, dtype=torch.float64)
    torch.testing.assert_close(module("glu", layout="value_first")(x), nn.functional.glu(x))


def test_rrelu_is_random_while_training_and_repeats_with_the_seed() -> None:
    rrelu, x = module("rrelu").train(), -torch.ones(10_000)
    torch.manual_seed(5)
    first = rrelu(x)
    second = rrelu(x)
    torch.manual_seed(5)
    assert torch.equal(rrelu(x), first)
    assert not torch.equal(first, second)
    assert first.max() <= -1 / 8
    assert first.min() >= -1 / 3
    # the mean of 10,000 even draws lies within five of its standard errors of the middle
    assert abs(first.mean().item() + 11 / 48) < 5 * (1 / 3 - 1 / 8) / (12 * 10_000) ** 0.5
    assert torch.equal(rrelu(-x), -x)


def test_rrelu_passes_back_the_slope_that_it_drew() -> None:
    rrelu, x = module("rrelu").train(), torch.full((100,), -2.0, requires_grad=True)
    y = rrelu(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach() / -2)


def test_rrelu_is_pytorchs_and_the_same_every_time_in_evaluation() -> None:
    rrelu, x = module("rrelu").eval(), torch.linspace(-3, 3, 50, dtype=torch.float64)
    torch.testing.assert_close(rrelu(x), nn.RReLU().eval()(x))
    assert torch.equal(rrelu(x), rrelu(x))


def test_evaluation_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    module("rrelu").eval()(torch.ones(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_learns_the_parameters_and_its_state_survives() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(4, 8), module("prelu", channels=8), nn.Linear(8, 8), module("swish"), nn.Linear(8, 1)
    )
    before = copy.deepcopy(network.state_dict())
    x = torch.randn(64, 4)
    y = (x[:, :1] * x[:, 1:2]).tanh()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(network(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    for name in ("1.weight", "3.beta"):
        assert not torch.equal(network.state_dict()[name], before[name])
    fresh = nn.Sequential(
        nn.Linear(4, 8), module("prelu", channels=8), nn.Linear(8, 8), module("swish"), nn.Linear(8, 1)
    )
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(x), network(x))


def test_parameters_move_with_the_module() -> None:
    network = module("prelu", channels=3).double()
    assert network.weight.dtype == torch.float64
    assert network(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64
