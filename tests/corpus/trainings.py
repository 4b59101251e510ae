"""Whole training programs as texts: correct ones, and the same with one mistake, for the benchmark of repairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

HEAD = """import torch
from torch import nn
from torch.nn import functional as F
from sklearn import datasets
from sklearn.preprocessing import scale

from actlab import Task

"""


@final
@dataclass(frozen=True)
class Program:
    """A program as a text; `make_task` returns its task.

    Attributes:
        name: of the network, and of the mistake after a slash.
        text: the program.
        kind: the kind of mistake; empty for a correct program.
    """

    name: str
    text: str
    kind: str = ""


def _task(name: str, data: str, rest: str) -> str:
    return f'\n\ndef make_task():\n    {data}\n    return Task("{name}", net, {rest})\n'


_DIGITS = "x, y = datasets.load_digits(return_X_y=True)\n    x = x / 16"
_IMAGES = "x, y = datasets.load_digits(return_X_y=True)\n    x = x.reshape(-1, 1, 8, 8) / 16"
_LINES = "x, y = datasets.load_digits(return_X_y=True)\n    x = x.reshape(-1, 8, 8) / 16"
_WINE = "x, y = datasets.load_wine(return_X_y=True)\n    x = scale(x)"
_CANCER = "x, y = datasets.load_breast_cancer(return_X_y=True)\n    x, y = scale(x), y[:, None].astype('float32')"
_DIABETES = "x, y = datasets.load_diabetes(return_X_y=True)\n    x, y = scale(x), (y[:, None] - 152) / 77"
_MOONS = "x, y = datasets.make_moons(800, noise=0.2, random_state=0)"
_FRIEDMAN = "x, y = datasets.make_friedman1(800, random_state=0)\n    x, y = 2 * x - 1, (y[:, None] - 14) / 5"

_CLASSES = "train=(x, y), loss=nn.CrossEntropyLoss(), epochs={epochs}, batch_size=64, rates=({low}, {high})"
_BITS = "train=(x, y), loss=nn.BCEWithLogitsLoss(), epochs={epochs}, batch_size=64, rates=({low}, {high})"
_NUMBERS = "train=(x, y), loss=nn.MSELoss(), epochs={epochs}, batch_size=64, rates=({low}, {high})"


def _settings(text: str, epochs: int, low: str = "1e-3", high: str = "4e-3") -> str:
    return text.format(epochs=epochs, low=low, high=high)


def _sequential(sizes: list[int], act: str) -> str:
    lines = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        lines += [f"        nn.Linear({before}, {after}),", f"        {act},"]
    return "def net():\n    return nn.Sequential(\n" + "\n".join(lines[:-1]) + "\n    )\n"


_DEEP = """def net():
    layers = [nn.Linear(64, 32), nn.Tanh()]
    for _ in range(5):
        layers += [nn.Linear(32, 32), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(32, 10))
"""

_CLASS = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 48)
        self.fc2 = nn.Linear(48, 48)
        self.fc3 = nn.Linear(48, 10)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x


def net():
    return Net()
"""

_CNN = """def net():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
"""

_READER = """class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.place = nn.Parameter(0.1 * torch.randn(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.hidden = nn.Linear(32, 32)
        self.act = nn.GELU()
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        x = self.encoder(self.embed(x) + self.place).mean(1)
        x = self.out(self.act(self.hidden(x)))
        return x


def net():
    return Reader()
"""

_RESIDUAL = """class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(48, 48)
        self.act = nn.ReLU()
        self.two = nn.Linear(48, 48)

    def forward(self, x):
        return x + self.two(self.act(self.one(x)))


def net():
    return nn.Sequential(
        nn.Linear(64, 48),
        Block(),
        Block(),
        nn.Linear(48, 10),
    )
"""

