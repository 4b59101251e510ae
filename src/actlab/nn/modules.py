"""Activations as modules."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn, TypedDict, cast, final, get_args

import torch
from torch import Tensor, nn

from actlab.catalog.index import get
from actlab.errors import BadInput, BadParam
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import ParamRef
from actlab.formula.text import number_text
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.explanation import Explanation, explain_formula
from actlab.kernels.fewbit.derivative_samples import Density
from actlab.kernels.validation import refuse_unfit
from actlab.nn.axis_operator import apply_along_axis, axiswise, explained_along_axis
from actlab.nn.few_bit import few_bit, wants_few_bits
from actlab.nn.functions import Functional, drawn, refuse_mode
from actlab.nn.native import Matched, matched
from actlab.nn.operator import Pointwise, apply, pointwise_of
from actlab.nn.packed_gate import Layout, apply_packed, split, takes_packed
from actlab.nn.torch_function import is_followed, shown


class _Unscripted(nn.Module):
    """A module that refuses `torch.jit.script`, which would stop at the first thing that it cannot read."""

    def __prepare_scriptable__(self) -> NoReturn:
        raise BadInput(
            f"torch.jit.script cannot read {self!r}. Use torch.jit.trace(model, example) or torch.export.export, for "
            "inference, or PyTorch's own module."
        )


class ActivationModule(_Unscripted, ABC):
    """A module that applies one element-wise activation or gated unit; the common class of what `actlab.module`
    returns.

    Attributes:
        activation: the activation, its fixed parameters at their values.
        channels: the number of values of each trainable parameter, one per channel; None for a single value.
        channel_axis: the axis of the input that holds the channels.
        mode: the error bound of its kernels, "accurate" or "fast".
    """

    def __init__(
        self,
        act: Activation,
        *,
        channels: int | None,
        channel_axis: int,
        trainable: frozenset[str],
        mode: Mode = "accurate",
    ) -> None:
        super().__init__()
        self.activation = act
        self.mode: Mode = mode
        self.channels = channels
        self.channel_axis = channel_axis
        self._trainable = tuple(param.name for param in act.params if param.name in trainable)
        self._steady = pointwise_of(act, self._trainable, mode=mode)
        for param in act.params:
            if param.name in trainable:
                self.register_parameter(param.name, nn.Parameter(torch.full((channels or 1,), param.value)))

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to the tensor."""

    def trained(self, x: Tensor) -> list[Tensor]:
        """Return the trainable parameters, each in a shape that broadcasts against `x`, whose channels they count."""
        return [self._shaped(leaf.name, x) for leaf in self._steady.args if isinstance(leaf, ParamRef)]

    def _shaped(self, name: str, x: Tensor) -> Tensor:
        refuse_unfit(x, what=self.activation.name)
        values = cast(Tensor, getattr(self, name))
        if self.channels is None:
            return values if x.dim() else values.reshape(())
        axis = min(self.channel_axis, x.dim() - 1)
        if not -x.dim() <= axis or x.dim() == 0 or x.shape[axis] != self.channels:
            raise BadInput(
                f"{self.activation.name} has parameters for {self.channels} channels along axis "
                f"{self.channel_axis}; got a tensor of shape {tuple(x.shape)}."
            )
        behind = x.dim() - 1 - axis % x.dim()
        return values.reshape(-1, *[1] * behind) if behind else values

    def extra_repr(self) -> str:
        """Show name and parameters."""
        parts = [self.activation.name]
        for param in self.activation.params:
            shown = number_text(param.exact)
            parts.append(f"{param.name}={shown}{' (trainable)' if param.name in self._trainable else ''}")
        if self.channels is not None:
            parts.append(f"channels={self.channels}")
        if self.mode != "accurate":
            parts.append(f"mode={self.mode!r}")
        return ", ".join(parts)


