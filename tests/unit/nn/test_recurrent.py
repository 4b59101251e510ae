"""Recurrent cells and layers equal PyTorch's with the usual activations, and take any other."""

from __future__ import annotations

import copy
import pickle
from inspect import signature
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import actlab.nn
from actlab.errors import BadInput, UnknownActivation

KINDS = ("RNN", "GRU", "LSTM")
EXACT = {"rtol": 1e-11, "atol": 1e-13, "check_stride": False}

# Depth, direction and bias in every combination.
SHAPES = [
    {"num_layers": depth, "bidirectional": both, "bias": bias}
    for depth, both, bias in product((1, 3), (False, True), (True, False))
]


def pair(kind: str, sizes: tuple[int, int] = (3, 5), **options: object) -> tuple[nn.Module, nn.Module]:
    """Make actlab's and PyTorch's from the same seed."""
    made = []
    for module in (actlab.nn, nn):
        torch.manual_seed(7)
        made.append(getattr(module, kind)(*sizes, dtype=torch.float64, **options))
    return made[0], made[1]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def flat(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, PackedSequence):
        return [result.data]
    return [tensor for part in result for tensor in flat(part)]


def outcome(network: nn.Module, x: Tensor, *states: object) -> list[Tensor]:
    """Compute outputs, states, and the gradients of a loss of all of them by the input and every weight."""
    torch.manual_seed(11)
    leaf = x.clone().requires_grad_()
    results = flat(network(leaf, *states))
    loss = torch.stack([(result * result.detach().cos()).sum() for result in results]).sum()
    return [*results, *torch.autograd.grad(loss, [leaf, *network.parameters()])]


def assert_alike(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for found, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, wanted, **EXACT)


