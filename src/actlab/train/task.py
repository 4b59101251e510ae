"""What is to be learned: a model, data, a loss and a metric, as one frozen value that is checked when built."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.deprecation import renamed_keyword, warn_renamed
from actlab.errors import BadTask
from actlab.train.examples import Examples, Rows, article, examples, split
from actlab.train.factory import FEW, Build, build, check_fit, outputs_of, settled_kind, takes_activation
from actlab.train.kinds import KINDS, Kind, Loss, Metric

# Fused: one call a step instead of ten for every parameter; a step of a small network then takes half the time.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "momentum": partial(torch.optim.SGD, momentum=0.9, fused=True),
}


@final
@dataclass(frozen=True, eq=False, init=False)
class Task:
    """Something to be learned, checked when built.

    Args:
        name: a short name.
        model: gives a fresh model: either without an argument (the activation modules inside are then replaced)
            or with one, a function that gives activation modules (`lambda act: nn.Sequential(..., act(), ...)`).
        train: inputs and targets, as tensors or arrays, one row each.
        valid: likewise, for choosing a learning rate; without it, a fifth of the rows is split off `train`.
        test: likewise, for the verdict alone; without it, a fifth of the rows is split off `train`.
        kind: "classification" (classes from 0), "binary" (one logit a row), "regression"; by default by the type
            of the targets and the shape of the model's output.
        sentence: what the task is, in a line.
        activation: the name of the control where `model` takes the activation; elsewhere it is found in the model.
        loss: a function of outputs and targets; by default the kind's: cross entropy or the mean squared error.
        epochs: how often every row is seen.
        batch_size: rows a step.
        optimizer: "adam", "adamw", "sgd" or "momentum" (sgd with momentum 0.9).
        rates: the lowest and the highest learning rate to be tried.
        target_unit: what one unit of the targets is worth in reported units, where a regression's were scaled.
        notes: what was decided on the way to this task and should be said aloud.
        origin: how another process builds the same task; set by what builds tasks from names and files.

    Raises:
        BadTask: something does not fit; the message says what was found.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> def model(activation):
        ...     return nn.Sequential(nn.Linear(4, 16), activation(), nn.Linear(16, 3))
        >>> task = Task("iris", model, train=load_iris(return_X_y=True))
        >>> task.kind.name, len(task.train), len(task.valid), len(task.test)
        ('classification', 90, 30, 30)
    """

    name: str
    model: Callable[..., nn.Module]
    train: Examples
    valid: Examples
    test: Examples
    kind: Kind
    sentence: str
    activation: str
    loss: Loss
    epochs: int
    batch_size: int
    optimizer: str
    rates: tuple[float, float]
    target_unit: float
    notes: tuple[str, ...]
    origin: tuple[str, ...]

    # The names are those of the fields, so that dataclasses.replace gives a checked copy.
    @renamed_keyword("optimiser", "optimizer")
    def __init__(
        self,
        name: str,
        model: Callable[..., nn.Module],
        *,
        train: Rows,
        valid: Rows | None = None,
        test: Rows | None = None,
        kind: str | Kind = "",
        sentence: str = "",
        activation: str = "relu",
        loss: Loss | None = None,
        epochs: int = 30,
        batch_size: int = 64,
        optimizer: str = "adam",
        rates: tuple[float, float] = (3e-4, 3e-2),
        target_unit: float = 1.0,
        notes: tuple[str, ...] = (),
        origin: tuple[str, ...] = (),
    ) -> None:
        self._set(name=name, model=model, sentence=sentence or name, activation=activation)
        self._set(epochs=epochs, batch_size=batch_size, optimizer=optimizer, rates=tuple(rates))
        self._set(target_unit=target_unit, notes=tuple(notes), origin=tuple(origin))
        kind = kind.name if isinstance(kind, Kind) else kind
        self._check_recipe(kind)
        given = {"train": train, "valid": valid, "test": test}
        parts = {
            part: examples(rows, part=f"task '{name}': {part}") for part, rows in given.items() if rows is not None
        }
        self._set(**split(_as_asked(parts, kind=kind)))
        self._settle(kind, loss)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def metric(self) -> Metric:
        """What the task is judged by."""
        return self.kind.metric

    @property
    def optimiser(self) -> str:
        """The old name of `optimizer`; deprecated."""
        warn_renamed("Task.optimiser", "Task.optimizer")
        return self.optimizer

    @property
    def takes_activation(self) -> bool:
        """Whether `model` is called with a function that gives activation modules."""
        return takes_activation(self.model)

    @property
    def classes(self) -> int:
        """How many classes there are; 0 for a regression."""
        parts = (self.train.targets, self.valid.targets, self.test.targets)
        return 0 if parts[0].is_floating_point() else 1 + int(max(part.max() for part in parts))

    @property
    def steps(self) -> int:
        """Training steps of one trial."""
        return self.epochs * -(-len(self.train) // self.batch_size)

    def build(self, activation: Build | None = None) -> nn.Module:
        """A fresh model, its factory handed `activation` where it takes one.

        Raises:
            BadTask: the factory raised, or gave something else than a module.
        """
        return build(self.model, activation=activation, task=self.name)

    def score(self, outputs: Tensor, part: Examples) -> float:
        """The metric of these outputs for a part of the data."""
        return self.kind.score(outputs, part.targets, self.target_unit)

    def baseline(self, part: Examples) -> float:
        """The metric of the best constant answer: the training part's commonest class, or its mean."""
        return self.kind.baseline(self.train.targets, part.targets, self.target_unit)

    def check_model(self, model: nn.Module) -> None:
        """Nothing, once a few rows have passed through the model, the loss and back.

        Raises:
            BadTask: one of them raised, or the output does not fit the loss.
        """
        few = self.train.first(FEW)
        outputs = outputs_of(model, few, task=self.name)
        check_fit(outputs, few, kind=self.kind, loss=self.loss, classes=self.classes, task=self.name)

    def fingerprint(self) -> str:
        """What tells this task from another: a digest of its data, recipe and model."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            for tensor in (part.inputs, part.targets):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().tobytes())
        model = self.build(nn.Identity if self.takes_activation else None)
        shapes = [(name, tuple(value.shape)) for name, value in model.named_parameters()]
        loss = getattr(self.loss, "__qualname__", type(self.loss).__qualname__)  # a repr could hold an address
        recipe = (self.name, self.kind.name, loss, self.epochs, self.batch_size, self.optimizer, self.rates)
        digest.update(repr((recipe, self.target_unit, str(model), shapes)).encode())
        return digest.hexdigest()

    def _check_recipe(self, kind: str) -> None:
        def refuse(fault: str) -> BadTask:
            return BadTask(f"task '{self.name}': {fault}")

        if not callable(self.model):
            raise refuse(f"model must be a function that gives a fresh model; found {article(self.model)}.")
        for what, number in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if not isinstance(number, int) or number < 1:
                raise refuse(f"{what} must be a whole number from 1; got {number!r}.")
        if len(self.rates) != 2 or not 0 < self.rates[0] <= self.rates[1] < float("inf"):
            raise refuse(f"rates must be two positive numbers, the lower first; got {self.rates}.")
        if self.optimizer not in OPTIMIZERS:
            raise refuse(f"no optimizer is named '{self.optimizer}'; there are {', '.join(OPTIMIZERS)}.")
        if kind and kind not in KINDS:
            raise refuse(f"no kind is named '{kind}'; there are {', '.join(KINDS)}.")

    def _settle(self, kind: str, loss: Loss | None) -> None:
        """Fix the kind and the loss, and try the model once; the caller's random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self.build(nn.Identity if self.takes_activation else None)
            few = self.train.first(FEW)
            outputs = outputs_of(model, few, task=self.name)
            settled = settled_kind(kind, outputs=outputs, few=few, classes=self.classes)
            self._set(kind=settled, loss=loss or settled.loss)
            _check_targets(self)
            check_fit(outputs, few, kind=settled, loss=self.loss, classes=self.classes, task=self.name)


def _as_asked(parts: dict[str, Examples], *, kind: str) -> dict[str, Examples]:
    """The parts, whole-numbered targets made real where a regression was asked for."""
    if kind != "regression":
        return parts
    return {name: Examples(part.inputs, part.targets.float()) for name, part in parts.items()}


def _check_targets(task: Task) -> None:
    targets = task.train.targets
    if task.kind.name == "regression":
        if bool((targets == targets[:1]).all()):
            raise BadTask(f"task '{task.name}': the training targets are all the same; there is nothing to learn.")
    elif targets.is_floating_point() or targets.dim() != 1 or int(targets.min()) < 0:
        raise BadTask(f"task '{task.name}': classes must be whole numbers from 0, one a row; found {article(targets)}.")
    elif int(targets.min()) == int(targets.max()):
        raise BadTask(
            f"task '{task.name}': the training targets hold one class only ({int(targets[0])}); two or more are needed."
        )
