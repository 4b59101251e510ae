"""A program with known truth: what it trains, and what is wrong with it, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from corpus.optimisers import adam

Batch = tuple[Any, Any]
ADAM = adam()


@dataclass(frozen=True)
class Case:
    """What one program trains.

    Attributes:
        model: with random weights.
        data: the inputs (one tensor, or a tuple of them) and targets of a training step, by the step's number.
        loss: of what the model gives and the targets.
        optimiser: over the model's parameters.
        loop: a training loop of its own; called with the case and a function that is told each step's loss.
    """

    model: nn.Module
    data: Callable[[int], Batch]
    loss: Callable[[Any, Any], Tensor]
    optimiser: Callable[[nn.Module], Optimizer] = ADAM
    loop: Callable[[Case, Callable[[Tensor], None]], None] | None = None


@dataclass(frozen=True)
class Fault:
    """What is wrong with a program.

    Attributes:
        ids: the findings that name it; any of them is right.
        paths: the modules at which it may rightly be placed; None where it has no one place.
    """

    ids: frozenset[str]
    paths: tuple[str, ...] | None


@dataclass(frozen=True)
class Program:
    """A program with known truth.

    Attributes:
        name: for `--only`.
        group: A, B, C or E.
        sentence: what is wrong with it, or why it is right though it may look wrong.
        build: makes the case.
        file: where it stands; a line there that ends in `# fault: name` is the line at fault.
        fault: None for a correct program.
        steps: training steps that show what it does.
    """

    name: str
    group: str
    sentence: str
    build: Callable[[], Case]
    file: str
    fault: Fault | None
    steps: int = 40

    @property
    def lines(self) -> frozenset[int]:
        """The lines at fault; none where the activation is called by PyTorch's own code alone."""
        mark = f"# fault: {self.name}"
        text = Path(self.file).read_text(encoding="utf-8").splitlines()
        return frozenset(number for number, line in enumerate(text, start=1) if line.endswith(mark))


@dataclass(frozen=True)
class Twins:
    """The same program twice: with a fault, and without."""

    faulty: Program
    right: Program


def clean(sentence: str, *, group: str = "C", steps: int = 40) -> Callable[[Callable[[], Case]], Program]:
    """A correct program from the function that makes its case."""

    def program(build: Callable[[], Case]) -> Program:
        return Program(build.__name__, group, sentence, build, build.__code__.co_filename, None, steps)

    return program


def twins(
    sentence: str, *ids: str, paths: tuple[str, ...] | None = None, group: str = "B", steps: int = 40
) -> Callable[[Callable[[bool], Case]], Twins]:
    """A faulty program and its correct twin from a function that makes either, as it is told."""

    def pair(build: Callable[[bool], Case]) -> Twins:
        name, file = build.__name__, build.__code__.co_filename
        fault = Fault(frozenset(ids), paths)
        return Twins(
            Program(name, group, sentence, partial(build, True), file, fault, steps),
            Program(f"{name}_right", group, f"Without this: {sentence}", partial(build, False), file, None, steps),
        )

    return pair
