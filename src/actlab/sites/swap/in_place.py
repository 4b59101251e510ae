"""Write into the input where the replaced module did, so that code that reads the input again finds the result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any, final

from torch import Tensor, nn

from actlab.errors import BadInput


def write_into(target: Tensor, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Apply the function and write its result into the target, which may be one of the inputs.

    Raises:
        BadInput: the result has another shape.
    """
    # backward needs the original
    result = function(*(each.clone() if each is target else each for each in inputs))
    if result.shape != target.shape:
        raise BadInput(
            "swap: what replaces an activation in place must keep the shape of its input,"
            f" {tuple(target.shape)}; got {tuple(result.shape)}."
        )
    return target.copy_(result)


@final
class InPlace:
    """The `forward` of one module instance that writes its result into its first input.

    Attributes:
        module: the module.
        own: the instance's own `forward` before; None if it had only its class's.
    """

    def __init__(self, module: nn.Module, own: Callable[..., Any] | None = None) -> None:
        self.module = module
        self.own = own

    def __call__(self, *inputs: Any) -> Tensor:
        return write_into(inputs[0], self._function, *inputs)

    @property
    def _function(self) -> Callable[..., Any]:
        found: Callable[..., Any] = type(self.module).forward.__get__(self.module) if self.own is None else self.own
        return found

    @property
    def __code__(self) -> CodeType:
        found: CodeType = getattr(self._function, "__func__", self._function).__code__
        return found  # torch.export reads argument names from it

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    def __reduce__(self) -> tuple[Any, ...]:
        return InPlace, (self.module, self.own)


def overwrites(module: nn.Module) -> bool:
    """Return whether the module writes its result into its input."""
    return getattr(module, "inplace", False) is True or is_made_in_place(module)


def is_made_in_place(new: nn.Module) -> bool:
    """Return whether `make_in_place` was applied."""
    return isinstance(new.__dict__.get("forward"), InPlace)


def make_in_place(new: nn.Module) -> None:
    """Let the module write its result into its input, unless it does so already."""
    if not overwrites(new):
        new.__dict__["forward"] = InPlace(new, new.__dict__.get("forward"))


def make_plain(new: nn.Module) -> None:
    """Undo `make_in_place`."""
    made = new.__dict__.get("forward")
    if isinstance(made, InPlace):
        del new.__dict__["forward"]
        if made.own is not None:
            new.__dict__["forward"] = made.own
