"""Computed lines, by the name that a figure's state calls them: `lines=shrinking&f=sigmoid`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from actlab.lessons.facts import largest_slope
from actlab.lessons.lines import Lines, Series, Setting
from actlab.lessons.measured import cell, leading_number
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


FIGURES: Mapping[str, Callable[[State], Lines]] = {"arriving": arriving, "shrinking": shrinking}
