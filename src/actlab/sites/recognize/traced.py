"""Record one forward pass of a model, and recognize the activations in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from actlab.sites.recognize.formula_follower import FormulaFollower
from actlab.sites.recognize.sites import with_sites
from actlab.sites.trace.preserve_state import uncollected
from actlab.sites.trace.recorder import Observer
from actlab.sites.trace.run import Loss, Recorded, recorded, unwrapped


def traced(
    model: nn.Module,
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    loss: Loss | None = None,
    targets: Any = None,
    observe: Observer | None = None,
    settle: Callable[[], None] | None = None,
    stand_ins: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
    then: Callable[[Tensor], None] | None = None,
    may_raise: bool = False,
) -> Recorded:
    """Record one forward pass of the model, its trace with the sites.

    Args:
        model: in the mode to be recorded; the wrappers of `torch.compile` and DDP are taken off.
        inputs, kwargs, loss, targets, observe, settle, stand_ins, then, may_raise: as for `recorded`.

    Raises:
        BadInput: the model is wrapped in a way that cannot be looked through, or it or the loss raises.
    """
    model, follower = unwrapped(model), FormulaFollower()
    with uncollected():
        found = recorded(model, inputs, kwargs, follower=follower, loss=loss, targets=targets, observe=observe,
                         settle=settle, stand_ins=stand_ins, then=then, may_raise=may_raise)  # fmt: skip
        return replace(found, trace=with_sites(found.trace, follower, model))
