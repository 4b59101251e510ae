"""The settings of a playground, which an address holds in full."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, final
from urllib.parse import parse_qsl, quote, urlencode

from actlab.catalog.index import get
from actlab.errors import ActlabError, BadFormula, BadInput, BadParam, shortened
from actlab.formula.activation import Activation

DATA = ("circle", "xor", "moons", "spiral", "bananas", "function", "table")
OPTIMIZERS = ("sgd", "momentum", "adam")
NORMALIZATIONS = ("none", "batch", "layer")
INITIALIZATIONS = ("default", "gain", "small", "large", "zeros")
MOST_LAYERS, MOST_UNITS = 8, 32


@final
@dataclass(frozen=True)
class Layer:
    """One hidden layer: linear, normalized if wanted, then the activation.

    Attributes:
        width: the number of units, 1 to 32.
        activation: a name or a formula of one input; values of a formula's parameters follow a semicolon.
        normalization: none, batch or layer.
        initialization: default (PyTorch's), gain, small, large or zeros; see `plain.initialize`.
    """

    width: int = 8
    activation: str = "tanh"
    normalization: str = "none"
    initialization: str = "default"

    def __post_init__(self) -> None:
        _within("width", self.width, 1, MOST_UNITS)
        activation_of(self.activation)
        _one_of("normalization", self.normalization, NORMALIZATIONS)
        _one_of("initialization", self.initialization, INITIALIZATIONS)

    @property
    def text(self) -> str:
        """The layer as one setting of an address."""
        return f"{self.width}:{self.normalization}:{self.initialization}:{self.activation}"


@final
@dataclass(frozen=True)
class State:
    """All settings of a playground: equal states train equally, to the bit on one machine.

    Attributes:
        data: circle, xor, moons, spiral, bananas, function (`f` of x from -6 to 6), or table.
        f: the formula to learn, if the data are a function.
        table: the digest of an uploaded table, if the data are one.
        x1, x2, y: the names of its two input columns and of its target.
        noise: the standard deviation added to each coordinate, or to the values of a function.
        points: the number of points; half train, half test.
        layers: the hidden layers.
        optimizer: sgd, momentum or adam.
        rate: the learning rate.
        batch: the number of examples in a batch.
        decay: the weight decay.
        seed: the random seed.
        pace: the most steps in a second; 0 is as many as the machine can do.
        paused: whether the page waits for "Train".

    Raises:
        BadInput: a setting is out of its limits.
        UnknownActivation, BadFormula, BadParam: an activation cannot be used; the message names the layer.
    """

    data: str = "circle"
    f: str = "sin(x)"
    table: str = ""
    x1: str = ""
    x2: str = ""
    y: str = ""
    noise: float = 0.2
    points: int = 400
    layers: tuple[Layer, ...] = field(default_factory=lambda: (Layer(), Layer()))
    optimizer: str = "sgd"
    rate: float = 0.1
    batch: int = 16
    decay: float = 0.0
    seed: int = 0
    pace: int = 300
    paused: bool = False

    def __post_init__(self) -> None:
        _one_of("data", self.data, DATA)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        for name, (low, high) in LIMITS.items():
            _within(name, getattr(self, name), low, high)
        _within("layers", len(self.layers), 0, MOST_LAYERS)
        if self.data == "function":
            activation_of(self.f)
        if self.data == "table" and not (self.table and self.x1 and self.x2 and self.y):
            raise BadInput("a table must be chosen with two input columns and a target (table, x1, x2, y).")
        if self.batch < 2 and any(layer.normalization == "batch" for layer in self.layers):
            raise BadInput(f"batch must be 2 or more with batch normalization; got {self.batch}.")

    @property
    def inputs(self) -> int:
        """The number of inputs of the network."""
        return 1 if self.data == "function" else 2


LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "noise": (0, 5),
        "points": (20, 2000),
        "rate": (1e-6, 1000),
        "batch": (1, 256),
        "decay": (0, 1),
        "seed": (0, 2**31 - 1),
        "pace": (0, 10_000),
    }
)
"""The least and the largest value of each number."""


def parse(query: str) -> State:
    """Return the state of a query string; what it leaves out has its default.

    Raises:
        BadInput: a setting is unknown, not a number or out of its limits.
        UnknownActivation, BadFormula, BadParam: an activation cannot be used.

    Example:
        >>> parse("data=xor&layer=4:none:default:relu").layers
        (Layer(width=4, activation='relu', normalization='none', initialization='default'),)
    """
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    found: dict[str, Any] = {}
    for name, text in pairs:
        if name == "layer":
            found.setdefault("layers", []).append(text)
        elif name in _READERS:
            found[name] = _READERS[name](name, text)
        else:
            raise BadInput(f"playground: '{shortened(name)}' is not a setting. Use {', '.join(_READERS)}, layer.")
    if "layers" in found:
        texts = [] if found["layers"] == [""] else found["layers"]
        found["layers"] = tuple(_layer(text, number) for number, text in enumerate(texts, start=1))
    return State(**found)


def query_of(state: State) -> str:
    """Return the state as a query string, every setting in it; the text of a formula stays readable.

    Example:
        >>> parse(query_of(State(layers=()))) == State(layers=())
        True
    """
    pairs: list[tuple[str, str]] = []
    for each in fields(state):
        value = getattr(state, each.name)
        if each.name == "layers":
            pairs += [("layer", layer.text) for layer in value] or [("layer", "")]
        elif isinstance(value, bool):
            pairs += [(each.name, "1")] if value else []
        elif (each.name in {"table", "x1", "x2", "y"} and state.data != "table") or (
            each.name == "f" and state.data != "function"
        ):
            continue
        else:
            pairs.append((each.name, repr(value) if isinstance(value, float) else str(value)))
    return urlencode(pairs, safe=":*()^/,", quote_via=quote)


@lru_cache(maxsize=256)
def activation_of(text: str) -> Activation:
    """Return the activation of a name or a formula; `x*sigmoid(beta*x); beta=1.5` sets a formula's parameters.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: it has two inputs, acts along an axis, or draws random numbers.
    """
    formula, semicolon, rest = text.partition(";")
    params = _params(rest) if semicolon else {}
    act = get(formula.strip(), **params)
    if not isinstance(act, Activation):
        raise BadInput(f"{act.name} acts on a whole layer; an activation of each unit alone is required, such as tanh.")
    if len(act.inputs) != 1:
        raise BadInput(f"{act.name} has two inputs; an activation of one input is required, such as silu.")
    if act.samplers:
        raise BadInput(f"{act.name} draws random numbers; an activation that does not is required, such as leaky_relu.")
    return act


def _params(text: str) -> dict[str, float]:
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (part.strip() for part in pair.partition("="))
        try:
            found[name] = float(value)
        except ValueError as error:
            raise BadParam(
                f"parameters follow a semicolon as 'name=number', such as 'x*sigmoid(beta*x); beta=1.5'; "
                f"got '{shortened(pair)}'."
            ) from error
    return found


def _layer(text: str, number: int) -> Layer:
    parts = text.split(":", 3)
    if len(parts) != 4:
        raise BadInput(
            f"layer {number} must be width:normalization:initialization:activation, such as 8:none:default:tanh; "
            f"got '{shortened(text)}'."
        )
    width, normalization, initialization, activation = parts
    try:
        return Layer(_whole("width", width), activation.strip(), normalization, initialization)
    except BadFormula as error:
        raise BadFormula(f"layer {number}: {error}") from error
    except BadParam as error:
        raise BadParam(f"layer {number}: {error}") from error
    except ActlabError as error:
        raise BadInput(f"layer {number}: {error}") from error


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(f"{name} must be a whole number; got '{shortened(text)}'.") from error


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadInput(f"{name} must be a number; got '{shortened(text)}'.") from error


def _switch(name: str, text: str) -> bool:
    if text not in {"0", "1"}:
        raise BadInput(f"{name} must be 0 or 1; got '{shortened(text)}'.")
    return text == "1"


def _text(name: str, text: str) -> str:
    if len(text) > 1000:
        raise BadInput(f"{name} must have 1,000 characters at most; got {len(text)}.")
    return text.strip()


_READERS: Mapping[str, Callable[[str, str], Any]] = MappingProxyType(
    {
        each.name: {"int": _whole, "float": _number, "bool": _switch, "str": _text}[str(each.type)]
        for each in fields(State)
        if each.name != "layers"
    }
)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise BadInput(f"{name} must be from {low:,.7g} to {high:,.10g}; got {value:.10g}.")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadInput(f"{name} must be one of {', '.join(known)}; got '{shortened(value)}'.")
