"""A layer with weights: the variances that the theory knows it by, and the same layer with other weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from actlab.sites.recognize.torch_ops import CONVOLUTIONS
from actlab.sites.trace.trace import Step, Trace
from actlab.theory.evaluate import Floats

_PRODUCTS = frozenset({"matmul", "mm"})
_SETTINGS = ("stride", "padding", "dilation", "groups")
_FIRST_SETTING = 3  # after input, weight and bias


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """One application of a layer.

    Attributes:
        name: the name of its weight.
        inputs, number: what it multiplies, and the number of that value.
        weight: its weight.
        bias: its bias, if it has one.
        sigma_w2: the variance of the weights times the inputs of a unit; of a convolution, only those inside the image.
        sigma_b2: the mean square of the biases.
        norms: by unit, the sum of its squared weights, counted as `sigma_w2` is.
        axis: the axis of the units in its output.
    """

    name: str
    inputs: Tensor
    number: int
    weight: Tensor
    bias: Tensor | None
    sigma_w2: float
    sigma_b2: float
    norms: Floats
    axis: int
    _step: Step = field(repr=False)

    def with_weight(self, weight: Tensor) -> Tensor:
        """Return what the layer computes with another weight."""
        if self._step.function in CONVOLUTIONS:
            found: Tensor = getattr(F, self._step.function)(self.inputs, weight, self.bias, *_settings(self._step))
            return found
        if self._step.function != "linear":
            weight = weight.mT
        return F.linear(self.inputs, weight, self.bias)


def layer_of(trace: Trace, step: Step, inputs: tuple[Tensor, ...]) -> Layer | None:
    """Return the layer that a step applies; None if it is none of one matrix or convolution with parameters.

    Args:
        trace: of the pass.
        step: the step.
        inputs: the tensors that it reads.
    """
    is_weight = [number in trace.of_weights for number in step.inputs]
    tensors = list(inputs)
    if step.function == "addmm" and len(tensors) == 3 and is_weight[0]:
        if any(step.arguments.get(name, 1) != 1 for name in ("alpha", "beta")):
            return None
        tensors, is_weight, numbers = [*tensors[1:], tensors[0]], [*is_weight[1:], True], step.inputs[1:]
    elif step.function in {"linear", *_PRODUCTS, *CONVOLUTIONS} and "transpose" not in step.function:
        numbers = step.inputs
    else:
        return None
    if len(tensors) < 2 or is_weight[0] or not all(is_weight[1:]):
        return None
    x, weight, bias = tensors[0], tensors[1].detach(), tensors[2].detach() if len(tensors) > 2 else None
    is_matrix = step.function not in CONVOLUTIONS
    if (is_matrix and weight.dim() != 2) or weight.numel() < 2:
        return None
    inside = 1.0 if is_matrix else _share_inside(step, x, weight)
    rows = weight.mT if step.function not in {"linear", *CONVOLUTIONS} else weight.flatten(1)
    rows = rows.double().cpu()
    return Layer(
        trace.values[numbers[1]].origin.removeprefix("parameter ") or f"a layer of {step.path or 'the model'}",
        x.detach(),
        numbers[0],
        weight,
        bias,
        float(rows.var(correction=0)) * rows.shape[1] * inside,
        0.0 if bias is None else float(bias.double().square().mean()),
        (rows.square().sum(1) * inside).numpy(),
        -1 if is_matrix else 1,
        step,
    )


def shuffled(weight: Tensor) -> Tensor:
    """Return the weights in another order, always the same."""
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(0)).to(weight.device)
    return weight.flatten()[order].view(weight.shape)


def _settings(step: Step) -> list[Any]:
    defaults = (1, 0, 1, 1)
    return [
        step.arguments.get(name, step.arguments.get(str(_FIRST_SETTING + at), default))
        for at, (name, default) in enumerate(zip(_SETTINGS, defaults, strict=True))
    ]


def _share_inside(step: Step, x: Tensor, weight: Tensor) -> float:
    """Return the share of a convolution's products that read the image and not the padding."""
    kernel = weight.shape[2:]
    ones = torch.ones(1, 1, *x.shape[-len(kernel) :])
    *settings, _ = _settings(step)
    counted = getattr(F, step.function)(ones, torch.ones(1, 1, *kernel), None, *settings)
    return float(counted.mean()) / math.prod(kernel)