BASES = (
    Program(
        "plain",
        HEAD + _sequential([64, 48, 48, 10], "nn.ReLU()") + _task("plain", _DIGITS, _settings(_CLASSES, 10)),
    ),
    Program("deep", HEAD + _DEEP + _task("deep", _DIGITS, _settings(_CLASSES, 14))),
    Program("class", HEAD + _CLASS + _task("class", _DIGITS, _settings(_CLASSES, 10))),
    Program("cnn", HEAD + _CNN + _task("cnn", _IMAGES, _settings(_CLASSES, 8, "2e-3", "8e-3"))),
    Program(
        "wine", HEAD + _sequential([13, 24, 24, 3], "nn.Tanh()") + _task("wine", _WINE, _settings(_CLASSES, 20, "2e-3", "8e-3"))
    ),
    Program(
        "cancer", HEAD + _sequential([30, 32, 32, 1], "nn.ReLU()") + _task("cancer", _CANCER, _settings(_BITS, 12))
    ),
    Program(
        "diabetes",
        HEAD + _sequential([10, 32, 32, 1], "nn.ReLU()") + _task("diabetes", _DIABETES, _settings(_NUMBERS, 12)),
    ),
    Program(
        "friedman",
        HEAD + _sequential([10, 48, 48, 1], "nn.GELU()") + _task("friedman", _FRIEDMAN, _settings(_NUMBERS, 20, "2e-3", "8e-3")),
    ),
    Program(
        "moons",
        HEAD + _sequential([2, 24, 24, 2], "nn.ELU()") + _task("moons", _MOONS, _settings(_CLASSES, 20, "3e-3", "2e-2")),
    ),
    Program("reader", HEAD + _READER + _task("reader", _LINES, _settings(_CLASSES, 8, "1e-3", "4e-3"))),
    Program("residual", HEAD + _RESIDUAL + _task("residual", _DIGITS, _settings(_CLASSES, 10))),
)  # fmt: skip

_ACT = r"nn\.(?:ReLU|Tanh|GELU|ELU)\(\)"
_CALL = r"F\.relu\("


def _acts(new: str, called: str) -> Callable[[str], str]:
    """Replace every hidden activation."""
    return lambda text: re.sub(_CALL, called, re.sub(_ACT, new, text))


def _without_acts(text: str) -> str:
    text = re.sub(rf"\n        {_ACT},", "", text)
    text = re.sub(rf", {_ACT}", "", text)
    text = re.sub(r"F\.relu\((self\.\w+\(x\))\)", r"\1", text)
    return re.sub(rf"= {_ACT}", "= nn.Identity()", text)


def _output(module: str, call: str) -> Callable[[str], str]:
    """Add an activation behind the last layer."""

    def changed(text: str) -> str:
        if "*layers, " in text:
            return re.sub(r"(return nn\.Sequential\(\*layers, nn\.Linear\(\d+, \d+\))\)", rf"\1, {module})", text)
        if re.search(r"self\.(?:fc3|out)\(", text):
            new = call.replace("*", r"\1")
            return re.sub(
                r"        x = (self\.(?:fc3|out)\(.*\))\n        return x", f"        x = {new}\n        return x", text
            )
        return re.sub(r"(        nn\.Linear\(\d+, \d+\),)\n    \)\n", rf"\1\n        {module},\n    )\n", text)

    return changed


_INIT = """    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            {statement}
    return model
"""


def _start(statement: str) -> Callable[[str], str]:
    """Initialize the layers by a statement, at the end of `net`."""

    def changed(text: str) -> str:
        head, mark, tail = text.partition("\n\ndef make_task")
        place = head.rindex("    return ", head.index("def net()"))
        body = head[place:].replace("    return ", "    model = ", 1)
        return head[:place] + body.rstrip("\n") + "\n" + _INIT.format(statement=statement) + mark + tail

    return changed


def _rates(factor: float) -> Callable[[str], str]:
    def changed(text: str) -> str:
        return re.sub(
            r"rates=\(([^,)]+), ([^,)]+)\)",
            lambda found: f"rates=({float(found[1]) * factor:g}, {float(found[2]) * factor:g})",
            text,
        )

    return changed


