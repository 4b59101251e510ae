"""One step of a recurrent network for any activations, and the sequence of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.nn.modules import module

States = tuple[Tensor, ...]


class Weights(NamedTuple):
    """The weights of one layer in one direction, in PyTorch's shapes."""

    input_hidden: Tensor
    hidden_hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    projection: Tensor | None = None


class Step(Protocol):
    """A function from the projected input and the states to the next states, the output first."""

    def __call__(self, projected: Tensor, states: States, weights: Weights, activations: nn.ModuleDict) -> States: ...


@dataclass(frozen=True)
class Kind:
    """One kind of recurrent network.

    Attributes:
        blocks: how many blocks of the hidden size its weights stack.
        states: what it carries from step to step, the output first.
        step: its equations.
    """

    blocks: int
    states: tuple[str, ...]
    step: Step


def _rnn(projected: Tensor, states: States, weights: Weights, activations: nn.ModuleDict) -> States:
    (hidden,) = states
    return (activations["nonlinearity"](projected + _recurrent(hidden, weights)),)


def _gru(projected: Tensor, states: States, weights: Weights, activations: nn.ModuleDict) -> States:
    (hidden,) = states
    recurrent = _recurrent(hidden, weights)
    size = hidden.shape[-1]
    reset, update = activations["gate"](projected[:, : 2 * size] + recurrent[:, : 2 * size]).chunk(2, 1)
    candidate = activations["candidate"](projected[:, 2 * size :] + reset * recurrent[:, 2 * size :])
    return (candidate + update * (hidden - candidate),)


def _lstm(projected: Tensor, states: States, weights: Weights, activations: nn.ModuleDict) -> States:
    hidden, cell = states
    sums = projected + _recurrent(hidden, weights)
    size = cell.shape[-1]
    admitted, kept = activations["gate"](sums[:, : 2 * size]).chunk(2, 1)
    candidate = activations["candidate"](sums[:, 2 * size : 3 * size])
    shown = activations["gate"](sums[:, 3 * size :])
    cell = kept * cell + admitted * candidate
    hidden = shown * activations["output"](cell)
    return (hidden if weights.projection is None else functional.linear(hidden, weights.projection)), cell


def _recurrent(hidden: Tensor, weights: Weights) -> Tensor:
    return functional.linear(hidden, weights.hidden_hidden, weights.hidden_bias)


RNN = Kind(1, ("hidden",), _rnn)
GRU = Kind(3, ("hidden",), _gru)  # blocks: reset, update, candidate
LSTM = Kind(4, ("hidden", "cell"), _lstm)  # blocks: input, forget, candidate, output


def scan(
    advance: Callable[[Tensor, States], States], inputs: Sequence[Tensor], *, states: States
) -> tuple[list[Tensor], States]:
    """Return the output of every step and the last states.

    Steps may have fewer rows than the states: the first rows are advanced, the others wait. So sequences of unequal
    length, longest first, run either way: forward they end one by one, backward they join one by one.
    """
    outputs: list[Tensor] = []
    for x in inputs:
        running = x.shape[0]
        fresh = advance(x, tuple(state[:running] for state in states))
        outputs.append(fresh[0])
        if running < states[0].shape[0]:
            fresh = tuple(torch.cat((new, old[running:])) for new, old in zip(fresh, states, strict=True))
        states = fresh
    return outputs, states


def activations_of(owner: str, given: Mapping[str, str | Activation]) -> nn.ModuleDict:
    """Return the activations of a recurrent network as modules, by their role.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: one that is not element-wise.
    """
    return nn.ModuleDict({role: _elementwise(owner, role, get(formula)) for role, formula in given.items()})


def _elementwise(owner: str, role: str, act: object) -> nn.Module:
    if not isinstance(act, Activation) or len(act.inputs) != 1:
        raise BadInput(f"{owner}: {role} must be an element-wise activation of one input; got {act}.")
    return module(act)


def refuse_sizes(owner: str, **sizes: int) -> None:
    """Raise an error for a size that is not a positive integer.

    Raises:
        BadInput: such a size.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise BadInput(f"{owner}: {name} must be a positive integer; got {size!r}.")


def refuse_states(owner: str, names: tuple[str, ...], *, given: States, shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise an error for first states that are not a tuple of tensors of these shapes.

    Raises:
        BadInput: such states.
    """
    if not isinstance(given, tuple) or len(given) != len(names):
        raise BadInput(f"{owner}: the first states must be a tuple ({', '.join(names)}); got {type(given).__name__}.")
    for name, state, shape in zip(names, given, shapes, strict=True):
        if tuple(state.shape) != shape:
            raise BadInput(f"{owner}: the {name} state must be of shape {shape}; got {tuple(state.shape)}.")
