"""Activations as functions of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, final, get_args

import torch
from torch import Tensor

from actlab.catalog.index import get
from actlab.errors import BadInput, BadParam
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import ParamRef
from actlab.kernels.elementwise.native_operator import OwnOperator, ValuesByOperator, own_operator
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.explanation import Explanation, explain
from actlab.kernels.fewbit.derivative_samples import Density
from actlab.nn.axis_operator import apply_along_axis, axiswise, explained_along_axis
from actlab.nn.dispatch import is_simple
from actlab.nn.few_bit import FewBitFunction, few_bit, wants_few_bits
from actlab.nn.native import Matched, matched
from actlab.nn.operator import HALF, apply, apply_with_values, pointwise_of
from actlab.nn.out_argument import write
from actlab.nn.sign_bits import OVER_OPERATOR, in_bits, is_curved
from actlab.nn.torch_function import is_followed, shown

_is_compiling = torch.compiler.is_compiling
_modes = torch._C._is_torch_function_mode_enabled
_transforms = torch._C._are_functorch_transforms_active


@final
class Functional:
    """An activation as a function of tensors of any shape; of two that broadcast for a gated unit.

    Parameters have the activation's values unless passed: as a number, or as a tensor that broadcasts against the
    input and may need a gradient.

    Attributes:
        activation: the activation.
        mode: the error bound of its kernels, "accurate" or "fast".
    """

    def __init__(self, act: Activation, mode: Mode = "accurate") -> None:
        self.activation = act
        self.mode = mode
        self._arity = len(act.inputs)
        self._closed = pointwise_of(act, mode=mode)
        # saved bits cannot replace the kernel of such a formula
        self._is_curved = is_curved(act)
        self._open = pointwise_of(act, tuple(param.name for param in act.params), mode=mode)

    def __call__(self, *inputs: Tensor, out: Tensor | None = None, **params: float | Tensor) -> Tensor:
        """Apply the activation to the inputs.

        Args:
            inputs: floating-point tensors.
            out: the tensor to write the result to: another one of the same shape and dtype, or an input itself.
                Autograd follows only piecewise linear activations in place.
            params: parameters, each a number, taken in the input's precision (float32 for one of 16 bits), or a tensor.
        """
        # the commonest call, with as few checks as there can be: nobody follows a plain tensor outside of modes
        if (
            len(inputs) == 1 == self._arity
            and out is None
            and not params
            and type(inputs[0]) is Tensor
            and not _modes()
        ):
            return self.of_one(inputs[0])
        if is_followed(inputs[0] if inputs else None):
            return shown(Functional.__call__, self, *inputs, out=out, **params)
        if len(inputs) != self._arity:
            act = self.activation
            takes = "one tensor" if len(act.inputs) == 1 else "two tensors"
            raise BadInput(f"{act.name} takes {takes}, {' and '.join(act.inputs)}; got {len(inputs)}.")
        if not params and out is None:
            return self.of_one(inputs[0]) if self._arity == 1 else apply(self._closed, *inputs)
        if out is not None:
            bound, given = self.activation.bind(**_numbers(params)), self._given(inputs[0], params) if params else ()
            return write(bound, self._open if params else self._closed, (*inputs, *given), out)
        return apply(self._open, *inputs, *self._given(inputs[0], params))

    def of_one(self, x: Tensor) -> Tensor:
        """Apply the activation to its only input; the caller knows that no mode follows the call."""
        if _is_compiling():
            return apply(self._closed, x)
        own = self._own
        # the commonest tensors with as few checks as there can be
        if (
            own is not None
            and type(x) is Tensor
            and x.dtype in (own.whole if x.requires_grad else own.computes)
            and x.is_cpu
            and not _transforms()
            and (not x.requires_grad or x.numel() < OVER_OPERATOR)
        ):
            return own.function(x)
        lean = None if self._is_curved else in_bits(self.activation, self.mode, x)
        if lean is not None:
            return lean(x)
        if own is None or not isinstance(x, Tensor) or not (own.is_exact or is_simple(x)):
            return apply(self._closed, x)
        if own.takes(x):
            return own.function(x)
        return apply_with_values(self._values, self._closed, x) if x.dtype in own.forward else apply(self._closed, x)

    def explained(self, x: Tensor) -> Explanation:
        """Say which implementation runs for tensors like this one, its gradient as it is asked for now."""
        lean = in_bits(self.activation, self.mode, x)
        return explain(self.activation, x, mode=self.mode) if lean is None else lean.explained(x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Functional) and (self.activation, self.mode) == (other.activation, other.mode)

    def __hash__(self) -> int:
        return hash((self.activation, self.mode))

    def __repr__(self) -> str:
        mode = "" if self.mode == "accurate" else f", mode={self.mode!r}"
        return f"functional({self.activation.label!r}{mode})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Functional, (self.activation, self.mode)

    @cached_property
    def _own(self) -> OwnOperator | None:
        return own_operator(self.activation, self.mode)

    @cached_property
    def _values(self) -> ValuesByOperator:
        assert self._own is not None
        return ValuesByOperator(self._closed.kernels, self._own.function)

    def _given(self, like: Tensor, params: dict[str, float | Tensor]) -> list[Tensor]:
        """Make every parameter a tensor, in the operator's order; a number has the precision of the computation."""
        act = self.activation
        dtype = torch.float32 if like.dtype in HALF else like.dtype
        numbers = {name: value for name, value in params.items() if not isinstance(value, Tensor)}
        values: dict[str, float | Tensor] = {param.name: param.value for param in act.bind(**numbers).params}
        for name, value in params.items():
            if name not in values:
                raise BadParam(f"{act.name} has no parameter '{name}'; it has {', '.join(values) or 'none'}.")
            if isinstance(value, Tensor):
                values[name] = value
        given = [values[leaf.name] for leaf in self._open.args if isinstance(leaf, ParamRef)]
        return [value if isinstance(value, Tensor) else like.new_tensor(value, dtype=dtype) for value in given]


