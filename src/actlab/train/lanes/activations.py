"""The activation modules of actlab for many lanes at once, by the same kernels as for one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from actlab.formula.along_axis import AxisActivation
from actlab.nn.functions import AxisFunctional, Functional
from actlab.nn.modules import ActivationModule, AlongAxis, AsPyTorch, Elementwise, FewBit, Gated
from actlab.nn.packed_gate import split

ACTIVATIONS: tuple[type[nn.Module], ...] = (Elementwise, Gated, AlongAxis, FewBit, AsPyTorch)


def why_not(module: nn.Module) -> str:
    """Return why an activation cannot run in lanes; an empty text if it can."""
    if (isinstance(module, Elementwise) and module.activation.samplers) or (
        isinstance(module, FewBit) and module.few.unbiased
    ):
        return f"{module.activation.name} draws random numbers"
    return ""


def applied(module: nn.Module, inputs: tuple[Tensor, ...], learned: Mapping[str, Tensor]) -> Tensor:
    """Apply an activation module to stacked tensors.

    Args:
        module: one of `ACTIVATIONS`; its settings count, its parameters do not.
        inputs: one tensor of shape (lanes, ...), or two.
        learned: its parameters by name, each of shape (lanes, channels).
    """
    alone = inputs[0].dim() - 1
    if isinstance(module, AlongAxis):
        return AxisFunctional(module.activation, module.mode)(inputs[0], dim=_behind_lanes(module.dim))
    if isinstance(module, AsPyTorch) and isinstance(module.activation, AxisActivation):
        result: Tensor = module._own(inputs[0], _behind_lanes(module.dim))
        return result
    if isinstance(module, Gated) and module.layout != "two":
        inputs = split(inputs[0], layout=module.layout, dim=_behind_lanes(module.dim))
    if not isinstance(module, ActivationModule) or isinstance(module, FewBit) or (len(inputs) == 1 and not learned):
        same: Tensor = module(inputs[0])
        return same
    function = Functional(module.activation, module.mode)
    return function(*inputs, **{name: _shaped(module, each, alone=alone) for name, each in learned.items()})


def _behind_lanes(dim: int) -> int:
    return dim if dim < 0 else dim + 1


def _shaped(module: ActivationModule, values: Tensor, *, alone: int) -> Tensor:
    """Return a parameter in a shape that broadcasts against an input of `alone` axes and the lanes before them."""
    shape = [len(values), *[1] * alone]
    if module.channels is not None:
        shape[1 + min(module.channel_axis, alone - 1) % alone] = -1
    return values.reshape(shape)