def _loss(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(f"loss=nn.{old}()", f"loss={new}")


def _data(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


MISTAKES: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("sigmoid", "activation changed", _acts("nn.Sigmoid()", "F.sigmoid(")),
    ("hard-shrink", "activation changed", _acts("nn.Hardshrink()", "F.hardshrink(")),
    ("softmax-hidden", "activation changed", _acts("nn.Softmax(dim=-1)", "torch.softmax(dim=-1, input=")),
    ("relu6-low", "activation changed", _acts("nn.Hardtanh(0.0, 0.05)", "F.hardtanh(min_val=0.0, max_val=0.05, input=")),
    ("threshold", "activation changed", _acts("nn.Threshold(2.0, 0.0)", "F.threshold(threshold=2.0, value=0.0, input=")),
    ("leaky-true", "activation changed", _acts("nn.LeakyReLU(True)", "F.leaky_relu(negative_slope=True, input=")),
    ("no-activation", "activation removed", _without_acts),
    ("softmax-out", "activation added", _output("nn.Softmax(dim=-1)", "F.softmax(*, dim=-1)")),
    ("sigmoid-out", "activation added", _output("nn.Sigmoid()", "torch.sigmoid(*)")),
    ("relu-out", "activation added", _output("nn.ReLU()", "F.relu(*)")),
    ("tanh-out", "activation added", _output("nn.Tanh()", "torch.tanh(*)")),
    ("softmax-batch", "activation added", _output("nn.Softmax(dim=0)", "F.softmax(*, dim=0)")),
    ("tiny-weights", "initialization", _start("nn.init.normal_(layer.weight, std=0.003)")),
    ("small-weights", "initialization", _start("nn.init.normal_(layer.weight, std=0.01)")),
    ("huge-weights", "initialization", _start("nn.init.normal_(layer.weight, std=3.0)")),
    ("big-weights", "initialization", _start("nn.init.normal_(layer.weight, std=1.0)")),
    ("zero-weights", "initialization", _start("nn.init.zeros_(layer.weight)")),
    ("constant-weights", "initialization", _start("nn.init.constant_(layer.weight, 0.05)")),
    ("dead-bias", "initialization", _start("nn.init.constant_(layer.bias, -5.0)")),
    ("high-bias", "initialization", _start("nn.init.constant_(layer.bias, 8.0)")),
    ("rate-100", "learning rate", _rates(100.0)),
    ("rate-30", "learning rate", _rates(30.0)),
    ("rate-1000", "learning rate", _rates(1000.0)),
    ("rate-low", "learning rate", _rates(1 / 100)),
    ("rate-lower", "learning rate", _rates(1 / 1000)),
    ("nll", "loss", _loss("CrossEntropyLoss", "nn.NLLLoss()")),
    ("margin", "loss", _loss("CrossEntropyLoss", "nn.MultiMarginLoss(margin=0.01)")),
    ("raw-pixels", "data", _data("/ 16", "* 16")),
    ("raw-table", "data", _data("x = scale(x)", "x = x * 10")),
    ("raw-cancer", "data", _data("scale(x), y[:, None]", "x * 10, y[:, None]")),
)  # fmt: skip


def mutants() -> Iterator[Program]:
    """Yield every base network with every mistake that changes its text, without repeats."""
    known: set[str] = set()
    for base in BASES:
        for name, kind, mistake in MISTAKES:
            text = mistake(base.text)
            if text != base.text and text not in known:
                known.add(text)
                yield Program(f"{base.name}/{name}", text, kind)


def correct() -> Iterator[Program]:
    """Yield correct programs: the base networks, also with other activations that are as usual."""
    yield from BASES
    usual = (("nn.SiLU()", "F.silu("), ("nn.LeakyReLU(0.1)", "F.leaky_relu(negative_slope=0.1, input="), ("nn.Mish()", "F.mish("))  # fmt: skip
    for module, call in usual:
        for base in BASES:
            text = _acts(module, call)(base.text)
            yield Program(f"{base.name}/{module}", text)
