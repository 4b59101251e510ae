"""How a new activation is written: as a module, a class, a function, a call or a name in text."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

from actlab.catalog.index import get
from actlab.catalog.torch_ops import TORCH_OPS, TorchOp
from actlab.errors import BadFormula, BadInput, BadParam, UnknownActivation
from actlab.formula.activation import Activation
from actlab.remedy.syntax.names import Names
from actlab.remedy.syntax.program import Refused

if TYPE_CHECKING:
    import libcst as cst

# What a module's constructor calls the value of a parameter that the function takes as a tensor.
_IN_CONSTRUCTOR = {("prelu", "weight"): "init"}
# Functions that need more than their input: learned weights, or whether the model trains.
_NEEDS_MORE = frozenset({"prelu", "rrelu"})


@final
@dataclass(frozen=True)
class Wanted:
    """An activation that is to be written.

    Attributes:
        text: its name or formula.
        arguments: values of its parameters, and `dim` for one along an axis.
    """

    text: str
    arguments: Mapping[str, float]

    @cached_property
    def activation(self) -> Any:
        """The activation.

        Raises:
            Refused: there is none of this name, or a value does not fit.
        """
        values = {name: value for name, value in self.arguments.items() if name != "dim"}
        try:
            return get(self.text, **values)
        except (UnknownActivation, BadFormula, BadParam, BadInput) as error:
            raise Refused(str(error)) from error

    @property
    def label(self) -> str:
        """The text by which `actlab.get` reads it, without the parameters that have their defaults."""
        act = self.activation
        if not isinstance(act, Activation) or act.family == "typed":
            return self.text
        default = {param.name: param.value for param in get(act.name).params}
        values = [f"{param.name}={param.value:g}" for param in act.params if param.value != default[param.name]]
        return f"{act.name}({', '.join(values)})" if values else act.name

    @cached_property
    def op(self) -> TorchOp | None:
        """PyTorch's spelling, if it has the activation with these parameters."""
        act = self.activation
        found = next((op for op in TORCH_OPS if op.activation == act.name), None)
        if found is None or (isinstance(act, Activation) and act.family == "typed"):
            return None
        reachable = {*found.arguments}
        default = {param.name: param.value for param in getattr(get(act.name), "params", ())}
        changed = {param.name for param in getattr(act, "params", ()) if param.value != default[param.name]}
        return found if changed <= reachable else None

    def values(self, *, in_module: bool, named: bool = False) -> list[str]:
        """Return the arguments that set its parameters, as text, in PyTorch's spelling.

        Args:
            in_module: whether they are those of the module's constructor, or of the function.
            named: whether all are keywords; otherwise a first one stands by its place.
        """
        op = self.op
        assert op is not None
        if op.only_with:
            value = op.only_with["approximate"]
            return [] if value == "none" else [f'approximate="{value}"']
        wanted = {name: value for name, value in self.arguments.items() if name in op.arguments}
        if not named and wanted and [*wanted] == [*op.arguments[:1]] and "dim" not in wanted:
            return [_number(value) for value in wanted.values()]
        inside = {name: _IN_CONSTRUCTOR.get((op.activation, name), name) if in_module else name for name in wanted}
        return [f"{inside[name]}={_number(value)}" for name, value in wanted.items()]

    def module(self, names: Names, at: cst.CSTNode, *, like: str = "") -> tuple[str, list[str]]:
        """Return the callable and the arguments that construct its module."""
        if self.op is not None and self.op.module:
            return names.write(f"torch.nn.{self.op.module}", at, like=like), self.values(in_module=True)
        return names.write("actlab.module", at), self._ours()

    def function(self, names: Names, at: cst.CSTNode, *, like: str = "", named: bool = False) -> tuple[str, list[str]]:
        """Return the callable and the arguments behind the input that apply it; `named` as for `values`.

        Raises:
            Refused: it has learned weights or draws at random, so that a module must hold it.
        """
        if self.activation.name in _NEEDS_MORE:
            raise Refused(f"{self.activation.name} is not a function of its input alone: write it as a module")
        if self.op is None:
            return f"{names.write('actlab.functional', at)}({', '.join(self._ours())})", []
        return names.write(self.op.path, at, like=like), self.values(in_module=False, named=named)

    @property
    def method(self) -> str | None:
        """The name of the tensor's method that applies it; None if there is none without arguments."""
        op = self.op
        if op is None or self.values(in_module=False) or not callable(getattr(torch.Tensor, op.function, None)):
            return None
        return op.function

    @property
    def takes_inplace(self) -> bool:
        """Whether PyTorch's module and function can write into their input."""
        kind = getattr(nn, self.op.module, None) if self.op is not None and self.op.module else None
        return kind is not None and "inplace" in inspect.signature(kind).parameters

    @property
    def acts_along_axis(self) -> bool:
        """Whether it takes the axis `dim`."""
        return not isinstance(self.activation, Activation)

    @property
    def inputs(self) -> int:
        """The number of its inputs."""
        return len(self.activation.inputs)

    def _ours(self) -> list[str]:
        values = [f"{name}={_number(value)}" for name, value in self.arguments.items() if name != "dim"]
        text = self.text.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{text}"', *values]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and isinstance(value, int) else repr(value)
