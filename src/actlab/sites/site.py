"""A site: one place in the code where a model applies an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation

Group = Literal["hidden", "gate", "block", "output"]
"""What a model does with the result of a site."""

GROUPS: tuple[Group, ...] = ("hidden", "gate", "block", "output")

# A line of the user's code: its function's name, the line counted from the function's first, and the column; and the
# lines that lead to a call, the innermost first.
Line = tuple[str, int, int]
Lines = tuple[Line, ...]


@final
@dataclass(frozen=True)
class RoutedCall:
    """A call of a site, in a form that can be found again in a later pass.

    Attributes:
        function: its name.
        at: its index among the calls of that function in the owner's `forward`; -1 for all of them.
        at_all: its index in the whole pass.
        takes: the index of the tensor argument to which the activation is applied; -1 if there is none.
        is_last: whether it returns the activation's result.
    """

    function: str
    at: int
    at_all: int
    takes: int
    is_last: bool


@final
@dataclass(frozen=True)
class Route:
    """All calls of a site.

    Attributes:
        owner: the dotted path of the innermost module whose `forward` contains them all.
        calls: for each application of the activation.
        inside: for each of their functions, the stack of every call below the owner, in order.
        everywhere: the same for the whole model.
        own_backward, recomputed: as in `Stack`.
    """

    owner: str
    calls: tuple[tuple[RoutedCall, ...], ...]
    inside: Mapping[str, tuple[Lines, ...]] = field(default_factory=dict, hash=False)
    everywhere: Mapping[str, tuple[Lines, ...]] = field(default_factory=dict, hash=False)
    own_backward: bool = False
    recomputed: str | None = None


@final
@dataclass(frozen=True)
class Site:
    """One place in the code where a model applies an activation.

    Attributes:
        activation: its name in the catalog.
        parameters: the values of its parameters; of a parameter per channel, all of them.
        path: the dotted path of the innermost module whose `forward` applies it; empty for the model itself.
        spelling: how the code writes it: `nn.ReLU`, `F.relu`, `torch.relu`, `x.relu_()`, `x * torch.sigmoid(x)`.
        file, line: the line of the user's code that applies it; in an `nn.Sequential` the one that constructs it. An
            empty file and 0 if that is unknown.
        index: its index among the activations of that module, from 0.
        shape, dtype: of its input.
        calls: how often one forward pass applies it.
        channel_axis: the axis of its units: 1 behind a convolution, else the last.
        formula: the activation itself, its parameters bound.
        route: its calls, by which `swap` finds it.
        gate: the function of the gate of a gated unit, which is measured in its stead.
        trainable: the names of the parameters that are trained.
        axis: the axis of a softmax or the like; without meaning for others.
    """

    activation: str
    parameters: Mapping[str, float | tuple[float, ...]] = field(hash=False)
    path: str
    spelling: str
    file: str
    line: int
    index: int
    shape: tuple[int, ...]
    dtype: str
    formula: Activation | AxisActivation = field(repr=False, compare=False)
    calls: int = 1
    channel_axis: int = -1
    gate: Activation | None = field(default=None, repr=False, compare=False)
    route: Route | None = field(default=None, repr=False, compare=False)
    trainable: tuple[str, ...] = ()
    axis: int = field(default=-1, compare=False)

    @property
    def measured(self) -> Activation | AxisActivation:
        """The function of one input that is measured: the activation, or that of the gate."""
        return self.formula if self.gate is None else self.gate

    @property
    def name(self) -> str:
        """A short name of the place, such as `encoder.act[0]`."""
        return f"{self.path or 'model'}[{self.index}]"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the formula, as plain values; file and line are None if they are unknown."""
        values = {
            "activation": self.activation,
            "parameters": dict(self.parameters),
            "path": self.path,
            "spelling": self.spelling,
            "file": self.file,
            "line": self.line,
            "index": self.index,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "calls": self.calls,
            "trainable": list(self.trainable),
        }
        return with_known_line(values)


def with_known_line(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a place with None for a file and a line that are unknown.

    Example:
        >>> with_known_line({"path": "3", "file": "", "line": 0})
        {'path': '3', 'file': None, 'line': None}
    """
    return {**values, "file": values["file"] or None, "line": values["line"] or None}


@final
@dataclass(frozen=True)
class Spot:
    """The place of a call that is not an activation, such as a layer or the loss.

    Attributes:
        path, spelling, file, line, index: as in `Site`; the index is always 0.
    """

    path: str
    spelling: str
    file: str
    line: int
    index: int = 0

    @property
    def name(self) -> str:
        """A short name of the place."""
        return self.path or "model"


@final
@dataclass(frozen=True)
class Unseen:
    """A part of a model that cannot be inspected and may apply activations.

    Attributes:
        path: the dotted path of the module; empty for the model itself.
        what: what it is, such as `nn.LSTM`.
        why: why it cannot be inspected, and how to change that.
    """

    path: str
    what: str
    why: str
