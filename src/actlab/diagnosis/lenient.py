"""Let losses accept any number, so that inputs and targets outside their domain become a finding, not an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


@contextmanager
def lenient() -> Iterator[None]:
    """Let distributions accept any parameter within a block, and losses targets of another shape; AL215 reports it."""
    validates = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using a target size")
            yield
    finally:
        Distribution.set_default_validate_args(validates)


def _binary_cross_entropy(*args: Any, **kwargs: Any) -> Tensor:
    return F.binary_cross_entropy(*(each.clamp(0, 1) for each in args[:2]), *args[2:], **kwargs)


def _gaussian_nll_loss(*args: Any, **kwargs: Any) -> Tensor:
    if len(args) > 2 and isinstance(args[2], Tensor):
        args = (*args[:2], args[2].clamp(min=0), *args[3:])
    if isinstance(kwargs.get("var"), Tensor):
        kwargs = {**kwargs, "var": kwargs["var"].clamp(min=0)}
    return F.gaussian_nll_loss(*args, **kwargs)


LENIENT: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.binary_cross_entropy: _binary_cross_entropy,
    F.gaussian_nll_loss: _gaussian_nll_loss,
}
"""What runs instead of a loss that would raise."""


@final
class StandIns(TorchFunctionMode):
    """Run these instead of functions within a block."""

    def __init__(self, stand_ins: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self._stand_ins = stand_ins

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return self._stand_ins.get(func, func)(*args, **(kwargs or {}))
