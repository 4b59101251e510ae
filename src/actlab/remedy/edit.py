"""The edits of a program's text that a remedy can ask for: plain values, which `remedy.patch` turns into a diff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, final


@final
@dataclass(frozen=True)
class ReplaceActivation:
    """Replace the activation written at a place.

    `nn.Sigmoid()` becomes `nn.LeakyReLU(0.01)`, `F.relu(x)`, `torch.relu(x)` and `x.relu()` become `F.gelu(x)`.
    PyTorch's own spelling is used if PyTorch has the activation, otherwise actlab's; imports are added.

    Attributes:
        file: the file's path.
        line: the line that applies the activation or that constructs its module, as in `Site`.
        spelling: how the code writes it, as in `Site`: `nn.ReLU`, `F.relu`, `torch.relu`, `x.relu_()`.
        activation: the catalog's name of the new one, or a formula.
        arguments: values of its parameters, by the catalog's names: `{"negative_slope": 0.01}`.
        everywhere: whether the change is intended for every activation that this text stands for. Text that runs
            several times, such as a literal in a loop, or that stands several times on the line, is refused without it.
    """

    file: str
    line: int
    spelling: str
    activation: str
    arguments: Mapping[str, float] = field(default_factory=dict, hash=False)
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{_place(self)}: replace {self.spelling} by {_called(self.activation, self.arguments)}"


@final
@dataclass(frozen=True)
class RemoveActivation:
    """Remove the activation written at a place.

    An argument of `nn.Sequential` is deleted, `F.softmax(x, dim=1)` becomes `x`, and `self.act = nn.Softmax(1)` becomes
    `self.act = nn.Identity()`.

    Attributes:
        file, line, spelling, everywhere: as in `ReplaceActivation`.
    """

    file: str
    line: int
    spelling: str
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{_place(self)}: remove {self.spelling}"


@final
@dataclass(frozen=True)
class InsertActivation:
    """Apply an activation to the output of the layer at a place.

    Behind `nn.Linear(4, 8)` in an `nn.Sequential` a module is added; `self.fc1(x)` becomes `F.relu(self.fc1(x))`.

    Attributes:
        file: the file's path.
        line: the line that constructs the layer in an `nn.Sequential` or that calls it.
        activation, arguments, everywhere: as in `ReplaceActivation`.
        spelling: how the code writes the layer, such as `nn.Linear`; needed only if the line holds several layers.
    """

    file: str
    line: int
    activation: str
    arguments: Mapping[str, float] = field(default_factory=dict, hash=False)
    spelling: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        behind = self.spelling or "the layer"
        return f"{_place(self)}: insert {_called(self.activation, self.arguments)} behind {behind}"


@final
@dataclass(frozen=True)
class InsertModule:
    """Insert a module before or behind the one at a place, in an `nn.Sequential`.

    Attributes:
        file: the file's path.
        line: the line that constructs the neighbor in the `nn.Sequential`.
        module: the module as PyTorch spells it: `nn.BatchNorm1d(32)`; `nn` and `torch` are written as the file imports
            them.
        where: on which side of the neighbor.
        spelling: how the code writes the neighbor, such as `nn.Linear`; needed only if the line holds several.
        everywhere: as in `ReplaceActivation`.
    """

    file: str
    line: int
    module: str
    where: Literal["before", "after"] = "after"
    spelling: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{_place(self)}: insert {self.module} {self.where} {self.spelling or 'the layer'}"


@final
@dataclass(frozen=True)
class ReplaceLoss:
    """Replace the loss that is called, constructed or passed at a place, in the same form.

    `nn.BCELoss()` becomes `nn.BCEWithLogitsLoss()`, `F.binary_cross_entropy(p, y)` becomes
    `F.binary_cross_entropy_with_logits(p, y)`, and `loss=F.nll_loss` becomes `loss=F.cross_entropy`.

    Attributes:
        file: the file's path.
        line: a line of the call or of the reference; of a loss object, the line that calls or constructs it.
        old: the dotted name of the old function or class, such as `torch.nn.functional.nll_loss`; either form of the
            same loss stands for both.
        new: the dotted name of the new one, likewise.
    """

    file: str
    line: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{_place(self)}: replace the loss {_last(self.old)} by {_last(self.new)}"


@final
@dataclass(frozen=True)
class ChangeArgument:
    """Set a keyword argument of a call: change its value where it stands, or add it.

    Attributes:
        file: the file's path.
        line: a line of the call.
        call: the last part of the called name, such as `Softmax`, `Adam` or `Task`.
        argument: the keyword's name.
        value: a Python literal as text: `1`, `1e-3`, `(1e-4, 1e-2)`, `True`, `'tanh'`.
        position: the argument's index if it may be passed by position; -1 if it is a keyword only.
        everywhere: as in `ReplaceActivation`.
    """

    file: str
    line: int
    call: str
    argument: str
    value: str
    position: int = -1
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{_place(self)}: set {self.argument}={self.value} in {self.call}"


@final
@dataclass(frozen=True)
class BeforeReturn:
    """Add lines that act on the model before a factory returns it.

    `return EXPRESSION` becomes `model = EXPRESSION`, the lines, `return model`. A lambda becomes a function above its
    statement; in a class the lines stand at the end of `__init__` and act on `self`.

    Attributes:
        file: the file's path.
        line: the factory's first line; 0 if its name alone identifies it.
        function: its name: of a function or a class, or `<lambda>`.
        lines: statements that speak of `model`.
        imports: the import statements that the lines need, such as `import actlab`.
    """

    file: str
    line: int
    function: str
    lines: tuple[str, ...]
    imports: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{_place(self)}: add {'; '.join(self.lines)} to {self.function}"


Edit = (
    ReplaceActivation | RemoveActivation | InsertActivation | InsertModule | ReplaceLoss | ChangeArgument | BeforeReturn
)
"""A change of a program's text."""


def _place(edit: Edit) -> str:
    """Return file name and line, as a report writes them."""
    return f"{Path(edit.file).name}:{edit.line}" if edit.line else Path(edit.file).name


def _called(name: str, arguments: Mapping[str, float]) -> str:
    """Return an activation with the values of its parameters."""
    values = ", ".join(f"{key}={value:g}" for key, value in arguments.items())
    return f"{name}({values})" if values else name


def _last(dotted: str) -> str:
    return dotted.rpartition(".")[2]