def first_states(kind: str, *shape: int) -> object:
    hidden, cell = randn(*shape, seed=1), randn(*shape, seed=2)
    return (hidden, cell) if kind == "LSTM" else hidden


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_pytorchs(kind: str, options: dict[str, object]) -> None:
    ours, theirs = pair(kind, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_alike(list(ours.state_dict().values()), list(theirs.state_dict().values()))
    runs = int(options["num_layers"]) * (1 + bool(options["bidirectional"]))
    assert_alike(outcome(ours, randn(6, 2, 3)), outcome(theirs, randn(6, 2, 3)))
    states = first_states(kind, runs, 2, 5)
    assert_alike(outcome(ours, randn(6, 2, 3), states), outcome(theirs, randn(6, 2, 3), states))


@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_without_a_batch(kind: str) -> None:
    for options in ({}, {"batch_first": True}):
        ours, theirs = pair(kind, bidirectional=True, **options)
        assert_alike(outcome(ours, randn(6, 3)), outcome(theirs, randn(6, 3)))
        states = first_states(kind, 2, 5)
        assert_alike(outcome(ours, randn(6, 3), states), outcome(theirs, randn(6, 3), states))


@pytest.mark.parametrize("kind", KINDS)
def test_batch_first(kind: str) -> None:
    ours, theirs = pair(kind, batch_first=True, num_layers=2)
    assert_alike(outcome(ours, randn(2, 6, 3)), outcome(theirs, randn(2, 6, 3)))


@pytest.mark.parametrize("both", [False, True])
def test_a_projected_lstm(both: bool) -> None:
    ours, theirs = pair("LSTM", proj_size=2, num_layers=2, bidirectional=both)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_alike(outcome(ours, randn(6, 2, 3)), outcome(theirs, randn(6, 2, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers(kind: str) -> None:
    ours, theirs = pair(kind, num_layers=3, dropout=0.5)
    assert_alike(outcome(ours, randn(6, 2, 3)), outcome(theirs, randn(6, 2, 3)))
    assert not torch.equal(outcome(ours, randn(6, 2, 3))[0], outcome(ours.eval(), randn(6, 2, 3))[0])


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_of_unequal_length(kind: str, in_order: bool) -> None:
    lengths = (6, 6, 3, 2, 1) if in_order else (2, 6, 1, 6, 3)
    packed = pack_sequence([randn(length, 3, seed=length) for length in lengths], enforce_sorted=in_order)
    ours, theirs = pair(kind, num_layers=2, bidirectional=True)
    states = first_states(kind, 4, 5, 5)
    for found, wanted in ((ours(packed), theirs(packed)), (ours(packed, states), theirs(packed, states))):
        assert_alike(flat(found), flat(wanted))
        assert torch.equal(found[0].batch_sizes, wanted[0].batch_sizes)
        assert (found[0].sorted_indices is None) == in_order


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_loads_into_pytorchs_and_back(kind: str) -> None:
    for suffix, options in (("", {"num_layers": 2, "bidirectional": True}), ("Cell", {})):
        theirs, ours = getattr(nn, kind + suffix)(3, 5, **options), getattr(actlab.nn, kind + suffix)(3, 5, **options)
        back = getattr(nn, kind + suffix)(3, 5, **options)
        ours.load_state_dict(theirs.state_dict())
        back.load_state_dict(ours.state_dict())
        for name, weight in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], weight)
            assert torch.equal(back.state_dict()[name], weight)


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_spells_out_every_option(kind: str) -> None:
    layer = {name: each.default for name, each in signature(getattr(actlab.nn, kind)).parameters.items()}
    cell = {name: each.default for name, each in signature(getattr(actlab.nn, f"{kind}Cell")).parameters.items()}
    shared = {"bias": True, "device": None, "dtype": None}
    assert shared.items() <= cell.items()
    shared |= {"num_layers": 1, "batch_first": False, "dropout": 0.0, "bidirectional": False}
    assert shared.items() <= layer.items()
    assert "options" not in {*layer, *cell}
    with pytest.raises(TypeError, match="unexpected keyword argument 'layers'"):
        getattr(actlab.nn, kind)(3, 5, layers=2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_pytorchs(kind: str, bias: bool) -> None:
    ours, theirs = pair(f"{kind}Cell", bias=bias)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for shape in ((4,), ()):
        x, states = randn(*shape, 3), first_states(kind, *shape, 5)
        assert_alike(outcome(ours, x), outcome(theirs, x))
        assert_alike(outcome(ours, x, states), outcome(theirs, x, states))


def test_the_relu_of_pytorchs_rnn() -> None:
    ours, theirs = pair("RNN", nonlinearity="relu", num_layers=2)
    assert_alike(outcome(ours, randn(6, 2, 3)), outcome(theirs, randn(6, 2, 3)))


def test_layers_are_cells_one_after_another_with_any_activations() -> None:
    chosen = {"gate": "hard_sigmoid", "candidate": "softsign", "output": "x/(1 + abs(x))"}
    layer, cell = actlab.nn.LSTM(3, 5, **chosen), actlab.nn.LSTMCell(3, 5, **chosen)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x, states = torch.randn(4, 2, 3), None
    outputs, _ = layer(x)
    for step in range(4):
        states = cell(x[step], states)
        torch.testing.assert_close(outputs[step], states[0])


def test_each_role_uses_its_activation() -> None:
    # an LSTM whose gates are all one half, as by hand
    cell = actlab.nn.LSTMCell(2, 2, gate="0.5 + 0*x", candidate="sine", output="x**3")
    hidden, state = torch.tensor([[0.3, -0.2]]), torch.tensor([[0.5, 1.5]])
    x = torch.tensor([[1.0, 2.0]])
    sums = x @ cell.weight_ih.t() + cell.bias_ih + hidden @ cell.weight_hh.t() + cell.bias_hh
    after = 0.5 * state + 0.5 * sums[:, 4:6].sin()
    found = cell(x, (hidden, state))
    torch.testing.assert_close(found[1], after)
    torch.testing.assert_close(found[0], 0.5 * after**3)


def test_a_gru_whose_candidate_is_linear() -> None:
    cell = actlab.nn.GRUCell(2, 2, gate="0.25 + 0*x", candidate="identity")
    hidden, x = torch.tensor([[0.3, -0.2]]), torch.tensor([[1.0, 2.0]])
    of_input, of_hidden = x @ cell.weight_ih.t() + cell.bias_ih, hidden @ cell.weight_hh.t() + cell.bias_hh
    candidate = of_input[:, 4:] + 0.25 * of_hidden[:, 4:]
    torch.testing.assert_close(cell(x, hidden), 0.75 * candidate + 0.25 * hidden)


def test_trainable_activation_parameters_belong_to_the_layer() -> None:
    layers = actlab.nn.GRU(3, 4, candidate="swish", dtype=torch.float64)
    assert "activations.candidate.beta" in layers.state_dict()
    assert layers.activations["candidate"].beta.dtype == torch.float64
    layers(randn(5, 2, 3))[0].sum().backward()
    assert layers.activations["candidate"].beta.grad.abs() > 0


def test_copies_and_pickles_give_the_same() -> None:
    layers, x = actlab.nn.LSTM(3, 4, gate="hard_sigmoid"), torch.randn(5, 2, 3)
    for copied in (copy.deepcopy(layers), pickle.loads(pickle.dumps(layers))):
        assert torch.equal(copied(x)[0], layers(x)[0])


def test_sixteen_bits_and_second_derivatives() -> None:
    layers = actlab.nn.GRU(3, 4).to(torch.bfloat16)
    assert layers(torch.randn(5, 2, 3, dtype=torch.bfloat16))[0].dtype == torch.bfloat16
    exact = actlab.nn.GRU(2, 2, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: exact(x)[0], randn(2, 1, 2).requires_grad_(), fast_mode=True)


def test_the_repr_of_layers() -> None:
    layers = actlab.nn.LSTM(3, 4, num_layers=2, gate="hard_sigmoid", proj_size=2)
    assert repr(layers).startswith("LSTM(\n  3, 4, num_layers=2, proj_size=2\n")
    assert "(gate): Elementwise(hard_sigmoid)" in repr(layers)
    assert repr(actlab.nn.RNNCell(3, 4, bias=False)).startswith("RNNCell(\n  3, 4, bias=False\n")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: actlab.nn.LSTM(3, 0), BadInput, "LSTM: hidden_size must be a positive integer; got 0."),
        (lambda: actlab.nn.GRU(True, 4), BadInput, "GRU: input_size must be a positive integer; got True."),
        (
            lambda: actlab.nn.GRUCell(3.5, 4),
            BadInput,
            "GRUCell: input_size must be a positive integer; got 3.5.",
        ),
        (lambda: actlab.nn.RNN(3, 4, num_layers=0), BadInput, "RNN: num_layers must be a positive integer"),
        (
            lambda: actlab.nn.RNN(3, 4, num_layers=2, dropout=1.5),
            BadInput,
            "RNN: dropout must lie between 0 and 1; got 1.5.",
        ),
        (lambda: actlab.nn.RNN(3, 4, dropout=0.5), BadInput, "RNN: dropout applies between layers, so num_layers=1"),
        (
            lambda: actlab.nn.LSTM(3, 4, proj_size=4),
            BadInput,
            "LSTM: proj_size must be at least 0 and below hidden_size=4",
        ),
        (lambda: actlab.nn.LSTM(3, 4, gate="sigmiod"), UnknownActivation, "no activation is named 'sigmiod'."),
        (
            lambda: actlab.nn.LSTM(3, 4, gate="swiglu"),
            BadInput,
            "LSTM: gate must be an element-wise activation of one input",
        ),
        (
            lambda: actlab.nn.GRUCell(3, 4, candidate="softmax"),
            BadInput,
            "GRUCell: candidate must be an element-wise activation",
        ),
        (
            lambda: actlab.nn.GRU(3, 4)(torch.ones(2, 2, 5)),
            BadInput,
            "GRU takes (steps, batch, 3), or (steps, 3) for one sequence; got a tensor of shape (2, 2, 5).",
        ),
        (
            lambda: actlab.nn.GRU(3, 4, batch_first=True)(torch.ones(1, 2, 2, 3)),
            BadInput,
            "GRU takes (batch, steps, 3)",
        ),
        (lambda: actlab.nn.GRU(3, 4)(torch.ones(0, 2, 3)), BadInput, "GRU: there must be at least one step"),
        (
            lambda: actlab.nn.GRU(3, 4)(torch.ones(5, 2, 3), torch.ones(2, 4)),
            BadInput,
            "GRU: the hidden state must be of shape (1, 2, 4); got (2, 4).",
        ),
        (
            lambda: actlab.nn.LSTM(3, 4)(torch.ones(5, 2, 3), torch.ones(1, 2, 4)),
            BadInput,
            "LSTM: the first states must be a tuple (hidden, cell); got Tensor.",
        ),
        (
            lambda: actlab.nn.LSTMCell(3, 4)(torch.ones(2, 3), (torch.ones(2, 4), torch.ones(2, 5))),
            BadInput,
            "LSTMCell: the cell state must be of shape (2, 4); got (2, 5).",
        ),
        (
            lambda: actlab.nn.RNNCell(3, 4)(torch.ones(2, 2, 3)),
            BadInput,
            "RNNCell takes (batch, 3) or (3,); got a tensor",
        ),
    ],
)
def test_invalid_arguments_are_one_line_errors(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as found:
        call()
    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)


def test_a_batch_of_no_sequences_is_allowed() -> None:
    outputs, state = actlab.nn.GRU(3, 4)(torch.ones(5, 0, 3))
    assert outputs.shape == (5, 0, 4)
    assert state.shape == (1, 0, 4)
