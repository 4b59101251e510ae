"""What a certificate is about: a forward pass, and a backward pass for an incoming gradient of 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.measure.twin import twin_of
from actlab.nn.functions import functional
from actlab.nn.operator import pointwise_of

Forward = Callable[..., Tensor]
Backward = Callable[..., tuple[Tensor, ...]]


@final
@dataclass(frozen=True)
class Contender:
    """A program of an activation, in a form that can be measured.

    Attributes:
        name: what it is.
        forward: the values of tensors of one shape and dtype, one tensor an argument.
        backward: the derivatives by each argument, likewise.
    """

    name: str
    forward: Forward
    backward: Backward


def differentiated(name: str, function: Forward) -> Contender:
    """A function that PyTorch can differentiate."""

    def backward(*tensors: Tensor) -> tuple[Tensor, ...]:
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        with torch.enable_grad():
            y = function(*leaves)
        if not y.requires_grad:
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(y, leaves, torch.ones_like(y), materialize_grads=True)

    def forward(*tensors: Tensor) -> Tensor:
        with torch.no_grad():
            return function(*tensors)

    return Contender(name, forward, backward)


def ours(act: Activation, *, mode: str) -> Contender:
    """What `actlab.functional` gives."""
    return differentiated("actlab", _functional(act, mode=mode))


def ours_of_params(act: Activation, *, mode: str) -> Contender:
    """The same as a function of the inputs and of every parameter, each a tensor of the inputs' shape."""
    names = [param.name for param in act.params]
    function = _functional(act, mode=mode)

    def of_all(*tensors: Tensor) -> Tensor:
        given = dict(zip(names, tensors[len(act.inputs) :], strict=True))
        result: Tensor = function(*tensors[: len(act.inputs)], **given)
        return result

    return differentiated("actlab", of_all)


def _functional(act: Activation, *, mode: str) -> Callable[..., Tensor]:
    return functional(act) if mode == "accurate" else functional(act, mode=mode)  # type: ignore[arg-type]  # a later name


def composite(act: Activation) -> Contender:
    """The formula as PyTorch operations one after another: what runs where kernels cannot."""
    made = pointwise_of(act)

    def in_single(function: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        dtype = tensors[0].dtype
        wide = [tensor.float() if dtype.itemsize == 2 else tensor for tensor in tensors]
        results = function(*wide)
        every = results if isinstance(results, tuple) else (results,)
        return tuple(each.expand(tensors[0].shape).to(dtype) for each in every)

    return Contender(
        "composite",
        lambda *tensors: in_single(made.value, *tensors)[0],
        lambda *tensors: in_single(made.slopes, *tensors),
    )


def theirs(act: Activation) -> Contender:
    """PyTorch's own function of the same name, with PyTorch's own derivative.

    Raises:
        BadInput: PyTorch has none.
    """
    if twin_of(act) is None or not str(act.twin).startswith("torch."):
        raise BadInput(f"PyTorch has no {act.label} of its own to compare with; leave `--against torch` out.")

    def twin(*tensors: Tensor) -> Tensor:
        function = twin_of(act, dtype=tensors[0].dtype)
        assert function is not None
        if len(tensors) == 1:
            return function(*tensors)
        return function(torch.stack(tensors, dim=-1), dim=-1).squeeze(-1)

    return differentiated("torch", twin)
