"""A site: one place in the code where a model applies an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation

# A line of the user's code: its function's name, the line counted from the function's first, and the column; and the
# lines that lead to a call, the innermost first.
Line = tuple[str, int, int]
Lines = tuple[Line, ...]


@final
@dataclass(frozen=True)
class RoutedCall:
    """A call that is part of a site, in a form that a later pass can be compared with.

    Attributes:
        function: its name.
        at: the how-manyth call of that function it is while the owner's `forward` runs; -1 for each of them.
        at_all: the how-manyth of the whole pass.
        takes: which of the tensors it reads the activation is applied to; -1 where none.
        is_last: whether it gives the activation's result.
    """

    function: str
    at: int
    at_all: int
    takes: int
    is_last: bool


@final
@dataclass(frozen=True)
class Route:
    """All calls that a site is made of.

    Attributes:
        owner: the dotted path of the innermost module in whose `forward` they all are.
        calls: for each time that the activation is applied.
        inside: of each of their functions the lines that lead to every call below the owner, in order.
        everywhere: the same of the whole model.
        own_backward, recomputed: as of `Stack`.
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
        parameters: what its parameters are here; of a parameter for every channel, all its values.
        path: the dotted path of the innermost module whose `forward` applies it; empty for the model itself.
        spelling: how it is written: `nn.ReLU`, `F.relu`, `torch.relu`, `x.relu_()`, `x * torch.sigmoid(x)`.
        file, line: the line of the user's code that applies it.
        index: which of the activations applied in that module it is, from 0.
        shape, dtype: of its input.
        calls: how often one forward pass comes by.
        channel_axis: the axis along which its units lie: 1 behind a convolution, else the last.
        formula: the activation itself, its parameters bound.
        route: the calls that it is made of; what `swap` goes by.
        gate: of a gated unit the function of its gate; what is measured of it.
        trainable: the names of the parameters that the model learns.
        axis: along which a softmax or its kin acts; of others it means nothing.
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
        """The place in short, such as `encoder.act[0]`."""
        return f"{self.path or 'model'}[{self.index}]"

    def to_json(self) -> dict[str, Any]:
        """All but the formula, as plain values."""
        return {
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


@final
@dataclass(frozen=True)
class Spot:
    """A call that is no activation, such as a layer's or the loss's: what points to it.

    Attributes:
        path, spelling, file, line, index: as of a `Site`; the index is always 0.
    """

    path: str
    spelling: str
    file: str
    line: int
    index: int = 0

    @property
    def name(self) -> str:
        """The place in short."""
        return self.path or "model"


@final
@dataclass(frozen=True)
class Unseen:
    """A part of a model in which activations may be applied that cannot be seen.

    Attributes:
        path: the dotted path of the module; empty for the model itself.
        what: what stands there, such as `nn.LSTM`.
        why: why it cannot be seen, and what would let it be.
    """

    path: str
    what: str
    why: str
