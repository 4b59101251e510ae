"""Compare the backward function of the user's `torch.autograd.Function` with the derivative of its forward function."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal, final

import torch
from torch import Tensor

from actlab.nn.user_lines import owner_of
from actlab.rules.backward import OwnDerivative

_FUNCTION = os.path.join(str(Path(torch.__file__).parent), "autograd", "function.py")
_MOST = 4096
"""At most so many inputs are compared."""
_FEWEST = 8
_CLEARLY = 0.05
"""Derivatives that differ by less than this share are taken for the same: a rounding, or an approximation."""
_SHARE = 0.2
"""At so many of the inputs they must differ: a derivative may be clipped at rare inputs."""


@final
class OwnFunctions:
    """The calls of the user's autograd functions in a forward pass, the first of each class."""

    def __init__(self) -> None:
        self._calls: dict[type, tuple[int, tuple[Any, ...]]] = {}

    def note(self, place: int, *, depth: int) -> None:
        """Note the autograd function, if there is one, that the code `depth` frames above is called from."""
        frame: FrameType | None = sys._getframe(depth)
        while frame is not None:
            if frame.f_code.co_filename == _FUNCTION and frame.f_code.co_name == "apply":
                kind, args = frame.f_locals.get("cls"), frame.f_locals.get("args", ())
                if isinstance(kind, type) and kind not in self._calls and _is_users(kind):
                    self._calls[kind] = (place, args)
                return
            frame = frame.f_back

    def compared(self) -> tuple[OwnDerivative, ...]:
        """Return those whose derivative could be compared."""
        found = (_compared(kind, place, args) for kind, (place, args) in self._calls.items())
        return tuple(each for each in found if each is not None)


def _is_users(kind: Any) -> bool:
    code = getattr(inspect.unwrap(kind.forward), "__code__", None)
    return code is not None and owner_of(code.co_filename) == "user"


def _compared(kind: Any, place: int, args: Sequence[Any]) -> OwnDerivative | None:
    """Compare both at the inputs of the call, in float64; return None if it is not element-wise or cannot be run."""
    learned = [
        at for at, each in enumerate(args)
        if isinstance(each, Tensor) and each.is_floating_point() and each.requires_grad and each.numel() >= _FEWEST
    ]  # fmt: skip
    if len(learned) != 1:
        return None
    x = _few(args[learned[0]].detach()).double()
    others = [each.detach().double() if _is_number(each) else each for each in args]

    def run(z: Tensor) -> Tensor:
        result: Tensor = kind.apply(*others[: learned[0]], z, *others[learned[0] + 1 :])
        return result

    try:
        return _difference(kind.__name__, place, run, x)
    except Exception:  # the user's code, which may refuse float64 or another shape
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _few(x: Tensor) -> Tensor:
    """Return the first rows, with at most so many numbers."""
    return x if x.numel() <= _MOST else x[: max(1, _MOST * len(x) // x.numel())]


def _difference(name: str, place: int, run: Any, x: Tensor) -> OwnDerivative | None:
    with torch.no_grad():
        y = run(x)
        every_other = (torch.arange(x.numel(), device=x.device) % 2 == 0).view(x.shape)
        moved = run(x + 1e-3 * every_other)
        is_element_wise = y.shape == x.shape and torch.equal(moved[~every_other], y[~every_other])
        if not is_element_wise or not torch.equal(run(x), y):
            return None
        wide, narrow = _quotient(run, x, 1e-5), _quotient(run, x, 5e-6)
    returned = _returned(run, x)
    smooth = (wide - narrow).abs() <= 1e-3 * wide.abs().clamp(min=1e-3)
    usable = smooth & (narrow.abs() > 1e-3) & (returned.abs() > 1e-3) & returned.isfinite()
    if int(usable.sum()) < _FEWEST or float(narrow[usable].max() - narrow[usable].min()) < 1e-4:
        return None  # of a straight line, the gradient is scaled or reversed on purpose
    twice = _returned(run, x, 2.0)
    if torch.equal(twice, returned):
        return _differing(name, place, x[usable], twice[usable], 2 * narrow[usable], "incoming")
    found = _differing(name, place, x[usable], returned[usable], narrow[usable], "first")
    return found if found is not None else _second(name, place, run, x)


def _differing(
    name: str, place: int, at: Tensor, returned: Tensor, true: Tensor, fault: Literal["first", "incoming", "second"]
) -> OwnDerivative | None:
    """Return where the two differ; None if they do at few inputs."""
    error = (returned - true).abs() / torch.maximum(returned.abs(), true.abs())
    count = int((error > _CLEARLY).sum())
    if count < max(_FEWEST, _SHARE * error.numel()):
        return None
    worst = int(error.argmax())
    return OwnDerivative(name, place, count, error.numel(), float(at[worst]), float(returned[worst]),
                         float(true[worst]), fault)  # fmt: skip


def _second(name: str, place: int, run: Any, x: Tensor) -> OwnDerivative | None:
    """Compare the derivative of backward with the difference quotient of what it returns."""
    try:
        second = _derivative_of_backward(run, x)
    except RuntimeError:  # it says that it cannot be differentiated twice
        return None
    wide, narrow = (_quotient(lambda z: _returned(run, z), x, width) for width in (1e-4, 5e-5))
    usable = ((wide - narrow).abs() <= 1e-3 * wide.abs().clamp(min=1e-3)) & (narrow.abs() > 1e-2) & second.isfinite()
    if int(usable.sum()) < _FEWEST:
        return None
    return _differing(name, place, x[usable], second[usable], narrow[usable], "second")


def _derivative_of_backward(run: Any, x: Tensor) -> Tensor:
    with torch.enable_grad():
        z = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(run(z).sum(), z, create_graph=True)
        if not first.requires_grad:
            return torch.zeros_like(x)
        (second,) = torch.autograd.grad(first.sum(), z, allow_unused=True)
    return torch.zeros_like(x) if second is None else second


def _returned(run: Any, x: Tensor, gradient: float = 1.0) -> Tensor:
    with torch.enable_grad():
        z = x.detach().clone().requires_grad_()
        y = run(z)
        (returned,) = torch.autograd.grad(y, z, torch.full_like(y, gradient))
    return returned


def _quotient(run: Any, x: Tensor, width: float) -> Tensor:
    step = width * x.abs().clamp(min=1)
    result: Tensor = (run(x + step) - run(x - step)) / (2 * step)
    return result