def _numbers(params: Mapping[str, float | Tensor]) -> dict[str, float]:
    tensors = [name for name, value in params.items() if isinstance(value, Tensor)]
    if tensors:
        raise BadInput(f"out= takes parameters as numbers only; {tensors[0]} is a tensor.")
    return {name: value for name, value in params.items() if not isinstance(value, Tensor)}


@final
class AxisFunctional:
    """An activation along an axis as a function of a tensor.

    Attributes:
        activation: the activation.
        mode: "accurate", or "fast" for PyTorch's own operator where it was measured faster.
    """

    def __init__(self, act: AxisActivation, mode: Mode = "accurate") -> None:
        self.activation = act
        self.mode = mode
        self._made = axiswise(act)

    def __call__(self, x: Tensor, dim: int = -1) -> Tensor:
        plain = type(x) is Tensor and not _modes()  # nobody follows it
        if not plain and is_followed(x):
            return shown(AxisFunctional.__call__, self, x, dim=dim)
        return apply_along_axis(self._made, x, axis=dim, mode=self.mode)

    def explained(self, x: Tensor) -> Explanation:
        """Say which implementation runs for a tensor like this one."""
        return explained_along_axis(self._made, x, self.mode)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AxisFunctional) and (self.activation, self.mode) == (other.activation, other.mode)

    def __hash__(self) -> int:
        return hash((self.activation, self.mode))

    def __repr__(self) -> str:
        mode = "" if self.mode == "accurate" else f", mode={self.mode!r}"
        return f"functional({self.activation.name!r}{mode})"


Made = Functional | AxisFunctional | FewBitFunction | Matched


def functional(
    formula: str | Activation | AxisActivation,
    *,
    mode: Mode = "accurate",
    match: str | None = None,
    memory: str | None = None,
    bits: int | None = None,
    unbiased: bool = False,
    density: Density | None = None,
    **params: float,
) -> Made:
    """Return the activation as a function of tensors.

    Args:
        formula: a name, a formula, or an activation.
        mode: "accurate" meets the certified error bound in every tail; "fast" has a larger one (`actlab certify`).
        match: "torch" runs PyTorch's own operator, for results equal bit for bit.
        memory: what is saved for backward: None for the input, "few-bit" for the step of the derivative on which each
            element lies; `actlab.nn.FewBit` is the module.
        bits, unbiased, density: of few-bit memory, as for `actlab.nn.few_bit.few_bit`.
        params: its parameters; the others have the activation's values.

    Returns:
        A function of one tensor, `f(x)`; of two, `f(value, gate)`, for a gated unit; of a tensor and an axis,
        `f(x, dim=-1)`, for one such as softmax. It can be pickled and compared.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: the options do not go together, or few-bit memory cannot hold the activation.

    Example:
        >>> swish = functional("swish", beta=1.5)
        >>> swish(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8176])
    """
    options: dict[str, Any] = {
        "mode": mode, "match": match, "memory": memory, "bits": bits, "unbiased": unbiased, "density": density, **params
    }  # fmt: skip
    if not torch.compiler.is_compiling():
        return _made(formula, **options)
    # the compiler accepts a number that changes from call to call in this form, but not `float(value)`
    numbers = {name: value.__float__() for name, value in params.items()}
    made: Made = getattr(_InGraphs, _named_for_a_graph(formula, **{**options, **numbers}))
    return made


def _made(
    formula: str | Activation | AxisActivation,
    *,
    mode: Mode,
    match: str | None,
    memory: str | None,
    bits: int | None,
    unbiased: bool,
    density: Density | None,
    **params: float,
) -> Made:
    act = get(formula, **params)
    refuse_mode(mode)
    own = matched(act, match=match, mode=mode, memory=memory)
    if own is not None:
        return own
    if wants_few_bits(memory, bits=bits, unbiased=unbiased, density=density):
        return few_bit(act, bits=bits, unbiased=unbiased, density=density, mode=mode)
    return AxisFunctional(act, mode) if isinstance(act, AxisActivation) else Functional(act, mode)


@final
class _InGraphs:
    """The functionals that compiled functions make, as attributes."""


def _named_for_a_graph(formula: str | Activation | AxisActivation, **options: Any) -> str:
    """Return the name of a functional among `_InGraphs`; torch.compile runs this function, which it cannot trace."""
    made = _made(formula, **options)
    name = next((name for name, other in vars(_InGraphs).items() if other == made), f"made_{id(made)}")
    setattr(_InGraphs, name, made)
    return name


# what torch.compiler.assume_constant_result does, without importing the compiler
_named_for_a_graph._dynamo_marked_constant = True  # type: ignore[attr-defined]  # what the compiler looks for


def refuse_mode(mode: str) -> None:
    """Raise an error for a mode that does not exist.

    Raises:
        BadInput: the mode is unknown.
    """
    if mode not in get_args(Mode):
        raise BadInput(f"mode must be 'accurate' or 'fast'; got {mode!r}.")


def drawn(act: Activation, like: Tensor) -> dict[str, Tensor]:
    """Draw the activation's random parameters for every element of `like` from PyTorch's generator."""
    values = {}
    for name, param in act.samplers.items():
        assert param.sampler is not None
        values[name] = torch.empty_like(like).uniform_(param.sampler.low, param.sampler.high)
    return values
