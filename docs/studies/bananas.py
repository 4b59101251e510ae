"""What can a linear network not learn, and how much width or depth does a non-linearity save?

Bananas are a crescent around a cluster of apples: no straight line separates them. Networks of one to three hidden
layers learn them, with the identity, which leaves the network linear, and with other activations.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from page import asked, cost, publish, table
from torch import nn

import actlab
from actlab.study.comparison import Comparison
from actlab.train.mlp import mlp
from actlab.train.task import Task

ROWS = 1000
SHAPES = ((2,), (4,), (8,), (16,), (64,), (2, 2), (4, 4), (8, 8), (2, 2, 2), (4, 4, 4))
"""The widths of the hidden layers of every network."""

CANDIDATES = ("relu", "tanh", "x^2")
ENOUGH = 99.0
"""The test accuracy from which on a network counts as having learned the fruit, in points."""


def fruit(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw apples, a round cluster, and bananas, a crescent around it; half of the rows are each."""
    noise = np.random.default_rng(0)
    half = rows // 2
    apples = noise.normal(0.0, 0.25, (half, 2))
    angles = noise.uniform(0.1 * np.pi, 1.3 * np.pi, rows - half)
    radii = 1.2 + noise.normal(0.0, 0.08, rows - half)
    bananas = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([apples, bananas]), np.repeat([0, 1], [half, rows - half])


def task_of(widths: tuple[int, ...]) -> Task:
    """Return the task of telling apples from bananas with hidden layers of these widths."""
    name = f"fruit {' '.join(map(str, widths))}"
    model = partial(mlp, sizes=(2, *widths, 2))
    return Task(name, model, train=fruit(ROWS), activation="identity", epochs=25, batch_size=64, rates=(1e-3, 1e-1))


def row_of(widths: tuple[int, ...], found: Comparison) -> tuple[str, ...]:
    """Return the row of one network: every arm's accuracy, and the interval of its difference from the linear one."""
    parameters = sum(value.numel() for value in task_of(widths).build(nn.Identity).parameters())
    cells = [f"{found.control.test:.1f}"]
    for arm in found.arms[1:]:
        difference = arm.difference
        assert difference is not None
        cells.append(f"{arm.test:.1f} ({difference.low:+.1f} to {difference.high:+.1f}, {arm.verdict})")
    return (" × ".join(map(str, widths)), f"{parameters}", *cells)


def smallest(results: dict[tuple[int, ...], Comparison], activation: str) -> str:
    """Name the smallest network with which an activation learns the fruit."""
    enough = [
        widths
        for widths, found in results.items()
        if next(arm.test for arm in found.arms if arm.activation == activation) >= ENOUGH
    ]
    if not enough:
        return f"{activation}: none of them"
    size = min(enough, key=lambda widths: sum(one.numel() for one in task_of(widths).build(nn.Identity).parameters()))
    return f"{activation}: {' × '.join(map(str, size))}"


def main() -> None:
    options = asked(__doc__ or "")
    results = {}
    for widths in SHAPES[:2] if options.quick else SHAPES:
        print(f"hidden layers {widths}", flush=True)
        results[widths] = actlab.compare(
            task_of(widths),
            CANDIDATES,
            budget=3 if options.quick else None,
            jobs=options.jobs,
            store=options.store,
            resume=True,
        ).comparison
    head = ("hidden layers", "parameters", "identity", *CANDIDATES)
    rows = [row_of(widths, found) for widths, found in results.items()]
    least = "; ".join(smallest(results, name) for name in ("identity", *CANDIDATES))
    publish(
        "bananas",
        [
            *table(head, rows),
            "",
            f"Smallest network with {ENOUGH:.0f} points: {least}.",
            "",
            cost(list(results.values()), jobs=options.jobs),
        ],
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
