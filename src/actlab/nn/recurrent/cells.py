"""`torch.nn`'s recurrent cells with replaceable activations."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping
from typing import Unpack, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.nn.recurrent import step
from actlab.nn.recurrent.options import CellOptions, shows
from actlab.nn.recurrent.step import Kind, States, Weights, activations_of, refuse_sizes, refuse_states


class RecurrentCell(nn.Module, ABC):
    """One step of a recurrent network; its weights have PyTorch's names and shapes.

    Attributes:
        input_size: features of the input.
        hidden_size: features of each state.
        bias: whether there are bias weights.
        activations: the activations by role, as modules; their parameters are stored with the weights.
    """

    def __init__(
        self,
        kind: Kind,
        sizes: tuple[int, int],
        *,
        activations: Mapping[str, str | Activation],
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = sizes
        refuse_sizes(type(self).__name__, input_size=self.input_size, hidden_size=self.hidden_size)
        self.bias = bias
        self._kind = kind
        rows = kind.blocks * self.hidden_size
        shapes = [(rows, self.input_size), (rows, self.hidden_size), *([(rows,), (rows,)] if bias else [])]
        for name, shape in zip(self._names, shapes, strict=True):
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()
        self.activations = activations_of(type(self).__name__, activations).to(device=device, dtype=dtype)

    @property
    def _names(self) -> tuple[str, ...]:
        return ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ()))

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniformly within ±1/√hidden_size, as PyTorch does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name in self._names:
            nn.init.uniform_(getattr(self, name), -bound, bound)

    def extra_repr(self) -> str:
        """Show sizes."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")

    def _advanced(self, x: Tensor, given: States | None) -> States:
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise BadInput(
                f"{type(self).__name__} takes (batch, {self.input_size}) or ({self.input_size},); "
                f"got a tensor of shape {tuple(x.shape)}."
            )
        states = self._states(x, given)
        weights = Weights(*(getattr(self, name) for name in self._names))
        rows = x if x.dim() == 2 else x.unsqueeze(0)
        before = states if x.dim() == 2 else tuple(state.unsqueeze(0) for state in states)
        projected = functional.linear(rows, weights.input_hidden, weights.input_bias)
        after = self._kind.step(projected, before, weights, self.activations)
        return after if x.dim() == 2 else tuple(state.squeeze(0) for state in after)

    def _states(self, x: Tensor, given: States | None) -> States:
        shape = (*x.shape[:-1], self.hidden_size)
        if given is None:
            return tuple(x.new_zeros(shape) for _ in self._kind.states)
        names = self._kind.states
        refuse_states(type(self).__name__, names, given=given, shapes=[shape] * len(names))
        return given


class OneStateCell(RecurrentCell, ABC):
    """A recurrent cell whose hidden state is all it carries from step to step."""

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Compute the next hidden state; the first state is zero if left out."""
        return self._advanced(x, None if hidden is None else (hidden,))[0]


@final
class RNNCell(OneStateCell):
    """`torch.nn.RNNCell` with any activation.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether there are bias weights.
        nonlinearity: the activation of the new hidden state.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: a size below 1, or an activation that is not element-wise.
    """

    @shows(CellOptions, of=RecurrentCell.__init__)
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str | Activation = "tanh",
        **options: Unpack[CellOptions],
    ) -> None:
        activations = {"nonlinearity": nonlinearity}
        super().__init__(step.RNN, (input_size, hidden_size), activations=activations, **options)


@final
class GRUCell(OneStateCell):
    """`torch.nn.GRUCell` with any activations.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether there are bias weights.
        gate: the activation of the reset and the update gate.
        candidate: the activation of the candidate for the new hidden state.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: a size below 1, or an activation that is not element-wise.
    """

    @shows(CellOptions, of=RecurrentCell.__init__)
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gate: str | Activation = "sigmoid",
        candidate: str | Activation = "tanh",
        **options: Unpack[CellOptions],
    ) -> None:
        activations = {"gate": gate, "candidate": candidate}
        super().__init__(step.GRU, (input_size, hidden_size), activations=activations, **options)


@final
class LSTMCell(RecurrentCell):
    """`torch.nn.LSTMCell` with any activations.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden and of the cell state.
        bias: whether there are bias weights.
        gate: the activation of the input, the forget and the output gate.
        candidate: the activation of the candidate for the cell state.
        output: the activation of the cell state in the output.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: a size below 1, or an activation that is not element-wise.

    Example:
        >>> cell = LSTMCell(3, 5, gate="hard_sigmoid", candidate="0.5*x")
        >>> hidden, state = cell(torch.ones(2, 3))
        >>> hidden.shape
        torch.Size([2, 5])
    """

    @shows(CellOptions, of=RecurrentCell.__init__)
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gate: str | Activation = "sigmoid",
        candidate: str | Activation = "tanh",
        output: str | Activation = "tanh",
        **options: Unpack[CellOptions],
    ) -> None:
        activations = {"gate": gate, "candidate": candidate, "output": output}
        super().__init__(step.LSTM, (input_size, hidden_size), activations=activations, **options)

    def forward(self, x: Tensor, states: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Compute the next hidden and cell state; the first states are zero if left out."""
        hidden, cell = self._advanced(x, states)
        return hidden, cell
