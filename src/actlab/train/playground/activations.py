"""The activations of a playground: PyTorch's modules where they are exact, otherwise formulas in its operators.

They are those of the exported program, so that it repeats the training to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from actlab.catalog.torch_ops import TORCH_OPS
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input, ParamRef, expr
from actlab.lower.pytorch_source import differentiable_function
from actlab.lower.standalone import learned_params
from actlab.lower.straight_line import Leaf, Program

_OPS = {op.activation: op for op in TORCH_OPS if op.module}
# PyTorch's softplus cuts its tail off.
_INEXACT = frozenset({"softplus"})


@final
class Formula(nn.Module):
    """An activation as its formula in PyTorch's operators; it learns the parameters that the activation declares."""

    def __init__(self, act: Activation) -> None:
        super().__init__()
        self._function = _program(act).function
        for param in learned_params(act):
            self.register_parameter(param.name, nn.Parameter(1.0 * torch.as_tensor(param.value)))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the formula to each element."""
        return cast(Tensor, self._function(x, *self.parameters()))


def module_of(act: Activation) -> nn.Module:
    """Return the activation as a module in double precision.

    Raises:
        CannotLower: PyTorch cannot spell the formula.
    """
    own = own_module(act)
    return Formula(act).double() if own is None else getattr(nn, own[0])(**own[1])


def own_module(act: Activation) -> tuple[str, Mapping[str, Any]] | None:
    """Return the name and the arguments of PyTorch's module if it computes the same in every digit that counts.

    Example:
        >>> from actlab.catalog.index import get
        >>> own_module(get("elu(alpha=0.5)"))
        ('ELU', {'alpha': 0.5})
    """
    op = _OPS.get(act.name)
    if op is None or act.name in _INEXACT or any(p.trainable or p.name not in op.arguments for p in act.params):
        return None
    return op.module, {**{param.name: param.value for param in act.params}, **op.only_with}


def program_named(act: Activation, name: str) -> Program:
    """Return the formula as a function of PyTorch's operators whose gradient autograd finds.

    Raises:
        CannotLower: PyTorch cannot spell the formula.
    """
    learned = learned_params(act)
    weights = [ParamRef(param.name) for param in learned]
    args: tuple[Leaf, ...] = (Input(act.inputs[0]), *weights)
    start: dict[Expr, Expr] = {ParamRef(param.name): expr(param.exact) for param in learned}
    formula = act.with_references(*(param.name for param in learned))
    return differentiable_function(formula, args, start, name, act.label)


@lru_cache(maxsize=256)
def _program(act: Activation) -> Program:
    return program_named(act, "activation")
