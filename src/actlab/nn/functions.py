"""Activations as functions of tensors."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from actlab.catalog.index import get
from actlab.errors import BadInput, BadParam
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import ParamRef
from actlab.kernels.slope_samples import Density
from actlab.nn.axis_operator import apply_along_axis, axiswise
from actlab.nn.few_bit import FewBit, lean
from actlab.nn.operator import apply, pointwise_of


@final
class Functional:
    """An activation as a function of tensors of any shape; of two that broadcast for a gated unit.

    Parameters have the activation's values unless given: as a number, or as a tensor that broadcasts against the
    input and may need a gradient.

    Attributes:
        activation: the activation.
    """

    def __init__(self, act: Activation) -> None:
        self.activation = act
        self._closed = pointwise_of(act)
        self._open = pointwise_of(act, tuple(param.name for param in act.params))

    def __call__(self, *inputs: Tensor, **params: float | Tensor) -> Tensor:
        if len(inputs) != len(self.activation.inputs):
            act = self.activation
            takes = "one tensor" if len(act.inputs) == 1 else "two tensors"
            raise BadInput(f"{act.name} takes {takes}, {' and '.join(act.inputs)}; got {len(inputs)}.")
        if not params:
            return apply(self._closed, *inputs)
        return apply(self._open, *inputs, *self._given(inputs[0], params))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Functional) and self.activation == other.activation

    def __hash__(self) -> int:
        return hash(self.activation)

    def __repr__(self) -> str:
        return f"functional({self.activation.label!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Functional, (self.activation,)

    def _given(self, like: Tensor, params: dict[str, float | Tensor]) -> list[Tensor]:
        """Every parameter as a tensor, in the operator's order."""
        act = self.activation
        numbers = {name: value for name, value in params.items() if not isinstance(value, Tensor)}
        values: dict[str, float | Tensor] = {param.name: param.value for param in act.bind(**numbers).params}
        for name, value in params.items():
            if name not in values:
                raise BadParam(f"{act.name} has no parameter '{name}'; it has {', '.join(values) or 'none'}.")
            if isinstance(value, Tensor):
                values[name] = value
        given = [values[leaf.name] for leaf in self._open.args if isinstance(leaf, ParamRef)]
        return [value if isinstance(value, Tensor) else like.new_tensor(value) for value in given]


@final
class AxisFunctional:
    """An activation along an axis as a function of a tensor.

    Attributes:
        activation: the activation.
    """

    def __init__(self, act: AxisActivation) -> None:
        self.activation = act
        self._made = axiswise(act)

    def __call__(self, x: Tensor, dim: int = -1) -> Tensor:
        return apply_along_axis(self._made, x, axis=dim)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AxisFunctional) and self.activation == other.activation

    def __hash__(self) -> int:
        return hash(self.activation)

    def __repr__(self) -> str:
        return f"functional({self.activation.name!r})"


def functional(
    formula: str | Activation | AxisActivation,
    *,
    memory: str | None = None,
    bits: int | None = None,
    unbiased: bool = False,
    density: Density | None = None,
    **params: float,
) -> Functional | AxisFunctional | FewBit:
    """The activation as a function of tensors.

    Args:
        formula: a name, a formula, or an activation.
        memory: what is kept for backward: None for the input, "few-bit" for the step of the derivative on which each
            element lies.
        bits, unbiased, density: of few-bit memory, as for `actlab.nn.few_bit.few_bit`.
        params: its parameters; those left out have their own values.

    Returns:
        A function of one tensor, `f(x)`; of two, `f(value, gate)`, for a gated unit; of a tensor and an axis,
        `f(x, dim=-1)`, for one such as softmax. It can be pickled and compared.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: few-bit memory cannot hold the activation, or is asked for wrongly.

    Example:
        >>> swish = functional("swish", beta=1.5)
        >>> swish(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8176])
    """
    act = get(formula, **params)
    few = lean(act, memory=memory, bits=bits, unbiased=unbiased, density=density)
    if few is not None:
        return few
    return AxisFunctional(act) if isinstance(act, AxisActivation) else Functional(act)


def drawn(act: Activation, like: Tensor) -> dict[str, Tensor]:
    """The activation's random parameters, drawn afresh for every element of `like` from PyTorch's generator."""
    values = {}
    for name, param in act.samplers.items():
        assert param.sampler is not None
        values[name] = torch.empty_like(like).uniform_(param.sampler.low, param.sampler.high)
    return values
