"""An activation whose forward pass is that of a rectifier, and whose backward pass is that of a smooth function."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

SHIFT = 1.67
"""Of the paper's bounded SiLU: its derivative is near 1 for positive inputs and does not vanish just below 0."""


class _Sugar(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        share = torch.sigmoid(x)
        slope: Tensor = gradients[0] * share * (1 + (x + SHIFT) * (1 - share))
        return slope


@final
class SurrogateReLU(nn.Module):
    """Return max(x, 0); on the way back the gradient is that of (x + 1.67)·sigmoid(x) − 0.835.

    So a unit that is inactive on all examples still learns.

    Source:
        Horuz et al. 2025, arXiv:2505.22074.

    Example:
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> y = SurrogateReLU()(x)
        >>> y.sum().backward()
        >>> y.tolist(), bool((x.grad > 0).all())
        ([0.0, 2.0], True)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return max(x, 0)."""
        result: Tensor = _Sugar.apply(x)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
        return result
