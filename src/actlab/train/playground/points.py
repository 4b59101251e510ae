"""The points of a playground: drawn, computed from a formula, or taken from a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from actlab.errors import BadInput, BadTable, shortened
from actlab.train.playground import plain
from actlab.train.playground.activations import module_of
from actlab.train.playground.state import State, activation_of
from actlab.train.playground.table import Table, is_number

EDGE = 6.0
"""The plane, and the domain of a function, reach from -6 to 6."""

DRAWN = {draw.__name__: draw for draw in (plain.circle, plain.xor, plain.moons, plain.spiral, plain.bananas)}


@final
@dataclass(frozen=True, eq=False)
class Points:
    """The training and the test half of the data, in double precision.

    Attributes:
        train_x, test_x: the inputs, of shape (count, 1 or 2).
        train_y, test_y: the targets, of shape (count,): 0 and 1 for classes.
        is_classes: whether the target is a class.
        names: of the inputs, and of the target.
        labels: the names of the two classes; empty if there are none.
        edges: the plane reaches from -edge to edge, by input.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    is_classes: bool
    names: tuple[str, ...]
    labels: tuple[str, ...]
    edges: tuple[float, ...]


def points_of(state: State, table: Table | None = None) -> Points:
    """Return the points of a state; the same state has the same points.

    Raises:
        BadInput: the formula is not finite somewhere, or no table of this digest was handed in.
        BadTable: the chosen columns cannot be used.
    """
    generator = plain.stream(state.seed, 0)
    if state.data == "table":
        return _of_table(state, table, generator)
    if state.data == "function":
        x = plain.uniform(-EDGE, EDGE, state.points, generator)
        y = _values(state.f, x) + state.noise * plain.normal(len(x), generator=generator)
        halves = plain.halves(x[:, None], y, generator)
        return Points(*halves, is_classes=False, names=("x", "y"), labels=(), edges=(EDGE,))
    points, targets = DRAWN[state.data](state.points, generator)
    points = points + state.noise * plain.normal(*points.shape, generator=generator)
    halves = plain.halves(points, targets, generator)
    labels = ("apples", "bananas") if state.data == "bananas" else ("class 0", "class 1")
    return Points(*halves, is_classes=True, names=("x1", "x2", "class"), labels=labels, edges=(EDGE, EDGE))


def _values(formula: str, x: Tensor) -> Tensor:
    with torch.no_grad():
        y: Tensor = module_of(activation_of(formula))(x)
    wrong = ~torch.isfinite(y)
    if wrong.any():
        raise BadInput(
            f"y = {shortened(formula)}: it must be finite from -6 to 6; got {y[wrong][0].item()} at x = "
            f"{x[wrong][0].item():.4g}. Change the formula, such as to log(1 + x^2)."
        )
    return y


def _of_table(state: State, table: Table | None, generator: torch.Generator) -> Points:
    if table is None or table.digest != state.table:
        raise BadInput("the table of this address is not here any more; upload its file again.")
    names = (state.x1, state.x2, state.y)
    absent = [name for name in names if name not in table.rows.columns]
    if absent:
        known = shortened(", ".join(map(str, table.rows.columns)), limit=120)
        raise BadTable(f"'{table.name}' has no column '{shortened(absent[0])}'; it has {known}.")
    if len(set(names)) < 3:
        raise BadTable("the two inputs and the target must be three different columns.")
    for name in names[:2]:
        if not is_number(table.rows[name]):
            raise BadTable(f"the column '{shortened(name)}' must hold numbers; it holds text.")
    rows = table.rows[list(names)].dropna()
    if len(rows) < 20:
        raise BadTable(f"'{table.name}' must have 20 rows without missing values in these columns; got {len(rows)}.")
    chosen = torch.randperm(len(rows), generator=generator)[: state.points].numpy()
    rows = rows.iloc[np.sort(chosen)]
    points = torch.stack([_standardized(rows[name].to_numpy(np.float64), name) for name in names[:2]], dim=1)
    values = sorted(rows[state.y].unique().tolist())
    is_classes = len(values) == 2
    if is_classes:
        targets = torch.tensor((rows[state.y] == values[1]).to_numpy(np.float64))
    elif is_number(rows[state.y]):
        targets = _standardized(rows[state.y].to_numpy(np.float64), state.y)
    else:
        raise BadTable(f"the target '{shortened(state.y)}' must hold numbers or two values; got {len(values)} values.")
    edges = (1.05 * points.abs().amax(dim=0)).tolist()
    return Points(
        *plain.halves(points, targets, generator),
        is_classes=is_classes,
        names=names,
        labels=tuple(shortened(f"{state.y} {value}", limit=24) for value in values) if is_classes else (),
        edges=tuple(edges),
    )


def _standardized(values: np.ndarray, name: str) -> Tensor:
    """Return the values with mean 0 and standard deviation 1."""
    spread = values.std()
    if not (np.isfinite(spread) and spread > 0):
        raise BadTable(f"the column '{shortened(name)}' must hold different, finite values in the rows that are used.")
    return torch.tensor((values - values.mean()) / spread)
