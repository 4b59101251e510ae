"""The kernels as PyTorch's raw operators, `torch.ops.actlab.*`: for what looks at operators, such as `opcheck`.

They know no autograd: `actlab.nn` calls the kernels directly, which is cheaper a call and follows forward
mode, as a registered derivative does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast, final

import torch
from torch import Tensor

from actlab.formula.expr import Input
from actlab.kernels.elementwise.kernels import Kernels, kernels_of
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.explanation import single


@final
class RawOperators:
    """The registered operators; made by `raw_operators`.

    Attributes:
        forward: `actlab::pointwise(Tensor[] inputs, str formula, str mode) -> Tensor`.
        backward: `actlab::pointwise_backward(Tensor dy, Tensor[] inputs, str formula, str mode) -> Tensor[]`.
    """

    def __init__(self) -> None:
        self.forward = _registered("actlab::pointwise", _forward, like=lambda inputs, *_: torch.empty_like(inputs[0]))
        self.backward = _registered(
            "actlab::pointwise_backward", _backward, like=lambda _, inputs, *__: [torch.empty_like(x) for x in inputs]
        )


@cache
def raw_operators() -> RawOperators:
    """The operators, registered with PyTorch when first asked for."""
    return RawOperators()


def _registered(name: str, function: Callable[..., Any], *, like: Callable[..., Any]) -> Callable[..., Any]:
    operator = torch.library.custom_op(name, function, mutates_args=())
    operator.register_fake(like)
    return operator


def _forward(inputs: Sequence[Tensor], formula: str, mode: str) -> Tensor:
    return _kernels(formula, mode).forward(inputs)


def _backward(dy: Tensor, inputs: Sequence[Tensor], formula: str, mode: str) -> list[Tensor]:
    pulled = _kernels(formula, mode).pull_back(dy, inputs, [True] * len(inputs))
    return [each for each in pulled if each is not None]


def _kernels(formula: str, mode: str) -> Kernels:
    act = single(formula)
    return kernels_of(act.with_references(), tuple(Input(name) for name in act.inputs), cast(Mode, mode))
