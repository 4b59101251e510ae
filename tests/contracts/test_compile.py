"""Every activation under torch.compile: one graph a family, without a break, equal to eager forward and backward."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor, nn

import tolerances
from actlab.formula.activation import activation
from actlab.formula.atoms import sigmoid
from actlab.nn import LSTM, module
from families import FAMILIES, Family, points

NO_COMPILER = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="the inductor backend needs a C++ compiler"
)

# Generating and compiling C++ takes many seconds a family; one in the quick suite shows that it works.
QUICK = "self_gated"


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch.compiler.reset()


def outcome(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Compute the outputs, and the gradients by the input and the parameters of a loss that weighs all outputs."""
    leaf = x.clone().requires_grad_()
    torch.manual_seed(3)
    outputs = network(leaf)
    weights = torch.linspace(0.5, 1.5, outputs[0].numel()).reshape(outputs[0].shape)
    loss = torch.stack([(weights * y).sum() for y in outputs]).sum()
    return [*outputs, *torch.autograd.grad(loss, [leaf, *network.parameters()])]


def check(family: str, backend: str) -> None:
    # rrelu draws its slope while training; a compiled graph draws others from the same seed, so it is checked below
    network = Family(family, trainable=True).train(family != "rectifiers")
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    for found, wanted in zip(outcome(compiled, points()), outcome(network, points()), strict=True):
        torch.testing.assert_close(found, wanted, **tolerances.COMPILED)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_one_graph(family: str) -> None:
    check(family, "aot_eager")


@NO_COMPILER
@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=() if family == QUICK else pytest.mark.slow) for family in FAMILIES]
)
def test_a_family_as_generated_code(family: str) -> None:
    check(family, "inductor")


@pytest.mark.parametrize("name", ["mish", "relu", "leaky_relu", "hard_swish", "prelu", "swish", "softmax"])
def test_a_batch_of_any_size_is_exported(name: str) -> None:
    batch = torch.export.Dim("batch")
    network = module(name).eval()
    program = torch.export.export(network, (torch.randn(4, 6),), dynamic_shapes=({0: batch},))
    x = torch.randn(9, 6)
    torch.testing.assert_close(program.module()(x), network(x), **tolerances.COMPILED)


def test_random_parameters_are_drawn_in_a_compiled_graph() -> None:
    network = module("rrelu")
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    slopes = -compiled(-torch.ones(1000))
    assert slopes.min() >= 1 / 8
    assert slopes.max() <= 1 / 3
    assert slopes.unique().numel() > 900
    network.eval()
    torch.testing.assert_close(compiled(-torch.ones(3)), torch.full((3,), -11 / 48))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits_stay_sixteen_bits(dtype: torch.dtype) -> None:
    network = module("gelu")
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    x = points().to(dtype)
    assert torch.equal(compiled(x), network(x))


def test_channels_and_two_tensors() -> None:
    x, gate = points(), points().flip(0)
    for network, given in ((module("prelu", channels=24), (x,)), (module("swiglu", layout="two"), (x, gate))):
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(*given), network(*given), **tolerances.COMPILED)


def test_recurrent_layers_are_one_graph() -> None:
    network = LSTM(3, 4, gate="hard_sigmoid", candidate="softsign")
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(compiled(x), network(x), **tolerances.COMPILED)


def test_a_difference_is_found() -> None:
    @activation(source="a counterexample")
    def shaky(x):
        """Compute nearly the sigmoid."""
        return sigmoid(x) * 1.0001

    found, wanted = module(shaky)(points()), module("sigmoid")(points())
    with pytest.raises(AssertionError):
        torch.testing.assert_close(found, wanted, **tolerances.COMPILED)
