"""Name the activation modules of a model, and find PyTorch's own module of an activation."""

from __future__ import annotations

from torch import nn

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn.modules import Elementwise, FewBit
from actlab.nn.torch_modules import TORCH_NAMES


def torch_module(act: Activation | AxisActivation) -> type[nn.Module] | None:
    """Return PyTorch's own module for an activation if it can be built without arguments."""
    for made, name in TORCH_NAMES.items():
        if name == act.name and act == get(name) and made is not nn.Threshold:  # which has no defaults
            return made
    return None


def name_of(module: nn.Module) -> str | None:
    """Return the name of a module's activation, with the parameters that differ from the catalog's defaults.

    It is None for a module that is not an element-wise activation.

    Example:
        >>> name_of(nn.LeakyReLU(0.2)), name_of(nn.GELU(approximate="tanh")), name_of(nn.Softmax(dim=-1))
        ('leaky_relu(negative_slope=0.2)', 'gelu_tanh', None)
    """
    if isinstance(module, Elementwise | FewBit):
        return module.activation.name
    if type(module) is nn.GELU and module.approximate == "tanh":
        return "gelu_tanh"
    name = TORCH_NAMES.get(type(module))
    return None if name is None else name + _settings(module, get(name))


def _settings(module: nn.Module, act: Activation | AxisActivation) -> str:
    params = act.params if isinstance(act, Activation) else ()
    found = {param.name: getattr(module, param.name, param.value) for param in params if not param.trainable}
    changed = [
        f"{param.name}={found[param.name]:g}" for param in params if found.get(param.name, param.value) != param.value
    ]
    return f"({', '.join(changed)})" if changed else ""
