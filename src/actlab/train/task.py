"""A task: a model, data, a loss and a metric, as one frozen value that is checked when built."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.deprecation import renamed_keyword, warn_renamed
from actlab.errors import BadTask
from actlab.train.contents import digest_of, sources
from actlab.train.examples import Drawn, Examples, Rows, article, examples
from actlab.train.factory import FEW, Build, build, check_fit, outputs_of, settled_kind, takes_activation
from actlab.train.kinds import KINDS, Kind, Loss, Metric, kind_of_loss
from actlab.train.split import Division, common_draw, divided

# Fused: one call per step instead of ten per parameter; a step of a small network then takes half the time.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "momentum": partial(torch.optim.SGD, momentum=0.9, fused=True),
}


@final
@dataclass(frozen=True, eq=False, init=False)
class Task:
    """A learning task, checked when built.

    Args:
        name: a short name.
        model: a function that returns a new model: either without an argument (its activation modules are then
            replaced), or with one, which returns activation modules (`lambda act: nn.Sequential(..., act(), ...)`).
        train: inputs and targets, as tensors or arrays, one row per example.
        valid: the same, for choosing a learning rate; by default a fifth of the rows is split off `train`.
        test: the same, for the verdict; by default a fifth of the rows is split off `train`.
        kind: "classification" (classes from 0), "binary" (one logit per target) or "regression"; by default it
            follows from the loss, otherwise from the dtype of the targets and the shape of the model's output.
        sentence: a one-line description.
        activation: the name of the control, if `model` takes the activation; otherwise it is found in the model.
        loss: a function of outputs and targets; by default cross-entropy or the mean squared error.
        epochs: passes over the training rows, at least; training goes on to a plateau, at most four times as long.
        batch_size: rows per step.
        optimizer: "adam", "adamw", "sgd" or "momentum" (sgd with momentum 0.9).
        rates: the lowest and the highest learning rate to try.
        target_unit: the size of one unit of the targets in reported units, if the targets were scaled.
        notes: choices about this task that a report should mention.
        origin: how another process builds the same task; set by the functions that build tasks from names and files.

    Raises:
        BadTask: an argument does not fit the others; the message says which, and what to pass.

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

    # The arguments are named like the fields, so that dataclasses.replace returns a checked copy.
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
        chosen = kind if isinstance(kind, Kind) else None
        kind = kind.name if isinstance(kind, Kind) else kind
        self._check_recipe(kind)
        given = {"train": train, "valid": valid, "test": test}
        parts = {
            part: examples(rows, part=f"task '{name}': {part}") for part, rows in given.items() if rows is not None
        }
        self._set(**_as_asked(_all_parts(parts), kind=kind))
        self._settle(kind, loss, chosen=chosen)

    @property
    def _draw(self) -> Drawn | None:
        """How the three parts were drawn, if a division drew them."""
        return common_draw({"train": self.train, "valid": self.valid, "test": self.test})

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def metric(self) -> Metric:
        """The metric of the task."""
        return self.kind.metric

    @property
    def optimiser(self) -> str:
        """The old name of `optimizer`; deprecated."""
        warn_renamed("Task.optimiser", "Task.optimizer")
        return self.optimizer

    @property
    def takes_activation(self) -> bool:
        """Whether `model` takes a function that returns activation modules."""
        return takes_activation(self.model)

    @property
    def classes(self) -> int:
        """The number of classes; 0 for a regression."""
        parts = (self.train.targets, self.valid.targets, self.test.targets)
        return 0 if parts[0].is_floating_point() else 1 + int(max(part.max() for part in parts))

    @property
    def steps_per_epoch(self) -> int:
        """The number of training steps of one epoch."""
        return -(-len(self.train) // self.batch_size)

    @property
    def steps(self) -> int:
        """The least number of training steps of one trial."""
        return self.epochs * self.steps_per_epoch

    @property
    def rows(self) -> int:
        """The number of rows in all three parts."""
        return len(self.train) + len(self.valid) + len(self.test)

    @property
    def can_resplit(self) -> bool:
        """Whether the rows can be split anew: at least one part was split off the training rows."""
        return self._draw is not None

    @property
    def split(self) -> int:
        """The number of the split that the task has; 0 unless it was split anew."""
        return 0 if self._draw is None else self._draw.number

    @property
    def split_sentence(self) -> str:
        """Which rows a new split draws, and which noise that leaves out."""
        if self._draw is None:
            return (
                "The training, validation and test rows are those of the task for every seed. So the interval leaves"
                " out the noise of drawing them."
            )
        return self._draw.division.sentence

    def with_split(self, number: int) -> Task:
        """Return the same task with its rows split anew; split 0 is the one that a task is built with.

        All splits have parts of the same sizes. What is fitted to the training rows, such as the scale of the inputs,
        is fitted again.

        Raises:
            BadTask: the rows cannot be split anew, or the number is negative.

        Example:
            >>> from actlab.train.builtin import builtin_task
            >>> task = builtin_task("diabetes")
            >>> other = task.with_split(7)
            >>> other.split, len(other.test) == len(task.test), torch.equal(other.test.inputs, task.test.inputs)
            (7, True, False)
        """
        if not isinstance(number, int) or number < 0:
            raise BadTask(f"task '{self.name}': the number of a split must be 0 or more; got {number!r}.")
        if number == self.split:
            return self
        if self._draw is None:
            raise BadTask(
                f"task '{self.name}': the rows cannot be split anew, as all three parts were passed; got split"
                f" {number}. Pass train alone, or train and test."
            )
        parts = divided(self._draw.division, number)
        task = copy(self)
        named = {"train": parts["train"], "valid": parts["valid"], "test": parts["test"]}
        task._set(**_as_asked(named, kind=self.kind.name), target_unit=parts.get("target_unit", self.target_unit))
        return task

    def region(self, control: float) -> float:
        """Return half the width of the region of practical equivalence, given the control's metric on the test part."""
        return self.metric.region(control, targets=self.test.targets.numel())

    def build(self, activation: Build | None = None) -> nn.Module:
        """Build a new model, with `activation` if its factory takes one.

        Raises:
            BadTask: the factory raised, or did not return a module.
        """
        return build(self.model, activation=activation, task=self.name)

    def score(self, outputs: Tensor, part: Examples) -> float:
        """Return the metric of these outputs for a part of the data."""
        return self.kind.score(outputs, part.targets, self.target_unit)

    def baseline(self, part: Examples) -> float:
        """Return the metric of the best constant prediction: the most common training class, or the training mean."""
        return self.kind.baseline(self.train.targets, part.targets, self.target_unit)

    def check_model(self, model: nn.Module) -> None:
        """Run a few rows through the model and the loss, forward and backward.

        Raises:
            BadTask: one of them raised, or the output does not fit the loss.
        """
        few = self.train.first(FEW)
        outputs = outputs_of(model, few, task=self.name)
        check_fit(outputs, few, kind=self.kind, loss=self.loss, classes=self.classes, task=self.name)

    def fingerprint(self) -> str:
        """Return a digest of the data, the settings and the model, which identifies the task."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            for tensor in (part.inputs, part.targets):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().tobytes())
        model = self._fresh()
        shapes = [(name, tuple(value.shape)) for name, value in model.named_parameters()]
        loss = getattr(self.loss, "__qualname__", type(self.loss).__qualname__)  # a repr could hold an address
        recipe = (self.name, self.kind.name, loss, self.epochs, self.batch_size, self.optimizer, self.rates)
        digest.update(repr((recipe, self.target_unit, str(model), shapes)).encode())
        return digest.hexdigest()

    def contents(self) -> dict[str, str]:
        """Return a digest of each thing that the results depend on, also of the user's code, by what it is."""
        with torch.random.fork_rng(devices=[]):
            model = self._fresh()
        shapes = [(name, tuple(value.shape)) for name, value in model.named_parameters()]
        rows = [each for part in (self.train, self.valid, self.test) for each in (part.inputs, part.targets)]
        settings = (self.kind.name, self.epochs, self.batch_size, self.optimizer, self.rates, self.target_unit)
        return {
            "the data": digest_of(rows),
            "the task's settings": digest_of(settings),
            "the model": digest_of(self.model, str(model), shapes),
            "the loss": digest_of(self.loss),
            **{f"the code in {name}": each for name, each in sources(self.model, self.loss, model).items()},
        }

    def _fresh(self) -> nn.Module:
        return self.build(nn.Identity if self.takes_activation else None)

    def _check_recipe(self, kind: str) -> None:
        def refuse(fault: str) -> BadTask:
            return BadTask(f"task '{self.name}': {fault}")

        if not callable(self.model):
            raise refuse(
                f"model must be a function that returns a new model; got {article(self.model)}. Pass a class, or a"
                " function that builds the model."
            )
        for what, number in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if not isinstance(number, int) or number < 1:
                raise refuse(f"{what} must be a positive integer; got {number!r}.")
        if len(self.rates) != 2 or not 0 < self.rates[0] <= self.rates[1] < float("inf"):
            raise refuse(f"rates must be two positive numbers, the lower first; got {self.rates}.")
        if self.optimizer not in OPTIMIZERS:
            raise refuse(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got '{self.optimizer}'.")
        if kind and kind not in KINDS:
            raise refuse(f"kind must be one of {', '.join(KINDS)}; got '{kind}'.")

    def _settle(self, kind: str, loss: Loss | None, *, chosen: Kind | None) -> None:
        """Choose the kind and the loss, and try the model once; the random state is restored."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self.build(nn.Identity if self.takes_activation else None)
            few = self.train.first(FEW)
            outputs = outputs_of(model, few, task=self.name)
            settled = chosen or self._kind_of_loss(kind, loss, outputs=outputs)
            few = self.train.first(FEW)
            settled = settled or settled_kind(kind, outputs=outputs, few=few, classes=self.classes)
            self._set(kind=settled, loss=loss or settled.loss)
            _check_targets(self)
            check_fit(outputs, few, kind=settled, loss=self.loss, classes=self.classes, task=self.name)

    def _kind_of_loss(self, kind: str, loss: Loss | None, *, outputs: Tensor) -> Kind | None:
        """Return the kind that follows from the loss, and note it; None if it does not tell, or says no other thing."""
        few = self.train.first(FEW)
        asks = kind in ("", "binary")  # a binary loss takes logits, or probabilities
        found = kind_of_loss(loss, outputs, few.targets) if asks and loss is not None else None
        if found is None and loss is not None and not kind:
            _refuse_bits(self)
        if found is None or kind not in ("", found[0].name):
            return None
        if found[0].name == "regression" and outputs.numel() != few.targets.numel():
            return None  # the loss fits neither the outputs nor the targets, as its error will say
        settled, function = found
        if not kind:
            what = "a binary task" if settled.name == "binary" else settled.name
            note = f"The loss calls {function}, so this is {what}, judged by {settled.metric.name}."
            self._set(notes=(*self.notes, note))
            parts = {"train": self.train, "valid": self.valid, "test": self.test}
            self._set(**_as_asked(parts, kind=settled.name))
        return settled


def _all_parts(parts: Mapping[str, Examples]) -> dict[str, Examples]:
    """Return all three parts; split each missing one off the training part."""
    fixed = {part: rows for part, rows in parts.items() if part != "train"}
    if len(fixed) == 2:
        return dict(parts)
    split = divided(Division(parts["train"], fixed), 0)
    return {"train": split["train"], "valid": split["valid"], "test": split["test"]}


def _as_asked(parts: dict[str, Examples], *, kind: str) -> dict[str, Examples]:
    """Convert the targets to floating point for a regression."""
    if kind != "regression":
        return parts
    return {name: replace(part, targets=part.targets.float()) for name, part in parts.items()}


def _described(targets: Tensor) -> str:
    found = f"{article(targets)} and {str(targets.dtype).removeprefix('torch.')}"
    return found if targets.is_floating_point() else f"{found}, the smallest {int(targets.min())}"


def _are_classes(targets: Tensor, *, kind: str) -> bool:
    if targets.is_floating_point():  # 0 or 1, or a probability for each class
        return kind == "binary" or (targets.dim() > 1 and targets.shape[1] > 1 and float(targets.min()) >= 0)
    return int(targets.min()) >= 0


def _refuse_bits(task: Task) -> None:
    """Refuse to guess whether targets of 0 and 1 as floating-point numbers are classes or quantities."""
    targets = task.train.targets
    if targets.is_floating_point() and bool(((targets == 0) | (targets == 1)).all()):
        raise BadTask(
            f"task '{task.name}': the kind must be named: the targets are 0 and 1 as floating-point numbers, and the"
            " loss is one of your own. Pass kind='binary' (outputs above 0 say yes) or kind='regression'."
        )


def _check_targets(task: Task) -> None:
    targets = task.train.targets
    if task.kind.name == "regression":
        if bool((targets == targets[:1]).all()):
            raise BadTask(f"task '{task.name}': the training targets must differ; all are the same.")
    elif task.kind.name == "binary" and not bool(((targets == 0) | (targets == 1)).all()):
        low, high = float(targets.min()), float(targets.max())
        raise BadTask(
            f"task '{task.name}': the targets of a binary task must be 0 or 1; got values from {low:g} to {high:g}. For"
            " other targets, pass kind='regression'."
        )
    elif not _are_classes(targets, kind=task.kind.name):
        raise BadTask(
            f"task '{task.name}': classes must be integers from 0, one per row; got {_described(targets)}. For other"
            " targets, pass kind='regression'."
        )
    elif float(targets.min()) == float(targets.max()):
        raise BadTask(
            f"task '{task.name}': the training targets must hold two classes or more; got {float(targets.min()):g} in"
            " every row."
        )
