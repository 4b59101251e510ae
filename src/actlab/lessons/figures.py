"""Computed lines, by the name that a figure's state calls them: `lines=shrinking&f=sigmoid`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log10

import numpy as np

from actlab.lessons.facts import condition, largest_slope
from actlab.lessons.lines import Lines, Series, Setting
from actlab.lessons.measured import cell, leading_number, rows
from actlab.lessons.state import State


def shrinking(state: State) -> Lines:
    """Return the largest factor by which a gradient can be multiplied over layers, for each activation."""
    layers = np.arange(state.count("layers", 10, most=100) + 1)
    formulas = state.texts("f") or ("sigmoid", "tanh")
    series = [Series(name, (largest_slope(name) ** layers).tolist()) for name in formulas]
    return Lines(
        x="layers", y="largest possible factor", choice="", settings=[Setting("", layers.tolist(), series)], log=True
    )


def arriving(state: State) -> Lines:
    """Return the measured share of the gradient that arrives at the first activation, over depth."""
    depths = (2, 3, 4, 6, 8)
    series = [
        Series(name, [leading_number(cell("depth", 2, f"{depth}", name)) for depth in depths])
        for name in state.texts("f") or ("sigmoid", "tanh", "relu")
    ]
    return Lines(
        x="hidden layers", y="share of the gradient", choice="", settings=[Setting("", depths, series)], log=True
    )


def conditions(state: State) -> Lines:
    """Return the condition number of learning a linear layer over the number of units that feed it."""
    units = (1, 2, 4, 8, 16, 32, 64)
    series = [Series(name, [condition(name, count) for count in units]) for name in state.texts("f")]
    return Lines(x="units", y="condition number", choice="", settings=[Setting("", units, series)], log=True)


def straight(state: State) -> Lines:
    """Return the measured accuracy of networks of one hidden layer on apples and bananas, over their units."""
    units = (2, 4, 8, 16, 64)
    series = [
        Series(name, [leading_number(cell("bananas", 1, f"{count}", name)) for count in units])
        for name in state.texts("f")
    ]
    return Lines(x="units in the hidden layer", y="test accuracy, %", choice="", settings=[Setting("", units, series)])


def dying(state: State) -> Lines:
    """Return the measured share of dead ReLU units over the learning rate; the optimizer is the choice."""
    settings = [_dying(table, optimizer) for table, optimizer in enumerate(("SGD", "momentum", "Adam"), start=1)]
    return Lines(
        x="learning rate, power of ten",
        y="dead units, %",
        choice="Optimizer",
        settings=settings,
        first=len(settings) - 1,
    )


def _dying(table: int, optimizer: str) -> Setting:
    rates = rows("dead-relu", table)[1:]  # the first row is before training
    series = [
        Series(
            f"{depth} hidden layers",
            [leading_number(cell("dead-relu", table, rate, f"{depth} layers: dead, %")) for rate in rates],
        )
        for depth in (2, 4, 8)
    ]
    return Setting(optimizer, [log10(float(rate)) for rate in rates], series)


FIGURES: Mapping[str, Callable[[State], Lines]] = {
    "arriving": arriving,
    "conditions": conditions,
    "dying": dying,
    "shrinking": shrinking,
    "straight": straight,
}
