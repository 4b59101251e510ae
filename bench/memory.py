"""What does a training step save for backward, as it is and with few-bit memory? And how long does a step table take?

Bytes are counted, not timed: one number a choice. `compiled` rows are under torch.compile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain

import few_bit
import torch
from harness import Options, Percentiles, Row, options, record, row, seconds_of
from torch import Tensor, nn

from actlab import Task
from actlab.catalog.index import get
from actlab.kernels import step_table
from actlab.measure.memory.summary import memory
from actlab.nn.few_bit import few_bit as few_bit_of
from actlab.nn.operator import apply, pointwise_of


class LastCharacter(nn.Module):
    """A model of the next character after the last one."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.text = few_bit.Transformer(65, activation)

    def forward(self, text: Tensor) -> Tensor:
        out: Tensor = self.text(text)[:, -1]
        return out


def perceptron(activation: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), activation(), nn.Linear(256, 256), activation(), nn.Linear(256, 10))


def task(network: Callable[..., nn.Module], inputs: Tensor, *, activation: str, classes: int) -> Task:
    """Make a task of one batch of 64 rows for the network; the targets do not matter here."""
    targets = torch.arange(len(inputs)) % classes
    return Task("memory", network, train=(inputs, targets), activation=activation, batch_size=64)


def tasks() -> Mapping[str, Task]:
    torch.manual_seed(0)
    images, text = torch.randn(320, 64), torch.randint(65, (320, few_bit.CONTEXT))
    return {
        "perceptron with relu": task(perceptron, images, activation="relu", classes=10),
        "perceptron with leaky_relu": task(perceptron, images, activation="leaky_relu", classes=10),
        "perceptron with gelu": task(perceptron, images, activation="gelu", classes=10),
        "cnn with silu": task(few_bit.convolutions, images, activation="silu", classes=10),
        "transformer with gelu": task(LastCharacter, text, activation="gelu", classes=65),
    }


def measured(asked: Options) -> Iterator[Row]:
    chosen = dict(list(tasks().items())[:1]) if asked.quick else tasks()
    for name, each in chosen.items():
        print(name, file=sys.stderr)
        found = memory(each, compiled=not asked.quick)
        for choice in found.choices:
            yield row_of(name, choice.choice, choice.kept_bytes, before=found.choices[0].kept_bytes)
            if choice.compiled_bytes is not None:
                before = found.choices[0].compiled_bytes or 0
                yield row_of(name, f"{choice.choice}, compiled", choice.compiled_bytes, before=before)
    for bits in (1, 4):
        for formula in ("gelu", "x*sigmoid(1.3*x)"):
            taken = seconds_of(lambda: step_table(formula, bits), repeats=asked.repeats(15), warm_up=1)  # noqa: B023  called at once
            yield row("step table", f"{formula}, {few_bit.counted(bits)}", unit="s", measured=taken, dtype="float64")


def timed(asked: Options) -> Iterator[Row]:
    """Time forward and backward at a million elements, with the input saved and with bits of it saved."""
    x = torch.randn(1 << 20, requires_grad=True)
    dy = torch.ones_like(x)
    torch.set_num_threads(1)
    for name in ("gelu", "mish", "leaky_relu", "hard_tanh", "relu"):
        contenders: dict[str, Callable[[Tensor], Tensor]] = {"input kept": partial(apply, pointwise_of(get(name)))}
        for bits in range(1, 5):
            lean = few_bit_of(name, bits=bits)
            contenders[few_bit.counted(lean.bits)] = lean
        for contender, function in contenders.items():
            taken = seconds_of(lambda: torch.autograd.grad(function(x), x, dy), repeats=asked.repeats(60))  # noqa: B023  called at once
            yield row(
                "time of a step",
                f"{name}, {contender}",
                unit="s",
                measured=taken,
                dtype="float32",
                shape=str(x.numel()),
            )


def row_of(name: str, contender: str, count: int, *, before: int) -> Row:
    spread = Percentiles(float(count), float(count), float(count))
    return row(
        name, contender, unit="bytes", measured=spread, dtype="float32", note=f"{count / before:.3f} of as it is"
    )


if __name__ == "__main__":
    asked = options(__doc__ or "")
    record("memory", chain(measured(asked), timed(asked)), asked=asked)
