"""A playground as one PyTorch program without actlab, which makes the same numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from actlab.errors import shortened, visible
from actlab.formula.activation import Activation
from actlab.lower.pytorch_source import learning_module
from actlab.lower.standalone import learned_params
from actlab.lower.straight_line import safe_name
from actlab.train.playground import plain
from actlab.train.playground.activations import own_module, program_named
from actlab.train.playground.points import EDGE, points_of
from actlab.train.playground.state import Layer, State, activation_of, query_of
from actlab.train.playground.table import Table
from actlab.train.playground.training import EVERY, initializations

_IMPORTS = """\
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional"""


def program_of(state: State, steps: int, *, table: Table | None = None) -> str:
    """Return the text of a program that trains as the playground does and prints the same losses.

    Raises:
        CannotLower: PyTorch cannot spell a formula.
        BadInput: the data cannot be used.
    """
    names = _names(state)
    functions = dict.fromkeys(_blocks(names))
    layers = [line for number, layer in enumerate(state.layers) for line in _layer_lines(state, number, layer, names)]
    widths = [state.inputs, *(layer.width for layer in state.layers)]
    settings = "\n".join(f"    ({how!r}, {factor!r})," for how, factor in initializations(state))
    is_classes = points_of(state, table).is_classes
    loss = "binary_cross_entropy_with_logits" if is_classes else "mse_loss"
    shared = [plain.stream, plain.uniform, plain.normal, plain.polar, plain.classes]
    used: list[Any] = [*shared, *_draws(state), plain.halves, plain.initialize, plain.batches]
    plain_text = [inspect.getsource(each).rstrip() for each in used]
    main = f"""\
torch.set_num_threads(1)
SEED = {state.seed}

{_data_lines(state, names, table)}

model = nn.Sequential(
{"".join(f"    {line},{chr(10)}" for line in layers)}    nn.Linear({widths[-1]}, 1),
).double()
INITIALIZATIONS = [  # of each linear layer: how, and the gain of the activation before it
{settings}
]
weights = stream(SEED, 1)
linears = [each for each in model if isinstance(each, nn.Linear)]
for linear, (how, gain) in zip(linears, INITIALIZATIONS, strict=True):
    initialize(linear, how, gain, weights)

optimizer = {_optimizer(state)}
loss_of = functional.{loss}


def log(step: int) -> None:
    model.eval()
    with torch.no_grad():
        train, test = (loss_of(model(x).squeeze(1), y).item() for x, y in ((train_x, train_y), (test_x, test_y)))
    model.train()
    print(f"{{step:6d}}  training loss {{train!r}}  test loss {{test!r}}")


log(0)
order = batches(len(train_x), {state.batch}, stream(SEED, 2))
for step in range(1, {steps} + 1):
    batch = next(order)
    optimizer.zero_grad()
    loss_of(model(train_x[batch]).squeeze(1), train_y[batch]).backward()
    optimizer.step()
    if step % {EVERY} == 0:
        log(step)"""
    head = (
        f'"""A playground of actlab as a program of its own: python playground.py\n\n/playground?{query_of(state)}\n"""'
    )
    return "\n\n\n".join([f"{head}\n\n{_IMPORTS}", *plain_text, *functions, main]) + "\n"


def _names(state: State) -> dict[Activation, str]:
    """Return a name for the function of each activation that has no exact module of PyTorch."""
    names: dict[Activation, str] = {}
    texts = [layer.activation for layer in state.layers]
    wanted = [act for text in texts if _module(act := activation_of(text)) is None]
    if state.data == "function":
        names[activation_of(state.f)] = "target"
    for act in dict.fromkeys(wanted):
        name = safe_name(act.name) if act.name.isidentifier() else "activation"
        taken = [other for other in names.values() if other.rstrip("_0123456789") == name]
        names.setdefault(act, f"{name}_{len(taken) + 1}" if taken else name)
    return names


def _module(act: Activation) -> str | None:
    own = own_module(act)
    return own and f"nn.{own[0]}({', '.join(f'{name}={value!r}' for name, value in own[1].items())})"


def _blocks(names: dict[Activation, str]) -> list[str]:
    """Return the functions of the activations, with the helpers that they call, and a module for each."""
    found = []
    for act, name in names.items():
        function, learned = program_named(act, name), learned_params(act)
        _, *blocks = function.source.strip().split("\n\n\n")
        found += blocks
        if learned and name != "target":
            found.append(learning_module(function, learned, summary=act.summary or act.label))
        elif name != "target":
            found.append(_MODULE.format(title=_title(name), name=name))
    return found


_MODULE = """\
class {title}(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return {name}(x)"""


def _title(name: str) -> str:
    """Return the name of the module of a function, as `learning_module` chooses it."""
    title = "".join(part.capitalize() for part in name.split("_"))
    return title if title != name else f"{title}Module"


def _layer_lines(state: State, number: int, layer: Layer, names: dict[Activation, str]) -> list[str]:
    before = state.layers[number - 1].width if number else state.inputs
    act = activation_of(layer.activation)
    normal = {"batch": "BatchNorm1d", "layer": "LayerNorm"}.get(layer.normalization)
    return [
        f"nn.Linear({before}, {layer.width})",
        *([f"nn.{normal}({layer.width})"] if normal else []),
        _module(act) or f"{_title(names[act])}()",
    ]


def _draws(state: State) -> Sequence[Callable[..., Any]]:
    return [] if state.data in {"function", "table"} else [getattr(plain, state.data)]


def _data_lines(state: State, names: dict[Activation, str], table: Table | None) -> str:
    parts = "train_x, train_y, test_x, test_y"
    if state.data == "table":
        points = points_of(state, table)
        named = zip(parts.split(", "), (points.train_x, points.train_y, points.test_x, points.test_y), strict=True)
        about = f"# {visible(shortened(', '.join(points.names), limit=90))}: rows of the table, standardized\n"
        return about + "\n".join(f"{name} = torch.tensor({_list(value)}).double()" for name, value in named)
    if state.data == "function":
        return (
            f"data = stream(SEED, 0)\n"
            f"x = uniform(-{EDGE}, {EDGE}, {state.points}, data)\n"
            f"y = {names[activation_of(state.f)]}(x) + {state.noise!r} * normal({state.points}, generator=data)\n"
            f"{parts} = halves(x[:, None], y, data)"
        )
    return (
        f"data = stream(SEED, 0)\n"
        f"points, targets = {state.data}({state.points}, data)\n"
        f"points = points + {state.noise!r} * normal({state.points}, 2, generator=data)\n"
        f"{parts} = halves(points, targets, data)"
    )


def _list(values: Tensor) -> str:
    return repr(values.tolist())


def _optimizer(state: State) -> str:
    if state.optimizer == "adam":
        return f"torch.optim.Adam(model.parameters(), {state.rate!r}, weight_decay={state.decay!r})"
    momentum = 0.9 if state.optimizer == "momentum" else 0.0
    return f"torch.optim.SGD(model.parameters(), {state.rate!r}, momentum={momentum}, weight_decay={state.decay!r})"
