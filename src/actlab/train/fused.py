"""PyTorch's fused optimizers by their kernels: of one model, or of many with a learning rate for each.

The numbers are those of `torch.optim`, whose first step imports PyTorch's compiler (2 s), and whose every step of many
groups takes ten times as long as the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from itertools import accumulate, groupby
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

Make = Callable[..., torch.optim.Optimizer]

VECTOR = 64
"""The kernels round the last elements of a tensor, too few for a vector of so many bytes, in another way than others.

A lane whose elements do not fill whole vectors is a piece alone, so that the numbers are those of one model.
"""

Update = Callable[..., None]
"""PyTorch's fused step of several tensors at one learning rate."""


def update_of(make: Make) -> tuple[Update, tuple[str, ...]] | None:
    """Return the fused step of an optimizer and the names of its state; None if it has none for lanes."""
    kind, chosen = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    defaults = {name: each.default for name, each in signature(kind).parameters.items()}
    asked = {**defaults, **chosen}
    if kind in (torch.optim.Adam, torch.optim.AdamW) and not asked["amsgrad"]:
        is_decoupled = kind is torch.optim.AdamW or asked.get("decoupled_weight_decay", False)
        beta1, beta2 = asked["betas"]
        settings = {name: asked[name] for name in ("weight_decay", "eps", "amsgrad", "maximize")}
        step = torch._fused_adamw_ if is_decoupled else torch._fused_adam_
        return partial(_adam, step, beta1=beta1, beta2=beta2, **settings), ("exp_avg", "exp_avg_sq")
    if kind is torch.optim.SGD:
        names = ("weight_decay", "momentum", "dampening", "nesterov", "maximize")
        settings = {name: asked[name] for name in names}
        return partial(_sgd, **settings), ("momentum_buffer",) if asked["momentum"] else ()
    return None


def _adam(
    step: Callable[..., None],
    values: list[Tensor],
    gradients: list[Tensor],
    states: list[list[Tensor]],
    counts: list[Tensor],
    **settings: Any,
) -> None:
    step(values, gradients, *states, [], counts, **settings)


def _sgd(
    values: list[Tensor], gradients: list[Tensor], states: list[list[Tensor]], counts: list[Tensor], **settings: Any
) -> None:
    buffers = states[0] if states else []
    torch._fused_sgd_(values, gradients, buffers, is_first_step=bool(counts[0] == 1), **settings)


