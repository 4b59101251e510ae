"""`torch.nn`'s recurrent layers with replaceable activations."""

from __future__ import annotations

from abc import ABC
from typing import Unpack, final, overload

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from actlab.formula.activation import Activation
from actlab.nn.recurrent import step
from actlab.nn.recurrent.options import LayerOptions, shows
from actlab.nn.recurrent.stack import RecurrentLayers


class OneState(RecurrentLayers, ABC):
    """Recurrent layers whose hidden state is all they carry from step to step."""

    @overload
    def forward(self, x: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    @overload
    def forward(self, x: PackedSequence, hidden: Tensor | None = None) -> tuple[PackedSequence, Tensor]: ...

    def forward(
        self, x: Tensor | PackedSequence, hidden: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Return the last layer's output at every step, and every layer's last hidden state."""
        outputs, (last,) = self._run_any(x, None if hidden is None else (hidden,))
        return outputs, last


@final
class RNN(OneState):
    """`torch.nn.RNN` with any activation.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: the number of stacked layers.
        nonlinearity: the activation of each new hidden state.
        bias: whether there are bias weights.
        batch_first: whether input and output are (batch, steps, features), not (steps, batch, features).
        dropout: the dropout probability between layers in training.
        bidirectional: whether each layer also runs backward.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: sizes or options that do not fit, or an activation that is not element-wise.
    """

    @shows(LayerOptions, of=RecurrentLayers.__init__)
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str | Activation = "tanh",
        **options: Unpack[LayerOptions],
    ) -> None:
        activations = {"nonlinearity": nonlinearity}
        super().__init__(step.RNN, (input_size, hidden_size), activations=activations, **options)


@final
class GRU(OneState):
    """`torch.nn.GRU` with any activations.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: the number of stacked layers.
        gate: the activation of the reset and the update gate.
        candidate: the activation of the candidate for the new hidden state.
        bias: whether there are bias weights.
        batch_first: whether input and output are (batch, steps, features), not (steps, batch, features).
        dropout: the dropout probability between layers in training.
        bidirectional: whether each layer also runs backward.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: sizes or options that do not fit, or an activation that is not element-wise.
    """

    @shows(LayerOptions, of=RecurrentLayers.__init__)
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gate: str | Activation = "sigmoid",
        candidate: str | Activation = "tanh",
        **options: Unpack[LayerOptions],
    ) -> None:
        activations = {"gate": gate, "candidate": candidate}
        super().__init__(step.GRU, (input_size, hidden_size), activations=activations, **options)


@final
class LSTM(RecurrentLayers):
    """`torch.nn.LSTM` with any activations.

    Args:
        input_size: features of the input.
        hidden_size: features of the cell state, and of the hidden state unless it is projected.
        num_layers: the number of stacked layers.
        gate: the activation of the input, the forget and the output gate.
        candidate: the activation of the candidate for the cell state.
        output: the activation of the cell state in the output.
        bias: whether there are bias weights.
        batch_first: whether input and output are (batch, steps, features), not (steps, batch, features).
        dropout: the dropout probability between layers in training.
        bidirectional: whether each layer also runs backward.
        proj_size: features that the hidden state is projected to; 0 for no projection.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: sizes or options that do not fit, or an activation that is not element-wise.

    Example:
        >>> import torch
        >>> layers = LSTM(3, 5, gate="hard_sigmoid", batch_first=True)
        >>> outputs, (hidden, cell) = layers(torch.ones(2, 7, 3))
        >>> outputs.shape
        torch.Size([2, 7, 5])
    """

    @shows(LayerOptions, of=RecurrentLayers.__init__)
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gate: str | Activation = "sigmoid",
        candidate: str | Activation = "tanh",
        output: str | Activation = "tanh",
        proj_size: int = 0,
        **options: Unpack[LayerOptions],
    ) -> None:
        activations = {"gate": gate, "candidate": candidate, "output": output}
        super().__init__(step.LSTM, (input_size, hidden_size), activations=activations, proj_size=proj_size, **options)

    @overload
    def forward(
        self, x: Tensor, states: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...

    @overload
    def forward(
        self, x: PackedSequence, states: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]: ...

    def forward(
        self, x: Tensor | PackedSequence, states: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, Tensor]]:
        """Return the last layer's output at every step, and every layer's last hidden and cell state."""
        outputs, (hidden, cell) = self._run_any(x, states)
        return outputs, (hidden, cell)
