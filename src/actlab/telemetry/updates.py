"""Measure the size of an optimizer's update relative to the parameter."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from actlab.kernels.elementwise.layout import is_dense
from actlab.sites.trace.readable import is_readable

# At most so many steps are stored; beyond that, every second one is dropped.
MOST_ROWS = 512
# At most so many elements of a parameter are read, evenly spaced.
SAMPLED = 1024
# So many steps of an optimizer, or fewer if they hold more numbers than these, wait to be compared together.
_MOST_STEPS = 16
_MOST_NUMBERS = 2**18


@final
class _Group:
    """The parameters of one optimizer on one device, with their values before and after the steps not compared yet.

    Attributes:
        places, parameters: their indices, and the parameters.
        steps: the numbers of the steps.
    """

    def __init__(self, places: list[int], parameters: list[Tensor]) -> None:
        self.places, self.parameters = places, parameters
        self.steps: list[int] = []
        self._views = [_sampled(each) for each in parameters]
        self._addresses = [each.data_ptr() for each in parameters]
        self._sizes = [each.numel() for each in self._views]
        dtype = reduce(torch.promote_types, (each.dtype for each in self._views), torch.float32)
        count = sum(self._sizes)
        steps = min(_MOST_STEPS, max(1, _MOST_NUMBERS // max(1, count)))
        self._kept = torch.empty(2, steps, count, dtype=dtype, device=self._views[0].device)

    @property
    def is_full(self) -> bool:
        return len(self.steps) == self._kept.shape[1]

    @property
    def is_in_place(self) -> bool:
        """Whether the parameters still have the same memory."""
        return self._addresses == [each.data_ptr() for each in self.parameters]

    def note(self, *, after: bool) -> None:
        """Store the parameters before the next step, or after it."""
        torch.cat([each.flatten() for each in self._views], out=self._kept[int(after), len(self.steps)])

    def compared(self) -> list[tuple[int, list[int], Tensor]]:
        """Return a row of ratios for each step, and forget the steps."""
        before, after = self._kept[:, : len(self.steps)]
        sizes, moves = (
            torch.stack([torch.linalg.vector_norm(part, dim=1) for part in each.split(self._sizes, dim=1)], dim=1)
            for each in (before, after.sub_(before))
        )
        rows = [(step, self.places, row) for step, row in zip(self.steps, moves / sizes, strict=True)]
        self.steps.clear()
        return rows


@final
class Updates:
    """Measures the steps of every optimizer of the model's parameters.

    Attributes:
        names: the dotted names of the parameters.
        came: whether any of them had a gradient in the last measured step.
    """

    def __init__(self, model: nn.Module) -> None:
        named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        self.names = tuple(name for name, _ in named)
        self._rows: list[tuple[int, list[int], Tensor]] = []
        self._own = {id(each) for _, each in named}
        self._place = {id(each): at for at, (_, each) in enumerate(named) if is_readable(each)}
        self._parameters = [each for _, each in named]
        self._every, self._seen, self._kept, self._last = 1, 0, 0, -1
        self._groups: dict[tuple[int, ...], list[_Group]] = {}
        self._begun: list[_Group] = []
        self.came = False

    @property
    def rows(self) -> list[tuple[int, list[int], Tensor]]:
        """For each measured step, at most 512: its number, the indices of the parameters, and their ratios.

        The ratio of a parameter that was all zero is infinite, or NaN if it did not change.
        """
        self._compare()
        return self._rows

    def concerns(self, optimizer: Optimizer) -> bool:
        """Return whether the optimizer holds a parameter of the model."""
        return any(id(each) in self._own for group in optimizer.param_groups for each in group["params"])

    def begin(self, optimizer: Optimizer) -> None:
        """Store the parameters before a step."""
        params = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        places = [self._place[id(each)] for each in params if id(each) in self._place]
        self.came = bool(places)
        self._begun = self._groups_of(tuple(places))
        for group in self._begun:
            group.note(after=False)

    def end(self, step: int) -> None:
        """Store the parameters after the step."""
        for group in self._begun:
            group.note(after=True)
            group.steps.append(step)
        if any(group.is_full for group in self._begun):
            self._compare()
        self._begun = []

    def _groups_of(self, places: tuple[int, ...]) -> list[_Group]:
        """Return the parameters grouped by device; cached while their memory stays the same."""
        found = self._groups.get(places)
        if found is not None and all(group.is_in_place for group in found):
            return found
        self._compare()
        self._groups = {key: each for key, each in self._groups.items() if set(key).isdisjoint(places)}
        by_device: dict[torch.device, list[int]] = {}
        for at in places:
            by_device.setdefault(self._parameters[at].device, []).append(at)
        groups = [_Group(each, [self._parameters[at] for at in each]) for each in by_device.values()]
        return self._groups.setdefault(places, groups)

    def _compare(self) -> None:
        """Compare the parameters before and after every ended step, in order."""
        groups = [group for each in self._groups.values() for group in each if group.steps]
        for row in sorted((row for group in groups for row in group.compared()), key=lambda row: row[0]):
            self._keep(*row)

    def _keep(self, step: int, places: list[int], ratios: Tensor) -> None:
        """Store a row, thinned by steps, since several optimizers may have a row for each."""
        if step != self._last:
            self._last = step
            self._seen += 1
            self._kept += self._is_kept()
        if self._is_kept():
            self._rows.append((step, places, ratios))
        if self._kept > MOST_ROWS:
            kept = set(list(dict.fromkeys(row[0] for row in self._rows))[::2])
            self._rows = [row for row in self._rows if row[0] in kept]
            self._kept, self._every = len(kept), self._every * 2

    def _is_kept(self) -> bool:
        return (self._seen - 1) % self._every == 0

    def broken(self) -> tuple[str, ...]:
        """Return the names of the parameters that hold NaN or infinity now."""
        named = zip(self.names, self._parameters, strict=True)
        return tuple(name for name, each in named if is_readable(each) and not bool(each.isfinite().all()))

    def drop(self) -> None:
        """Drop an unfinished step, and release the parameters."""
        self._begun = []
        self._compare()
        self._groups.clear()


def _sampled(parameter: Tensor) -> Tensor:
    """Return a view of evenly spaced elements, or of all if the memory has gaps."""
    value = parameter.detach()
    if not is_dense(value):
        return value
    spacing = max(1, -(-value.numel() // SAMPLED))
    return value.as_strided((-(-value.numel() // spacing),), (spacing,))


def listen_to_optimizers(before: Callable[[Optimizer], None], after: Callable[[Optimizer], None]) -> list[Any]:
    """Register hooks on the steps of all optimizers; return their handles."""
    return [
        register_optimizer_step_pre_hook(lambda optimizer, *_: before(optimizer)),
        register_optimizer_step_post_hook(lambda optimizer, *_: after(optimizer)),
    ]
