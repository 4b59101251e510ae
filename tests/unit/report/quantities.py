"""Quantities of a deep sigmoid network with a vanishing gradient, for the tests of reports."""

from __future__ import annotations

import math

import torch

from actlab.catalog.index import get
from actlab.sites.site import Site
from actlab.telemetry.quantities import Point, Quantities, SiteQuantities, UnitStatistics

DEPTH = 8


def statistics() -> UnitStatistics:
    """Return statistics of two units over 64 examples."""
    two = torch.tensor([64.0, 64.0], dtype=torch.float64)
    return UnitStatistics(64, two, two, two / 64, two / 64, two * 0, two / 64, two * 0, two, torch.zeros(3))


def point(step: int, depth: int, *, gradient: float | None = None) -> Point:
    """Return a gradient ten times smaller at each site further from the loss, growing a little with time."""
    grown = 1e-2 * 10.0 ** (depth + 1 - DEPTH) * (1 + step / 50)
    return Point(
        step, depth / 20, min(1.0, 0.1 * depth + step / 200), 0.0, 0.5, 0.1, grown if gradient is None else gradient
    )


def quantities(*, steps: int = 100, depth: int = DEPTH, every: int = 1) -> Quantities:
    """Return the quantities of a run of so many steps."""
    rows = []
    for place in range(depth):
        site = Site(
            "sigmoid", {}, f"layers.{place}.act", "nn.Sigmoid", "net.py", 9, 0, (64, 128), "float32", get("sigmoid")
        )
        points = tuple(point(step, place) for step in range(0, steps, every))
        rows.append(SiteQuantities(site, 0.25, statistics(), statistics(), points))
    return Quantities(steps, len(range(0, steps, every)), tuple(rows), (), ((0, math.log(10)),), None, ())
