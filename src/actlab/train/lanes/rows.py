"""The rows of data of many lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actlab.train.examples import Examples


@dataclass(frozen=True)
class LaneRows:
    """One part of the data of each lane: rows of a shared pool.

    Attributes:
        pool: the rows of all different parts, one after another.
        first: the place of each lane's first row in the pool.
        count: the number of rows of each lane.
    """

    pool: Examples
    first: Tensor
    count: int

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of shape (lanes, batch, ...) of these rows of each lane, (lanes, batch)."""
        places = (rows + self.first.unsqueeze(1)).flatten()
        inputs, targets = self.pool.inputs.index_select(0, places), self.pool.targets.index_select(0, places)
        return inputs.view(*rows.shape, *inputs.shape[1:]), targets.view(*rows.shape, *targets.shape[1:])

    def between(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of consecutive rows."""
        if len(self.pool) == self.count:  # all lanes have the same rows
            inputs, targets = self.pool.inputs[start:stop], self.pool.targets[start:stop]
            return inputs.expand(len(self.first), *inputs.shape), targets.expand(len(self.first), *targets.shape)
        rows = torch.arange(start, min(stop, self.count))
        return self.take(rows.expand(len(self.first), -1))

    def keep(self, lanes: Tensor) -> LaneRows:
        """Return the rows of these lanes."""
        return LaneRows(self.pool, self.first.index_select(0, lanes), self.count)


def lane_rows(parts: Sequence[Examples]) -> LaneRows:
    """Return the rows of lanes whose parts of the data have one shape; lanes of one part share it."""
    distinct = list({id(part): part for part in parts}.values())
    count = len(distinct[0])
    place = {id(part): number * count for number, part in enumerate(distinct)}
    pool = distinct[0]
    if len(distinct) > 1:
        inputs, targets = ([getattr(part, name) for part in distinct] for name in ("inputs", "targets"))
        pool = Examples(torch.cat(inputs), torch.cat(targets))
    return LaneRows(pool, torch.tensor([place[id(part)] for part in parts]), count)
