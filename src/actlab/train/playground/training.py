"""The network of a playground and its training, repeatable to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from actlab.errors import BadInput, NoMoment
from actlab.theory.gains import gain
from actlab.train.playground import plain
from actlab.train.playground.activations import module_of
from actlab.train.playground.points import Points, points_of
from actlab.train.playground.state import Layer, State, activation_of
from actlab.train.playground.table import Table

EVERY = 10
"""The losses on all points are logged every so many steps."""


@final
@dataclass(frozen=True)
class Logged:
    """The mean losses of all training and of all test points after a number of steps."""

    step: int
    train: float
    test: float


@final
@dataclass(frozen=True, eq=False)
class Network:
    """A network, and where its activations are.

    Attributes:
        model: the modules one after another; the output has shape (batch, 1).
        activations: the places of the activations among them.
    """

    model: nn.Sequential
    activations: tuple[int, ...]

    def traced(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return the inputs of all activations, their outputs, and the network's output of shape (batch,)."""
        befores, afters = [], []
        for place, each in enumerate(self.model):
            before, x = x, each(x)
            if place in self.activations:
                befores.append(before)
                afters.append(x)
        return befores, afters, x.squeeze(1)


@final
class Training:
    """One training: equal states give equal numbers, step by step.

    Attributes:
        state, points, network: what is trained on what.
        step: the number of steps made.
        log: the losses before the first step and after every tenth.
        diverged: whether the loss was not finite; then it trains no further.
        loss: the mean loss of outputs and targets.
    """

    def __init__(self, state: State, table: Table | None = None) -> None:
        self.state = state
        self.points = points_of(state, table)
        self.network = network_of(state)
        self.step = 0
        self.log: list[Logged] = []
        self.diverged = False
        self.loss = loss_of(self.points)
        self._optimizer = optimizer_of(state, self.network.model)
        self._order = plain.batches(len(self.points.train_x), state.batch, plain.stream(state.seed, 2))
        self._note()

    def advance(self, steps: int = 1) -> None:
        """Train for some steps, or until it diverges."""
        model, points, loss_of, optimizer = self.network.model, self.points, self.loss, self._optimizer
        for _ in range(steps):
            if self.diverged:
                return
            batch = next(self._order)
            optimizer.zero_grad()
            loss = loss_of(model(points.train_x[batch]).squeeze(1), points.train_y[batch])
            torch.autograd.backward(loss)
            optimizer.step()
            self.step += 1
            self.diverged = not math.isfinite(loss.item())
            if self.step % EVERY == 0:
                self._note()

    def losses(self) -> Logged:
        """Measure the losses on all points now."""
        points = self.points
        train, test = (
            self._mean_loss(x, y) for x, y in ((points.train_x, points.train_y), (points.test_x, points.test_y))
        )
        return Logged(self.step, train, test)

    def _mean_loss(self, x: Tensor, y: Tensor) -> float:
        with evaluated(self.network.model), torch.no_grad():
            return self.loss(self.network.model(x).squeeze(1), y).item()

    def _note(self) -> None:
        now = self.losses()
        self.log.append(now)
        self.diverged = self.diverged or not math.isfinite(now.train)


@final
class evaluated:
    """A context in which a model evaluates, as a context manager that costs little."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __enter__(self) -> None:
        self._model.eval()

    def __exit__(self, *_: object) -> None:
        self._model.train()


def network_of(state: State) -> Network:
    """Return the network of a state with its first weights, without a draw from the global random numbers.

    Raises:
        BadInput: an activation has no gain, which its layer's initialization needs.
    """
    generator = plain.stream(state.seed, 1)
    modules: list[nn.Module] = []
    places: list[int] = []
    for linear, (how, factor) in zip(_linears(state), initializations(state), strict=True):
        plain.initialize(linear, how, factor, generator)
        modules.append(linear)
        if len(places) < len(state.layers):
            layer = state.layers[len(places)]
            modules += _normalization(layer)
            places.append(len(modules))
            modules.append(module_of(activation_of(layer.activation)))
    return Network(nn.Sequential(*modules), tuple(places))


def initializations(state: State) -> list[tuple[str, float]]:
    """Return how each linear layer is initialized, and the gain of the activation before it; the output is last.

    The output is initialized as the last hidden layer is.
    """
    hows = [layer.initialization for layer in state.layers]
    hows.append(hows[-1] if hows else "default")
    befores = [None, *(layer.activation for layer in state.layers)]
    return [(how, _gain(before) if how == "gain" else 1.0) for how, before in zip(hows, befores, strict=True)]


def loss_of(points: Points) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean loss of outputs and targets: binary cross-entropy of logits, or mean squared error."""
    return functional.binary_cross_entropy_with_logits if points.is_classes else functional.mse_loss


def optimizer_of(state: State, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a state."""
    if state.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), state.rate, weight_decay=state.decay)
    momentum = 0.9 if state.optimizer == "momentum" else 0.0
    return torch.optim.SGD(model.parameters(), state.rate, momentum=momentum, weight_decay=state.decay)


def _linears(state: State) -> list[nn.Linear]:
    widths = [state.inputs, *(layer.width for layer in state.layers), 1]
    return [
        nn.Linear(before, after, dtype=torch.float64, device="meta").to_empty(device="cpu")
        for before, after in pairwise(widths)
    ]


def _normalization(layer: Layer) -> list[nn.Module]:
    if layer.normalization == "batch":
        return [nn.BatchNorm1d(layer.width, dtype=torch.float64)]
    return [nn.LayerNorm(layer.width, dtype=torch.float64)] if layer.normalization == "layer" else []


def _gain(activation: str | None) -> float:
    if activation is None:
        return 1.0
    try:
        return gain(activation_of(activation))
    except NoMoment as error:
        raise BadInput(f"initialization 'gain': {error} Choose another initialization.") from error
