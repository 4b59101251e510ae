"""What a page shows of a playground's training: losses, surface, units over the plane, dead units, gradients."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from actlab.jsonable import plain
from actlab.telemetry.observed_activation import measured
from actlab.telemetry.settings import Settings
from actlab.train.playground.state import State, activation_of
from actlab.train.playground.table import Table
from actlab.train.playground.training import Logged, Training, evaluated

SURFACE, UNIT, LINE = 40, 20, 121
"""The pixels on a side of the surface and of a unit's picture; the points of a curve over one input."""

MOST_PICTURES = 16
"""The units of a layer that are drawn."""

MOST_LOGGED = 200
"""The points of a loss curve."""


@final
@dataclass(frozen=True)
class LayerFrame:
    """One hidden layer at one step.

    Attributes:
        dead_share: the share of its units whose derivative is 0, or as good as 0, on every training point.
        gradient: the root mean square of the loss gradient by its outputs, per example.
        units: for each of the first 16 units, its outputs over the plane, row by row from the top (or over x):
            bytes in base64, 0 to 255 for -size to size.
        sizes: the largest absolute output of each of these units.
    """

    dead_share: float
    gradient: float
    units: tuple[str, ...]
    sizes: tuple[float, ...]


@final
@dataclass(frozen=True)
class Frame:
    """A training at one step, as a page draws it.

    Attributes:
        step: the number of steps made.
        train, test: the mean losses.
        train_accuracy, test_accuracy: the shares of points whose class is right; None for a regression.
        diverged: whether the loss is not finite.
        low, high: the outputs that the bytes 0 and 255 of the surface stand for; classes are probabilities.
        surface: the network's output over the plane, row by row from the top (bytes in base64); empty with one input.
        curve: the network's output over x, from the least x to the largest; empty with two inputs.
        layers: the hidden layers in order.
        log: the losses so far as (step, train, test), thinned.
    """

    step: int
    train: float
    test: float
    train_accuracy: float | None
    test_accuracy: float | None
    diverged: bool
    low: float
    high: float
    surface: str
    curve: tuple[float, ...]
    layers: tuple[LayerFrame, ...]
    log: tuple[tuple[float, float, float], ...]


def frame_of(training: Training, *, pictures: bool = True) -> Frame:
    """Measure a training as it is now; nothing of it changes.

    Args:
        training: what to measure.
        pictures: whether to draw each unit.
    """
    points, network = training.points, training.network
    now = training.losses()
    low, high = (0.0, 1.0) if points.is_classes else _range(points.train_y)
    with evaluated(network.model):
        accuracies = _accuracies(training) if points.is_classes else (None, None)
        with torch.no_grad():
            if len(points.edges) == 1:
                surface, curve = "", _rounded(network.model(_line(points.edges[0], LINE)).squeeze(1))
            else:
                outputs = network.model(_plane(points.edges, SURFACE)).squeeze(1)
                surface, curve = _bytes(torch.sigmoid(outputs) if points.is_classes else outputs, low, high), ()
        layers = _layers(training, pictures=pictures)
    return Frame(
        step=training.step,
        train=now.train,
        test=now.test,
        train_accuracy=accuracies[0],
        test_accuracy=accuracies[1],
        diverged=training.diverged,
        low=low,
        high=high,
        surface=surface,
        curve=curve,
        layers=layers,
        log=_thinned(training.log),
    )


def points_shown(training: Training) -> dict[str, Any]:
    """Return the points as a page draws them: `{train, test, names, labels, edges, is_classes}`, rounded."""
    points = training.points
    return {
        "train": _triples(points.train_x, points.train_y),
        "test": _triples(points.test_x, points.test_y),
        "names": list(points.names),
        "labels": list(points.labels),
        "edges": list(points.edges),
        "is_classes": points.is_classes,
    }


