"""The common part of recurrent layers: their weights, and how they run over steps, directions and layers."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.nn.recurrent.step import Kind, States, Weights, activations_of, refuse_sizes, refuse_states, scan


class RecurrentLayers(nn.Module, ABC):
    """A stack of recurrent layers; its weights have PyTorch's names and shapes.

    Attributes:
        input_size: features of the input.
        hidden_size: features of each state.
        num_layers: the number of stacked layers.
        bias: whether there are bias weights.
        batch_first: whether the batch axis of input and output comes before the axis of steps.
        dropout: the dropout probability between layers in training.
        bidirectional: whether each layer also runs backward.
        proj_size: features that the output is projected to; 0 for no projection.
        activations: the activations by role, as modules, shared by all layers; their parameters are stored with
            the weights.
    """

    def __init__(
        self,
        kind: Kind,
        sizes: tuple[int, int],
        *,
        activations: Mapping[str, str | Activation],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = sizes
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._kind = kind
        self._refuse_unfit()
        for layer, ending in self._runs():
            for name, shape in self._shapes(layer):
                weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                self.register_parameter(f"{name}_{ending}", weight)
        self.reset_parameters()
        self.activations = activations_of(type(self).__name__, activations).to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniformly within ±1/√hidden_size, as PyTorch does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for layer, ending in self._runs():
            for name, _ in self._shapes(layer):
                nn.init.uniform_(getattr(self, f"{name}_{ending}"), -bound, bound)

    def extra_repr(self) -> str:
        """Show sizes and options that differ from the defaults."""
        usual = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False, "proj_size": 0,
        }  # fmt: skip
        options = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join([str(self.input_size), str(self.hidden_size), *options])

    def _refuse_unfit(self) -> None:
        owner = type(self).__name__
        refuse_sizes(owner, input_size=self.input_size, hidden_size=self.hidden_size, num_layers=self.num_layers)
        if not 0 <= self.dropout <= 1:
            raise BadInput(f"{owner}: dropout must lie between 0 and 1; got {self.dropout:g}.")
        if self.dropout and self.num_layers == 1:
            raise BadInput(f"{owner}: dropout applies between layers, so num_layers=1 must have dropout=0.")
        if not 0 <= self.proj_size < self.hidden_size:
            raise BadInput(
                f"{owner}: proj_size must be at least 0 and below hidden_size={self.hidden_size}; got {self.proj_size}."
            )

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def _endings(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _runs(self) -> Iterator[tuple[int, str]]:
        """Iterate over layers and directions in the order of the states, each with the ending of its weights' names."""
        for layer in range(self.num_layers):
            for ending in self._endings:
                yield layer, f"l{layer}{ending}"

    def _shapes(self, layer: int) -> list[tuple[str, tuple[int, ...]]]:
        rows = self._kind.blocks * self.hidden_size
        below = self.input_size if layer == 0 else self._output_size * len(self._endings)
        shapes: list[tuple[str, tuple[int, ...]]] = [
            ("weight_ih", (rows, below)),
            ("weight_hh", (rows, self._output_size)),
        ]
        if self.bias:
            shapes += [("bias_ih", (rows,)), ("bias_hh", (rows,))]
        if self.proj_size:
            shapes.append(("weight_hr", (self.proj_size, self.hidden_size)))
        return shapes

    def _weights(self, ending: str) -> Weights:
        def learned(name: str) -> Tensor:
            weight: Tensor = getattr(self, f"{name}_{ending}")
            return weight

        return Weights(
            learned("weight_ih"),
            learned("weight_hh"),
            learned("bias_ih") if self.bias else None,
            learned("bias_hh") if self.bias else None,
            learned("weight_hr") if self.proj_size else None,
        )

    def _run_any(self, x: Tensor | PackedSequence, given: States | None) -> tuple[Tensor | PackedSequence, States]:
        return self._run_packed(x, given) if isinstance(x, PackedSequence) else self._run(x, given)

    def _run_packed(self, x: PackedSequence, given: States | None) -> tuple[PackedSequence, States]:
        """Run sequences of unequal length, packed longest first."""
        sizes: list[int] = x.batch_sizes.tolist()
        self._refuse_input(x.data, rank=2, steps=0)
        states = self._reordered(self._states(x.data, given, batch=(sizes[0],)), x.sorted_indices)
        outputs, states = self._stacked(x.data, sizes, states)
        packed = PackedSequence(outputs, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return packed, self._reordered(states, x.unsorted_indices)

    def _run(self, x: Tensor, given: States | None) -> tuple[Tensor, States]:
        """Run sequences of one length, with or without a batch axis."""
        if x.dim() == 2:
            return self._run_alone(x, given)
        self._refuse_input(x, rank=3, steps=1 if self.batch_first else 0)
        steps = x.transpose(0, 1) if self.batch_first else x
        length, batch = steps.shape[:2]
        states = self._states(x, given, batch=(batch,))
        flat, states = self._stacked(steps.flatten(0, 1), [batch] * length, states)
        outputs = flat.reshape(length, batch, flat.shape[1])
        return outputs.transpose(0, 1) if self.batch_first else outputs, states

    def _run_alone(self, x: Tensor, given: States | None) -> tuple[Tensor, States]:
        self._refuse_input(x, rank=2, steps=0)
        states = tuple(state.unsqueeze(1) for state in self._states(x, given, batch=()))
        outputs, states = self._stacked(x, [1] * x.shape[0], states)
        return outputs, tuple(state.squeeze(1) for state in states)

    def _stacked(self, x: Tensor, sizes: list[int], states: States) -> tuple[Tensor, States]:
        """Run all layers over all steps, the rows of each step after those of the one before."""
        finals: list[States] = []
        for layer in range(self.num_layers):
            directions = []
            for ending in self._endings:
                own = tuple(state[len(finals)] for state in states)
                outputs, final = self._directed(x, sizes, own, ending=f"l{layer}{ending}")
                directions.append(outputs)
                finals.append(final)
            x = torch.cat(directions, dim=1)
            if layer + 1 < self.num_layers:
                x = functional.dropout(x, self.dropout, self.training)
        return x, tuple(torch.stack(kept) for kept in zip(*finals, strict=True))

    def _directed(self, x: Tensor, sizes: list[int], states: States, *, ending: str) -> tuple[Tensor, States]:
        weights = self._weights(ending)
        advance = partial(self._kind.step, weights=weights, activations=self.activations)
        # the input of all steps is projected at once: one large product, not many small ones
        inputs = torch.split_with_sizes(functional.linear(x, weights.input_hidden, weights.input_bias), sizes)
        if ending.endswith("_reverse"):
            outputs, states = scan(advance, inputs[::-1], states=states)
            return torch.cat(outputs[::-1]), states
        outputs, states = scan(advance, inputs, states=states)
        return torch.cat(outputs), states

    def _states(self, x: Tensor, given: States | None, *, batch: tuple[int, ...]) -> States:
        owner, names = type(self).__name__, self._kind.states
        runs = self.num_layers * len(self._endings)
        features = [self._output_size if name == "hidden" else self.hidden_size for name in names]
        shapes = [(runs, *batch, size) for size in features]
        if given is None:
            return tuple(x.new_zeros(shape) for shape in shapes)
        refuse_states(owner, names, given=given, shapes=shapes)
        return given

    def _reordered(self, states: States, order: Tensor | None) -> States:
        return states if order is None else tuple(state.index_select(1, order) for state in states)

    def _refuse_input(self, x: Tensor, *, rank: int, steps: int) -> None:
        owner, axes = type(self).__name__, "batch, steps" if self.batch_first else "steps, batch"
        if x.dim() != rank or x.shape[-1] != self.input_size:
            raise BadInput(
                f"{owner} takes ({axes}, {self.input_size}), or (steps, {self.input_size}) for one sequence; "
                f"got a tensor of shape {tuple(x.shape)}."
            )
        if x.shape[steps] == 0:
            raise BadInput(f"{owner}: there must be at least one step; got a tensor of shape {tuple(x.shape)}.")
