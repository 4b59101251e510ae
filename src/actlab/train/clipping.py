"""Clip gradients to a norm, of one model or of many lanes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

TINY = 1e-6
"""What PyTorch adds to a norm before it divides by it."""


def clipped(gradients: Mapping[str, Tensor | None], *, norm: float) -> dict[str, Tensor | None]:
    """Return stacked gradients, those of every lane scaled down to a norm if theirs is larger.

    The norm of a lane is that of all its gradients together, as `torch.nn.utils.clip_grad_norm_` takes it.

    Args:
        gradients: by parameter, of shape (lanes, *its own), or None.
        norm: the largest norm.

    Example:
        >>> found = clipped({"w": torch.tensor([[3.0, 4.0], [0.3, 0.4]]), "b": None}, norm=1.0)["w"]
        >>> [round(float(each.norm()), 3) for each in found]
        [1.0, 0.5]
    """
    own = {name: each for name, each in gradients.items() if each is not None}
    if not own:
        return dict(gradients)
    # One after another: a sum over a stack of them would round by the number of lanes.
    norms = reduce(torch.add, (each.flatten(1).square().sum(1) for each in own.values())).sqrt()
    scale = (norm / (norms + TINY)).clamp(max=1.0)
    small = {name: each * scale.view(-1, *[1] * (each.dim() - 1)) for name, each in own.items()}
    return {name: small.get(name) for name in gradients}


def clip_gradients(parameters: Iterable[nn.Parameter], *, norm: float) -> None:
    """Scale the gradients of one model down to a norm, if theirs is larger."""
    own = {str(number): each.grad for number, each in enumerate(parameters)}
    found = clipped({name: None if each is None else each.unsqueeze(0) for name, each in own.items()}, norm=norm)
    for name, gradient in own.items():
        small = found[name]
        if gradient is not None and small is not None:
            gradient.copy_(small[0])
