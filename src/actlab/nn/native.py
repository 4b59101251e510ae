"""PyTorch's own operators, for results that must match PyTorch bit for bit."""

from __future__ import annotations

from functools import partial
from typing import Any, final

from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.kernels.elementwise.native_reference import native_of
from actlab.kernels.explanation import Explanation
from actlab.kernels.runtime.threads import threads

MATCHES = ("torch",)


@final
class Matched:
    """An activation computed by PyTorch's operator, with its rounding and its lost tails.

    Attributes:
        activation: the activation.
    """

    def __init__(self, act: Activation | AxisActivation) -> None:
        self.activation = act
        # a trainable parameter is a tensor of the input's dtype: nn.PReLU has it
        operator = None if len(act.inputs) > 1 or any(param.trainable for param in act.params) else native_of(act)
        if operator is None:
            raise BadInput(
                f"{act.label}: match='torch' needs an operator of PyTorch that computes the same, and there is none. "
                "Use match=None."
            )
        # the reference's threshold keeps the tail that PyTorch's own default cuts off
        dropped = "threshold" if act.name == "softplus" else ""
        kept = {name: value for name, value in operator.keywords.items() if name != dropped}
        self._operator = partial(operator.func, **kept)

    def __call__(self, x: Tensor, dim: int | None = None) -> Tensor:
        if isinstance(self.activation, AxisActivation):
            return self._operator(x, dim=-1 if dim is None else dim)
        return self._operator(x)

    def explained(self, x: Tensor) -> Explanation:
        """Name PyTorch's own operator, whatever the tensor."""
        return Explanation("operator", "", "", threads(), "PyTorch", "match='torch' asks for PyTorch's own numbers.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matched) and self.activation == other.activation

    def __hash__(self) -> int:
        return hash(("torch", self.activation))

    def __repr__(self) -> str:
        return f"functional({self.activation.label!r}, match='torch')"

    def __reduce__(self) -> tuple[Any, ...]:
        return Matched, (self.activation,)


def matched(act: Activation | AxisActivation, *, match: str | None, mode: str, memory: str | None) -> Matched | None:
    """Return PyTorch's own operator if `match` asks for it.

    Raises:
        BadInput: PyTorch has no such operator, or an option of our kernels was set too.
    """
    if match is None:
        return None
    if match not in MATCHES:
        raise BadInput(f"match must be None, or 'torch' for PyTorch's own numbers; got {match!r}.")
    if memory is not None or mode != "accurate":
        raise BadInput("match='torch' runs PyTorch's operator, which takes neither mode='fast' nor memory='few-bit'.")
    return Matched(act)
