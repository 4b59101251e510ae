"""A task: a model, data, a loss and a metric, as one frozen value that is checked when built."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.deprecation import renamed_keyword, warn_renamed
from actlab.errors import BadTask, visible
from actlab.train.contents import behavior_of, digest_of, sources
from actlab.train.evaluate import outputs_on
from actlab.train.examples import Drawn, Examples, Rows, examples
from actlab.train.factory import FEW, Build, build, check_loss, outputs_of, takes_activation
from actlab.train.input_noise import InputNoise
from actlab.train.kinds import ACCURACY, CONSTANT, ERROR, UNTRAINED, Kind, Loss, Metric
from actlab.train.metrics import LOSS, LOSS_ALONE, by_loss, check_judge, with_metric
from actlab.train.own_training import OwnTraining
from actlab.train.recipe import OPTIMIZERS as OPTIMIZERS
from actlab.train.recipe import check_recipe
from actlab.train.settle import (
    Settled,
    as_asked,
    check_fit,
    check_targets,
    metric_of,
    metrics_beside,
    settled,
)
from actlab.train.split import all_parts, by_name, common_draw, divided
from actlab.train.tree import leaves


@final
@dataclass(frozen=True, eq=False, init=False)
class Task:
    """A learning task, checked when built.

    Args:
        name: a short name.
        model: a function that returns a new model: either without an argument (its activation modules are then
            replaced), or with one, which returns activation modules (`lambda act: nn.Sequential(..., act(), ...)`).
        train: inputs and targets, as tensors or arrays, one row per example. A tuple of tensors holds the arguments of
            the model, a dict its keyword arguments; targets may be a tuple or a dict too. Without targets, (inputs,
            None): the loss compares the outputs with the inputs.
        valid: the same, for choosing a learning rate; by default a fifth of the rows is split off `train`.
        test: the same, for the verdict; by default a fifth of the rows is split off `train`.
        metric: a name such as "balanced accuracy" or "mae", "loss" for the loss itself, or a function of outputs and
            targets that returns one number; by default it follows from the kind.
        larger_is_better: whether a larger value of a function is better.
        beside: metrics to report beside it; by default balanced accuracy if the classes are unbalanced.
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
    metric: Metric
    beside: tuple[Metric, ...]
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
    noise: InputNoise | None = field(default=None, init=False)  # set by `perturbed` alone

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
        metric: str | Metric | Callable[[Any, Any], float] | None = None,
        larger_is_better: bool = True,
        beside: Sequence[str | Metric] | None = None,
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
        self._set(name=visible(name), model=model, sentence=visible(sentence or name), activation=activation)
        self._set(epochs=epochs, batch_size=batch_size, optimizer=optimizer, rates=tuple(rates))
        self._set(target_unit=target_unit, notes=tuple(map(visible, notes)), origin=tuple(origin))
        check_recipe(
            name,
            model=model,
            kind=kind if isinstance(kind, str) else "",
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            rates=rates,
        )
        passed = {"train": train, "valid": valid, "test": test}
        parts = {
            part: examples(rows, part=f"task '{name}': {part}") for part, rows in passed.items() if rows is not None
        }
        self._set(**as_asked(all_parts(parts), kind=kind if isinstance(kind, str) else ""))
        if isinstance(metric, Metric) or metric is None or isinstance(metric, str):
            self._settle(kind, loss, metric=metric, beside=beside)
        else:
            function = metric_of(metric, larger_is_better=larger_is_better)
            self._settle(kind, loss, metric=function, beside=beside)

    @property
    def _draw(self) -> Drawn | None:
        """How the three parts were drawn, if a division drew them."""
        return common_draw({"train": self.train, "valid": self.valid, "test": self.test})

    @staticmethod
    def from_training(name: str, train: Callable[..., Any], **settings: Any) -> OwnTraining:
        """Return a task that a training loop of yours carries out: `OwnTraining` describes the arguments.

        Example:
            >>> def train(activation, rate, seed, budget):
            ...     return {"valid": 0.5, "test": 0.4}
            >>> Task.from_training("game", train, baseline=0.0, metric="return").epochs
            30
        """
        return OwnTraining(name, train, **settings)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

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
        """The number of classes; 0 if the targets are not classes."""
        parts = (self.train.targets, self.valid.targets, self.test.targets)
        if not isinstance(parts[0], Tensor) or parts[0].is_floating_point():
            return 0
        return 1 + int(max(part.max() for part in parts))

    @property
    def is_plain(self) -> bool:
        """Whether inputs and targets are one tensor each, and the outputs too, as the kind says."""
        return isinstance(self.train.inputs, Tensor) and self.kind.name != LOSS_ALONE

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
        unit = parts.get("target_unit", self.target_unit)
        task._set(**as_asked(by_name(parts), kind=self.kind.name), target_unit=unit)
        return task

    def region(self, control: float, part: Examples | None = None) -> float:
        """Return half the width of the region of practical equivalence.

        Args:
            control: the control's metric.
            part: what it was measured on; by default the test part.
        """
        return self.metric.region(control, targets=(part or self.test).target_count)

    def build(self, activation: Build | None = None) -> nn.Module:
        """Build a new model, with `activation` if its factory takes one.

        Raises:
            BadTask: the factory raised, or did not return a module.
        """
        return build(self.model, activation=activation, task=self.name)

    def score(self, outputs: Any, part: Examples) -> float:
        """Return the metric of these outputs for a part of the data."""
        return self.kind.score(outputs, part.targets, self.target_unit)

    def scores(self, outputs: Any, part: Examples) -> dict[str, float]:
        """Return the metric, and those beside it, by name; the task's metric comes first."""
        kinds = [with_metric(self.kind, each, loss=self.loss, task=self.name) for each in self.beside]
        return {each.metric.name: each.score(outputs, part.targets, self.target_unit) for each in (self.kind, *kinds)}

    @property
    def beside_sentence(self) -> str:
        """Why other metrics stand beside accuracy, if the classes are unbalanced; otherwise an empty text."""
        chosen = metrics_beside(self.kind, self.train.targets)
        names = [each.name for each in self.beside]
        if not chosen or list(chosen) != names:
            return ""
        rows = self.train.targets.flatten().bincount()
        share = 100 * int(rows.max()) / int(rows.sum())
        return (
            f"{share:.0f} % of the training rows are of the commonest of {len(rows)} classes, and a constant prediction"
            f" has that accuracy; so {' and '.join(names)} {'stand' if len(names) > 1 else 'stands'} beside it."
        )

    def baseline(self, part: Examples) -> float:
        """Return what a model scores that has learned nothing.

        It is the metric of the best constant prediction, such as the most common training class or the training mean;
        where no constant is a prediction, it is the metric of an untrained model.
        """
        if self.kind.baseline is not None:
            return self.kind.baseline(self.train.targets, part.targets, self.target_unit)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            return self.score(outputs_on(self._fresh(), part, task=self.name), part)

    @property
    def baseline_name(self) -> str:
        """What the baseline is the metric of."""
        return UNTRAINED if self.kind.baseline is None else CONSTANT

    def check_model(self, model: nn.Module) -> None:
        """Run a few rows through the model and the loss, forward and backward.

        Raises:
            BadTask: one of them raised, or the output does not fit the loss.
        """
        few = self.train.first(FEW)
        outputs = outputs_of(model, few, task=self.name)
        check_fit(outputs, few, kind=self.kind, classes=self.classes, task=self.name)
        check_loss(outputs, few, loss=self.loss, task=self.name)

    def fingerprint(self) -> str:
        """Return a digest of the data, the settings and the model, which identifies the task."""
        digest = hashlib.sha256()
        for tensor in self._tensors():
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        model = self._fresh()
        shapes = [(name, tuple(value.shape)) for name, value in model.named_parameters()]
        loss = getattr(self.loss, "__qualname__", type(self.loss).__qualname__)  # a repr could hold an address
        recipe = (self.name, self.kind.name, loss, self.epochs, self.batch_size, self.optimizer, self.rates)
        digest.update(repr((recipe, self.target_unit, str(model), shapes)).encode())
        if self.metric not in (ACCURACY, ERROR):  # with these, the digest is that of the first release
            digest.update(repr(self.metric).encode())
        return digest.hexdigest()

    def contents(self) -> dict[str, str]:
        """Return a digest of each thing that the results depend on, also of the user's code, by what it is."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self._fresh()
            behavior = behavior_of(outputs_of(model.eval(), self.train.first(FEW), task=self.name))
        shapes = [(name, tuple(value.shape)) for name, value in model.named_parameters()]
        settings = (self.kind.name, self.epochs, self.batch_size, self.optimizer, self.rates, self.target_unit)
        function = self.metric.function
        return {
            "the data": digest_of(list(self._tensors())),
            "the task's settings": digest_of(settings),
            "the model": digest_of(self.model, str(model), shapes),
            "the model's first outputs": digest_of(behavior),
            "the loss": digest_of(self.loss),
            "the metric": digest_of(repr(self.metric), function),
            **{f"the code in {name}": each for name, each in sources(self.model, self.loss, model, function).items()},
        }

    def _tensors(self) -> Iterator[Tensor]:
        for part in (self.train, self.valid, self.test):
            yield from leaves((part.inputs, part.targets))

    def _fresh(self) -> nn.Module:
        return self.build(nn.Identity if self.takes_activation else None)

    def _settle(
        self,
        kind: str | Kind,
        loss: Loss | None,
        *,
        metric: str | Metric | None,
        beside: Sequence[str | Metric] | None,
    ) -> None:
        """Choose kind, loss and metric, and try the model once; the random state is restored."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self._fresh()
            outputs = outputs_of(model, self.train.first(FEW), task=self.name)
            if isinstance(kind, str):
                found = settled(self.train, outputs, kind=kind, loss=loss, classes=self.classes, task=self.name)
                if metric in (ACCURACY, ERROR, LOSS):  # of the kind that a copied task had
                    metric, beside = None, None
                self._set(notes=(*self.notes, *([found.note] if found.note else [])))
            else:
                found = Settled(by_loss(loss or kind.loss) if kind.name == LOSS_ALONE else kind, loss or kind.loss)
            judged = with_metric(found.kind, metric or found.kind.metric, loss=found.loss, task=self.name)
            check_judge(judged.metric, task=self.name)
            self._set(kind=judged, loss=found.loss, metric=judged.metric, beside=())
            parts = {"train": self.train, "valid": self.valid, "test": self.test}
            self._set(**as_asked(parts, kind=judged.name))
            check_targets(self.train.targets, kind=judged, task=self.name)
            few = self.train.first(FEW)
            check_fit(outputs, few, kind=judged, classes=self.classes, task=self.name)
            check_loss(outputs, few, loss=self.loss, task=self.name)
            self._set_metrics(model, metrics_beside(judged, self.train.targets) if beside is None else beside)

    def _set_metrics(self, model: nn.Module, beside: Sequence[str | Metric]) -> None:
        """Set the metrics to report beside the metric, and try all of them."""
        kinds = [with_metric(self.kind, each, loss=self.loss, task=self.name) for each in beside]
        self._set(beside=tuple(each.metric for each in kinds))
        for each in (self.kind, *kinds):
            for part in (self.valid, self.test):
                value = self._first_score(each, model, part)
                if not math.isfinite(value):
                    what = "an untrained model" if each.baseline is None else "a constant prediction"
                    raise BadTask(
                        f"task '{self.name}': {each.metric.name} of {what} must be finite on validation and test rows;"
                        f" got {value}."
                    )

    def _first_score(self, kind: Kind, model: nn.Module, part: Examples) -> float:
        """Return the metric before training: of a constant prediction, or of a few rows of the model."""
        if kind.baseline is not None:
            return kind.baseline(self.train.targets, part.targets, self.target_unit)
        few = part.first(FEW)
        return kind.score(outputs_on(model, few, task=self.name), few.targets, self.target_unit)


Learnable = Task | OwnTraining
"""What activations are compared on."""