def recorded(state: State, steps: int, *, table: Table | None = None, count: int = 25) -> list[dict[str, Any]]:
    """Train and return the frames at growing distances, which a page replays without a server.

    Args:
        state: what to train.
        steps: how many steps.
        table: the table, if the state names one.
        count: the most frames.

    Returns:
        Plain values for JSON; the first frame holds the points under `points`. The units are not drawn.
    """
    wanted = sorted({round(steps * (at / max(1, count - 1)) ** 2) for at in range(count)} | {steps})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that every sum has one order
    try:
        training = Training(state, table)
        frames = []
        for step in wanted:
            training.advance(step - training.step)
            frames.append(plain(frame_of(training, pictures=False)))
            if training.diverged:
                break
    finally:
        torch.set_num_threads(threads)
    return [{**frames[0], "points": points_shown(training)}, *frames[1:]]


def _accuracies(training: Training) -> tuple[float, float]:
    points, model = training.points, training.network.model
    with torch.no_grad():
        shares = [
            ((model(x).squeeze(1) > 0).double() == y).double().mean().item()
            for x, y in ((points.train_x, points.train_y), (points.test_x, points.test_y))
        ]
    return shares[0], shares[1]


def _layers(training: Training, *, pictures: bool) -> tuple[LayerFrame, ...]:
    points, network = training.points, training.network
    befores, afters, output = network.traced(points.train_x)
    loss = training.loss(output, points.train_y)
    gradients = torch.autograd.grad(loss, afters) if afters else ()
    drawn = _drawn(training) if pictures else [((), ())] * len(afters)
    return tuple(
        LayerFrame(
            dead_share=_dead_share(training, number, before),
            gradient=(gradient * len(before)).square().mean().sqrt().item(),
            units=units,
            sizes=sizes,
        )
        for number, (before, gradient, (units, sizes)) in enumerate(zip(befores, gradients, drawn, strict=True))
    )


def _dead_share(training: Training, number: int, before: Tensor) -> float:
    """Return the share of units on whose inputs, of shape (examples, units), the derivative is as good as 0."""
    z = before.detach().requires_grad_()
    activation = training.network.model[training.network.activations[number]]
    (slope,) = torch.autograd.grad(activation(z).sum(), z)
    facts = measured(activation_of(training.state.layers[number].activation))
    floor = Settings().dead_floor * facts.bound if facts.levels_off else 0.0
    return (slope.abs() <= floor).all(dim=0).double().mean().item()


def _drawn(training: Training) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Return the pictures of the units of each layer, and the sizes that they are scaled by."""
    edges = training.points.edges
    with torch.no_grad():
        _, afters, _ = training.network.traced(_line(edges[0], UNIT) if len(edges) == 1 else _plane(edges, UNIT))
    found = []
    for after in afters:
        shown = after[:, :MOST_PICTURES]
        sizes = torch.nan_to_num(shown, nan=0.0).abs().amax(dim=0)
        scaled = shown / torch.where(sizes > 0, sizes, 1.0)
        units = tuple(_bytes(unit, -1.0, 1.0) for unit in scaled.T)
        found.append((units, _rounded(sizes)))
    return found


def _plane(edges: Sequence[float], side: int) -> Tensor:
    """Return the centers of side × side pixels, row by row from the top."""
    centers = (torch.arange(side, dtype=torch.float64) + 0.5) * (2 / side) - 1
    return torch.stack([edges[0] * centers.repeat(side), edges[1] * -centers.repeat_interleave(side)], dim=1)


def _line(edge: float, count: int) -> Tensor:
    return torch.linspace(-edge, edge, count, dtype=torch.float64)[:, None]


def _bytes(values: Tensor, low: float, high: float) -> str:
    scaled = torch.nan_to_num((values - low) / (high - low), nan=0.5).clamp(0, 1)
    return base64.b64encode((255 * scaled).round().to(torch.uint8).numpy().tobytes()).decode()


def _range(targets: Tensor) -> tuple[float, float]:
    low, high = targets.min().item(), targets.max().item()
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values.tolist())


def _triples(x: Tensor, y: Tensor) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in row] for row in torch.cat([x, y[:, None]], dim=1).tolist()]


def _thinned(log: Sequence[Logged]) -> tuple[tuple[float, float, float], ...]:
    stride = math.ceil(len(log) / MOST_LOGGED)
    kept = [*log[:-1:stride], log[-1]]
    return tuple((each.step, float(f"{each.train:.5g}"), float(f"{each.test:.5g}")) for each in kept)
