"""How far an optimiser's step moves each parameter, relative to its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from actlab.kernels.layout import is_dense

# At most so many steps are kept; then every second one of them, and of those to come.
MOST_ROWS = 512
# Of a parameter at most so many elements are looked at, evenly spaced.
SAMPLED = 1024


@final
class Updates:
    """Follows the steps of any optimiser that moves the model's parameters.

    Attributes:
        rows: at measured steps, thinned evenly where there would be too many, the number and a ratio for each parameter
            in `names`; NaN where it did not move or was all zero before.
        names: the parameters' dotted names.
    """

    def __init__(self, model: nn.Module) -> None:
        named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        self.names = tuple(name for name, _ in named)
        self.rows: list[tuple[int, list[int], Tensor]] = []
        self._place = {id(each): at for at, (_, each) in enumerate(named)}
        self._parameters = [each for _, each in named]
        self._every, self._seen, self._kept, self._last = 1, 0, 0, -1
        self._before: tuple[list[int], list[Tensor], list[Tensor]] | None = None

    def concerns(self, optimiser: Optimizer) -> bool:
        """Whether it moves a parameter of the model."""
        return any(id(each) in self._place for group in optimiser.param_groups for each in group["params"])

    def begin(self, optimiser: Optimizer) -> None:
        """Its step begins: keep what the parameters are."""
        params = [each for group in optimiser.param_groups for each in group["params"]]
        places = [self._place[id(each)] for each in params if id(each) in self._place and each.grad is not None]
        views = [_sampled(self._parameters[at]) for at in places]
        if views:
            self._before = (places, views, [view.clone() for view in views])

    def end(self, step: int) -> None:
        """It is over: compare."""
        if self._before is None:
            return
        places, views, before = self._before
        self._before = None
        with torch.no_grad():
            sizes = torch._foreach_norm(before)
            moves = torch._foreach_norm(torch._foreach_sub(views, before))
            ratios = torch.stack([move.float() for move in moves]) / torch.stack([size.float() for size in sizes])
        self._keep(step, places, ratios)

    def _keep(self, step: int, places: list[int], ratios: Tensor) -> None:
        """Thinned by steps, since several optimisers may have a row for each."""
        if step != self._last:
            self._last = step
            self._seen += 1
            self._kept += self._is_kept()
        if self._is_kept():
            self.rows.append((step, places, ratios))
        if self._kept > MOST_ROWS:
            kept = set(list(dict.fromkeys(row[0] for row in self.rows))[::2])
            self.rows = [row for row in self.rows if row[0] in kept]
            self._kept, self._every = len(kept), self._every * 2

    def _is_kept(self) -> bool:
        return (self._seen - 1) % self._every == 0

    def drop(self) -> None:
        """Forget a step that was not finished."""
        self._before = None


def _sampled(parameter: Tensor) -> Tensor:
    """A view of evenly spaced elements; of memory with gaps, of all."""
    value = parameter.detach()
    if not is_dense(value):
        return value
    spacing = max(1, -(-value.numel() // SAMPLED))
    return value.as_strided((-(-value.numel() // spacing),), (spacing,))


def listen_to_optimisers(before: Callable[[Optimizer], None], after: Callable[[Optimizer], None]) -> list[Any]:
    """Be told of every optimiser's step; what is given back can be removed."""
    return [
        register_optimizer_step_pre_hook(lambda optimiser, *_: before(optimiser)),
        register_optimizer_step_post_hook(lambda optimiser, *_: after(optimiser)),
    ]
