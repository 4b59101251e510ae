"""Run two implementations of one model side by side, so that each part between two layers gets the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.errors import BadInput
from actlab.sites.recognize.torch_ops import LINEAR
from actlab.sites.recognize.traced import traced
from actlab.sites.trace.calls import name_of
from actlab.sites.trace.run import in_mode
from actlab.sites.trace.trace import Step, Trace

PRODUCTS = LINEAR | {"embedding"}
"""Functions that multiply by weights, or mix places; between two of them a model computes place by place."""


@final
@dataclass(frozen=True, eq=False)
class Pass:
    """A pass of a model in evaluation mode.

    Attributes:
        trace: what was computed.
        tensors: by the number of a value, its tensor, as it was when it was read or made.
        products: the products in order.
    """

    trace: Trace
    tensors: Mapping[int, Tensor]
    products: tuple[Product, ...]


@final
@dataclass(frozen=True, eq=False)
class Product:
    """One product of a pass: its function, the place of its step, what it reads and what it gives."""

    function: str
    place: int
    reads: tuple[Tensor, ...]
    gives: Tensor


@final
@dataclass(frozen=True)
class Parting:
    """A product whose inputs differ between the two models, though all products before gave the same numbers.

    Attributes:
        place: the place of its step in the pass of the first model.
        difference: the largest difference of an element.
        scale: the largest magnitude of an element.
    """

    place: int
    difference: float
    scale: float


def passed(model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Pass:
    """Run a model in evaluation mode and keep what it computes.

    Raises:
        BadInput: the model raises, or cannot be looked into.
    """
    tensors: dict[int, Tensor] = {}
    products = _Products([])

    def observe(step: Step, read: tuple[Tensor, ...], made: tuple[Tensor, ...], repeated: object = None) -> None:
        for number, tensor in zip((*step.inputs, *step.outputs), (*read, *made), strict=True):
            tensors.setdefault(number, tensor)
        products.note(step, made)

    trace = _run(model, inputs, kwargs, observe=observe, products=products)
    return Pass(trace, tensors, tuple(products.found))


def partings(first: Pass, other: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Parting, ...]:
    """Return where two models part: each product of the other gives what that of the first model gave.

    So each part between two products computes on the first model's own numbers, and a difference is that of this part.

    Args:
        first: the pass of the first model.
        other: the other model, with the same weights.
        inputs, kwargs: those of the first pass.

    Raises:
        BadInput: the other model raises, or its products are others.
    """
    forced = _Forced(first)
    _run(other, inputs, kwargs, observe=None, products=forced)
    if forced.done != len(first.products):
        raise BadInput(_UNALIKE.format(f"one has {len(first.products)} products with weights, the other {forced.done}"))
    return tuple(forced.found)


_UNALIKE = (
    "the two models must compute the same products with weights in the same order; {}. Name two implementations of one"
    " model."
)


def _run(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], *, observe: Any, products: Mapping[Any, Any]
) -> Trace:
    with in_mode(model, training=False), torch.no_grad():
        return traced(model, inputs, kwargs, observe=observe, stand_ins=products).trace


@final
class _Products(Mapping[Callable[..., Any], Callable[..., Any]]):
    """Stand-ins for all products: each runs as it is and is noted."""

    def __init__(self, found: list[Product]) -> None:
        self.found = found
        self._waiting: list[tuple[str, tuple[Tensor, ...], Tensor]] = []

    def note(self, step: Step, made: tuple[Tensor, ...]) -> None:
        """Note the step of the product that ran last."""
        if self._waiting and made and made[0] is self._waiting[-1][2]:
            function, reads, gives = self._waiting.pop()
            self._waiting.clear()
            self.found.append(Product(function, step.place, reads, gives.detach().clone()))

    def __getitem__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        name = name_of(function)
        if name not in PRODUCTS:
            raise KeyError(name)

        def run(*args: Any, **kwargs: Any) -> Any:
            reads = tuple(each.detach().clone() for each in _floating((*args, *kwargs.values())))
            result = function(*args, **kwargs)
            if isinstance(_first(result), Tensor):
                self._waiting.append((name, reads, _first(result)))
            return result

        return run

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(())

    def __len__(self) -> int:
        return 0


@final
class _Forced(Mapping[Callable[..., Any], Callable[..., Any]]):
    """Stand-ins for all products: each gives what the product of the other pass gave, and its inputs are compared."""

    def __init__(self, first: Pass) -> None:
        self._products = first.products
        self.done = 0
        self.found: list[Parting] = []

    def __getitem__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        name = name_of(function)
        if name not in PRODUCTS:
            raise KeyError(name)

        def run(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            made = _first(result)
            if not isinstance(made, Tensor):
                return result
            at, self.done = self.done, self.done + 1
            if at >= len(self._products):
                return result
            product = self._products[at]
            if name != product.function or made.shape != product.gives.shape:
                ours = f"{product.function} {tuple(product.gives.shape)}"
                raise BadInput(
                    _UNALIKE.format(f"number {at + 1} is {ours} in one and {name} {tuple(made.shape)} in the other")
                )
            self._compare(product, _floating((*args, *kwargs.values())))
            made.detach().copy_(product.gives)
            return result

        return run

    def _compare(self, product: Product, reads: list[Tensor]) -> None:
        for ours, theirs in zip(product.reads, reads, strict=False):
            if ours.shape != theirs.shape or isinstance(theirs, nn.Parameter):
                continue
            difference = largest_difference(ours, theirs.detach())
            if difference > 0:
                self.found.append(Parting(product.place, difference, float(ours.double().abs().max())))
                _equalize(theirs, ours)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(())

    def __len__(self) -> int:
        return 0


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of two elements; infinity where only one is infinite or NaN."""
    if not one.numel():
        return 0.0
    a, b = one.double(), other.double()
    difference = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs())
    return float(difference.nan_to_num(torch.inf).max())


def _equalize(tensor: Tensor, values: Tensor) -> None:
    """Write the values into the tensor for what reads it later, unless its elements share memory."""
    if not any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)):
        tensor.detach().copy_(values)


def _floating(values: tuple[Any, ...]) -> list[Tensor]:
    flat = (tensor for each in values for tensor in (each if isinstance(each, list | tuple) else (each,)))
    return [each for each in flat if isinstance(each, Tensor) and each.is_floating_point()]


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) and result else result