@final
class LaneOptimizer:
    """One of PyTorch's optimizers over stacked parameters, of which it takes the lanes of one rate together.

    Args:
        make: makes the optimizer.
        values: the stacked parameters by name.
        rates: the learning rate of each lane; those of one rate lie together.
    """

    def __init__(self, make: Make, values: Mapping[str, Tensor], *, rates: Sequence[float]) -> None:
        found = update_of(make)
        assert found is not None, "lanes are trained only by optimizers that have a step for them"
        self._update, names = found
        self._rates, self._kinds = tuple(rates), len(names)
        self._counts = {name: torch.zeros(()) for name in values}
        self._states = {name: [torch.zeros_like(each) for _ in names] for name, each in values.items()}
        self._split(values)

    def step(self, gradients: Mapping[str, Tensor | None]) -> None:
        """Take one step; a parameter without a gradient stays."""
        found = {name: _like(each, self._whole[name]) for name, each in gradients.items() if each is not None}
        for name in found:
            self._counts[name].add_(1)
        parts = {name: _cut(each, self._sizes[name]) for name, each in found.items()}
        for rate, pieces in zip(self._group_rates, self._pieces_of(tuple(found)), strict=True):
            own = [part for name, some in pieces.places.items() for part in parts[name][some]]
            self._update(pieces.values, own, pieces.states, pieces.counts, lr=rate)

    def keep(self, lanes: Tensor, values: Mapping[str, Tensor]) -> None:
        """Keep the state of these lanes, for parameters that hold them alone."""
        self._rates = tuple(self._rates[lane] for lane in lanes.tolist())
        self._states = {name: [each.index_select(0, lanes) for each in states] for name, states in self._states.items()}
        self._split(values)

    def _split(self, values: Mapping[str, Tensor]) -> None:
        """Note how the memory of each parameter is split for the kernels."""
        runs = [(rate, len(list(lanes))) for rate, lanes in groupby(self._rates)]
        self._group_rates, groups = [rate for rate, _ in runs], [size for _, size in runs]
        self._whole = {name: each.detach() for name, each in values.items()}
        self._sizes = {
            name: groups if each[0].nbytes % VECTOR == 0 else [1] * len(each) for name, each in self._whole.items()
        }
        self._places = {name: _places(groups, whole=sizes is groups) for name, sizes in self._sizes.items()}
        self._known: dict[tuple[str, ...], list[_Pieces]] = {}

    def _pieces_of(self, names: tuple[str, ...]) -> list[_Pieces]:
        """Return the pieces of these parameters for each rate."""
        if names not in self._known:
            cut = {name: _cut(self._whole[name], self._sizes[name]) for name in names}
            kept = {name: [_cut(each, self._sizes[name]) for each in self._states[name]] for name in names}
            self._known[names] = [
                _Pieces(
                    {name: self._places[name][group] for name in names},
                    [piece for name in names for piece in cut[name][self._places[name][group]]],
                    [
                        [piece for name in names for piece in kept[name][number][self._places[name][group]]]
                        for number in range(self._kinds)
                    ],
                    [self._counts[name] for name in names for _ in cut[name][self._places[name][group]]],
                )
                for group in range(len(self._group_rates))
            ]
        return self._known[names]


def _places(groups: Sequence[int], *, whole: bool) -> list[slice]:
    """Return where the pieces of each rate are: one for all of its lanes, or one for each."""
    ends = list(accumulate([1] * len(groups) if whole else groups))
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True)
class _Pieces:
    """The pieces of memory that a kernel takes at one rate.

    Attributes:
        places: which pieces of each parameter.
        values, states, counts: these pieces, those of the state, and the number of steps of each.
    """

    places: dict[str, slice]
    values: list[Tensor]
    states: list[list[Tensor]]
    counts: list[Tensor]


def _cut(tensor: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    pieces: tuple[Tensor, ...] = torch.split_with_sizes(tensor, sizes)
    return pieces


def _like(gradient: Tensor, value: Tensor) -> Tensor:
    """Return the gradient in the memory layout of its parameter, as the kernels require."""
    return gradient if gradient.stride() == value.stride() else torch.empty_like(value).copy_(gradient)


class Optimizer(Protocol):
    """What the plain loop asks of an optimizer."""

    def zero_grad(self) -> None:
        """Remove the gradients."""

    def step(self) -> object:
        """Take one step."""


@final
class OneModel:
    """The optimizer of a single model's parameters."""

    def __init__(self, make: Make, parameters: Iterable[nn.Parameter], *, rate: float) -> None:
        self._parameters = {str(number): each for number, each in enumerate(parameters)}
        values = {name: each.detach().unsqueeze(0) for name, each in self._parameters.items()}
        self._lanes = LaneOptimizer(make, values, rates=[rate])

    def zero_grad(self) -> None:
        """Remove the gradients."""
        for each in self._parameters.values():
            each.grad = None

    def step(self) -> None:
        """Take one step; a parameter without a gradient stays."""
        self._lanes.step({
            name: None if each.grad is None else each.grad.unsqueeze(0) for name, each in self._parameters.items()
        })  # fmt: skip


def optimizer_of(make: Make, model: nn.Module, *, rate: float) -> Optimizer:
    """Return the optimizer of a model: by its kernels, or PyTorch's own object if it has none here."""
    if update_of(make) is None:
        return make(model.parameters(), lr=rate)
    return OneModel(make, model.parameters(), rate=rate)