@final
class Elementwise(ActivationModule):
    """An activation of each element: any shape in, the same shape out."""

    def __init__(
        self,
        act: Activation,
        *,
        channels: int | None,
        channel_axis: int,
        trainable: frozenset[str],
        mode: Mode = "accurate",
    ) -> None:
        super().__init__(act, channels=channels, channel_axis=channel_axis, trainable=trainable, mode=mode)
        self._random = pointwise_of(act, (*self._trainable, *act.samplers), mode=mode) if act.samplers else None
        self._fixed = None if self._trainable else Functional(act, mode)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to each element; random parameters are drawn in training only."""
        if is_followed(x):
            return shown(Elementwise.forward, self, x)
        if self._random is not None and self.training:
            return apply(self._random, x, *self.trained(x), *drawn(self.activation, x).values())
        return apply(self._steady, x, *self.trained(x)) if self._fixed is None else self._fixed.of_one(x)

    def explained(self, x: Tensor) -> Explanation:
        """Say which implementation runs for a tensor like this one, its gradient as it is asked for now."""
        if self._random is not None and self.training:
            return _explained(self._random, x)
        return _explained(self._steady, x) if self._fixed is None else self._fixed.explained(x)


@final
class Gated(ActivationModule):
    """A gated unit of a packed tensor, split along one axis, or of two tensors.

    Attributes:
        layout: `value_first` or `gate_first` (halves along `dim`), `interleaved` (value at even places, gate at odd
            ones), `two` (two tensors).
        dim: the axis that is split.
    """

    def __init__(
        self,
        act: Activation,
        *,
        layout: Layout,
        dim: int,
        channels: int | None,
        channel_axis: int,
        trainable: frozenset[str],
        mode: Mode = "accurate",
    ) -> None:
        super().__init__(act, channels=channels, channel_axis=channel_axis, trainable=trainable, mode=mode)
        self.layout: Layout = layout
        self.dim = dim

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Apply the gated unit: half the size of a packed `x` along `dim`, or the size of `x` and `gate`."""
        if is_followed(x):
            return shown(Gated.forward, self, *(each for each in (x, gate) if each is not None))
        value, gate = self._parts(x, gate)
        learned = self.trained(value)
        if self.layout == "two" or learned or not takes_packed(self._steady, x):
            return apply(self._steady, value, gate, *learned)
        return apply_packed(self._steady, x, layout=self.layout, dim=self.dim)

    def extra_repr(self) -> str:
        """Show name, parameters and layout."""
        where = f"layout={self.layout}" + ("" if self.layout == "two" else f", dim={self.dim}")
        return f"{super().extra_repr()}, {where}"

    def explained(self, x: Tensor) -> Explanation:
        """Say which implementation runs for a tensor like this one: packed, or the value of two."""
        return _explained(self._steady, x if self.layout == "two" else self._parts(x, None)[0])

    def _parts(self, x: Tensor, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        if (gate is None) == (self.layout == "two"):
            takes = "two tensors" if self.layout == "two" else "one packed tensor"
            raise BadInput(f"{self.activation.name} with layout='{self.layout}' takes {takes}.")
        refuse_unfit(x, what=self.activation.name)
        if gate is not None:
            return x, gate
        if not -x.dim() <= self.dim < x.dim() or x.shape[self.dim] % 2:
            raise BadInput(
                f"{self.activation.name} splits axis {self.dim} in two; got a tensor of shape {tuple(x.shape)}."
            )
        return split(x, layout=self.layout, dim=self.dim)


def inputs_of(module: nn.Module) -> int:
    """Return how many inputs an activation module takes for each output: two if it is a gated unit of a packed tensor.

    A model's factory asks it how wide to make the layer before its activation.

    Example:
        >>> [inputs_of(each) for each in (nn.ReLU(), nn.GLU(), module("swiglu", layout="value_first"))]
        [1, 2, 2]
    """
    is_packed = isinstance(module, Gated) and module.layout != "two"
    return 2 if is_packed or isinstance(module, nn.GLU) else 1


@final
class AsPyTorch(_Unscripted):
    """An activation by PyTorch's own operator, for results that must match PyTorch bit for bit."""

    def __init__(self, own: Matched, *, dim: int) -> None:
        super().__init__()
        self.activation = own.activation
        self.dim = dim
        self._own = own

    def forward(self, x: Tensor) -> Tensor:
        """Return PyTorch's own result."""
        if is_followed(x):
            return shown(AsPyTorch.forward, self, x)
        return self._own(x, self.dim)

    def explained(self, x: Tensor) -> Explanation:
        """Name PyTorch's own operator."""
        return self._own.explained(x)

    def extra_repr(self) -> str:
        """Show name and match."""
        return f"{self.activation.label}, match='torch'"


@final
class AlongAxis(_Unscripted):
    """An activation along one axis, such as softmax."""

    def __init__(self, act: AxisActivation, *, dim: int, mode: Mode = "accurate") -> None:
        super().__init__()
        self.activation = act
        self._made = axiswise(act)
        self.dim = dim
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation along the axis; the shape stays."""
        if is_followed(x):
            return shown(AlongAxis.forward, self, x)
        return apply_along_axis(self._made, x, axis=self.dim, mode=self.mode)

    def explained(self, x: Tensor) -> Explanation:
        """Say which implementation runs for a tensor like this one."""
        return explained_along_axis(self._made, x, self.mode)

    def extra_repr(self) -> str:
        """Show name and axis."""
        return f"{self.activation.name}, dim={self.dim}"


@final
class FewBit(ActivationModule):
    """An activation of each element that saves a few bits of it for the backward pass, instead of its input.

    The forward pass is the ordinary one. The gradient is exact if the activation is piecewise linear and its
    derivatives fit into the bits; otherwise the derivative is replaced by the level of a step table.

    Args:
        activation: a name, a formula, an activation, or a module of actlab without trainable parameters.
        bits: 1 to 4 for each element; 4 if left out.
        unbiased: draw the level at random between the two nearest ones, so that it is right on average.
        density: the distribution of the inputs, measured or as a function. Uniform in [-10, 10] if left out.
        mode: "accurate" or "fast", as for `actlab.module`; a module's own if left out.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: bits are not 1 to 4, or few bits cannot hold the gradient: the activation has two inputs, acts along
            an axis, has a derivative without bound, or has a parameter that is trained or drawn at random.

    Attributes:
        few: the activation as a function.

    Example:
        >>> FewBit("gelu", bits=3)
        FewBit(gelu, bits=3)
    """

    def __init__(
        self,
        activation: str | Activation | nn.Module,
        *,
        bits: int | None = None,
        unbiased: bool = False,
        density: Density | None = None,
        mode: Mode | None = None,
    ) -> None:
        chosen: Mode = getattr(activation, "mode", "accurate") if mode is None else mode
        refuse_mode(chosen)
        few = few_bit(_fixed(activation), bits=bits, unbiased=unbiased, density=density, mode=chosen)
        super().__init__(few.activation, channels=None, channel_axis=1, trainable=frozenset(), mode=chosen)
        self.few = few

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Apply the activation to each element; `generator` draws the levels if they are unbiased."""
        if is_followed(x):
            return shown(FewBit.forward, self, x, generator=generator)
        return self.few(x, generator=generator)

    def explained(self, x: Tensor) -> Explanation:
        """Say which implementation runs for a tensor like this one, its gradient as it is asked for now."""
        return self.few.explained(x)

    def extra_repr(self) -> str:
        """Show name, parameters and bits."""
        unbiased = ", unbiased=True" if self.few.unbiased else ""
        return f"{super().extra_repr()}, bits={self.few.bits}{unbiased}"


def _fixed(activation: str | Activation | AxisActivation | nn.Module) -> Activation | AxisActivation:
    """Return the activation if none of its parameters is trained."""
    if isinstance(activation, ActivationModule | AlongAxis):
        act = activation.activation
        learned = [name for name, _ in activation.named_parameters()]
    elif isinstance(activation, nn.Module):
        raise BadInput(
            f"FewBit: a name, a formula, an activation or a module of actlab is required; got {activation!r}. "
            "Pass the name of its activation."
        )
    else:
        act = get(activation)
        learned = sorted(_learned(act, None)) if isinstance(act, Activation) else []
    if learned:
        raise BadInput(
            f"{act.name} learns {', '.join(learned)}, whose gradient needs the input itself. Fix the value: "
            f"actlab.nn.FewBit(actlab.module({act.name!r}, trainable=False))."
        )
    return act


def _explained(made: Pointwise, x: Tensor) -> Explanation:
    return explain_formula(made.expression, made.args, x, mode=made.mode)


class _Parameters(TypedDict):
    """The keywords that every element-wise or gated module is made with."""

    channels: int | None
    channel_axis: int
    trainable: frozenset[str]
    mode: Mode


def module(
    formula: str | Activation | AxisActivation,
    *,
    channels: int | None = None,
    channel_axis: int = 1,
    trainable: bool | tuple[str, ...] | None = None,
    layout: Layout | None = None,
    dim: int = -1,
    mode: Mode = "accurate",
    match: str | None = None,
    memory: str | None = None,
    bits: int | None = None,
    unbiased: bool = False,
    density: Density | None = None,
    **params: float,
) -> nn.Module:
    """Return the activation as a `torch.nn.Module`.

    Args:
        formula: a name, a formula, or an activation.
        channels: the number of channels, each with its own value of every trainable parameter; a single value if left
            out.
        channel_axis: the axis that holds the channels.
        trainable: the parameters to learn: all, none, or those named; as the activation declares if left out.
        layout: for a gated unit, the layout of value and gate: `value_first`, `gate_first`, `interleaved`
            (all packed along `dim`), or `two` tensors.
        dim: the axis along which a packed unit is split, or along which softmax and its kin act.
        mode: "accurate" meets the certified error bound in every tail; "fast" has a larger one.
        match: "torch" runs PyTorch's own operator, for results equal bit for bit.
        memory, bits, unbiased, density: deprecated; use `actlab.nn.FewBit`.
        params: parameters of the activation; the others have the activation's values.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: a gated unit without its layout, or an option that the activation does not take.

    Example:
        >>> module("swish", beta=1.5)
        Elementwise(swish, beta=1.5 (trainable))
        >>> module("swiglu", layout="gate_first")(torch.ones(2, 6)).shape
        torch.Size([2, 3])
    """
    act = get(formula, **params)
    refuse_mode(mode)
    own = matched(act, match=match, mode=mode, memory=memory)
    if own is not None:
        _refuse(act.name, {"layout": layout, "channels": channels, "trainable": trainable or None})
        return AsPyTorch(own, dim=dim)
    if wants_few_bits(memory, bits=bits, unbiased=unbiased, density=density):
        new = "actlab.nn.FewBit(activation, bits=...)"
        warnings.warn(f"module(memory='few-bit') is deprecated; use {new}.", DeprecationWarning, stacklevel=2)
        usual = module(act, channels=channels, channel_axis=channel_axis, trainable=trainable, layout=layout, dim=dim)
        return FewBit(usual, bits=bits, unbiased=unbiased, density=density, mode=mode)
    if isinstance(act, AxisActivation):
        _refuse(act.name, {"layout": layout, "channels": channels, "trainable": trainable})
        return AlongAxis(act, dim=dim, mode=mode)
    learned = _learned(act, trainable)
    if channels is not None and (channels < 1 or not learned):
        reason = "it has no trainable parameter" if not learned else "there must be at least one"
        raise BadInput(f"{act.name} cannot have parameters for {channels} channels: {reason}.")
    parameters: _Parameters = {
        "channels": channels, "channel_axis": channel_axis, "trainable": learned, "mode": mode
    }  # fmt: skip
    if len(act.inputs) == 1:
        _refuse(act.name, {"layout": layout})
        return Elementwise(act, **parameters)
    if layout is None or layout not in get_args(Layout):
        raise BadInput(
            f"{act.name} has two inputs and needs a layout: layout="
            f"{', '.join(repr(each) for each in get_args(Layout))}; got {layout!r}."
        )
    return Gated(act, layout=layout, dim=dim, **parameters)


_LACKS: Mapping[str, str] = MappingProxyType(
    {"layout": "it has no gate", "channels": "it has no parameters", "trainable": "it has no parameters"}
)


def _refuse(name: str, options: Mapping[str, object]) -> None:
    for option, given in options.items():
        if given is not None:
            raise BadInput(f"{name} takes no {option}: {_LACKS[option]}.")


def _learned(act: Activation | AxisActivation, trainable: bool | tuple[str, ...] | None) -> frozenset[str]:
    names = frozenset(param.name for param in act.params)
    if trainable is None:
        return frozenset(param.name for param in act.params if param.trainable)
    if isinstance(trainable, bool):
        return names if trainable else frozenset()
    unknown = set(trainable) - names
    if unknown:
        raise BadParam(f"{act.name} has no parameter '{min(unknown)}' to train; it has {', '.join(sorted(names))}.")
    return frozenset(trainable)
