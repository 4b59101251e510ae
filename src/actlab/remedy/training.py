"""A training: what is trained and how, as one frozen value that a change turns into another one."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actlab.diagnosis.check import check
from actlab.diagnosis.report import Report
from actlab.diagnosis.watch import watch
from actlab.errors import ActlabError, BadInput, BadTask
from actlab.study.control_diagnosis import batches, control_model
from actlab.telemetry.settings import Settings
from actlab.train.clipping import clip_gradients
from actlab.train.evaluate import output
from actlab.train.judge import judged
from actlab.train.task import OPTIMIZERS, Task
from actlab.user_code import their_code

WATCHED = 60
"""Steps of a training that are watched for a diagnosis; rules on the loss's trend need 30."""


class Transform(Protocol):
    """Changes a new model before it is trained, and returns it."""

    def __call__(self, model: nn.Module, task: Task) -> nn.Module: ...


class AfterStep(Protocol):
    """Acts on the model and the optimizer after each training step; counted from 1."""

    def __call__(self, model: nn.Module, optimizer: Optimizer, step: int) -> None: ...


@final
@dataclass(frozen=True)
class Group:
    """Parameters that the user's optimizer treats alike.

    Attributes:
        names: their names in the model.
        settings: the settings of the group, such as `lr` and `weight_decay`.
    """

    names: tuple[str, ...]
    settings: Mapping[str, Any] = field(hash=False)


@final
@dataclass(frozen=True, eq=False)
class OwnOptimizer:
    """The user's optimizer: its class, its groups, and its state by the names of parameters."""

    kind: Callable[..., Optimizer]
    groups: tuple[Group, ...]
    state: Mapping[str, Any]


@final
@dataclass(frozen=True)
class Origin:
    """The file and the name under which the user's program is found."""

    file: str
    name: str


@final
@dataclass(frozen=True, eq=False)
class Training:
    """What is trained and how.

    Attributes:
        task: the model's factory, the data, the loss and the metric.
        transforms: act on a new model, in order, before it is trained.
        rate_factor: multiplies the learning rates of the optimizer.
        clip: the norm to which gradients are clipped; None if they are not.
        warm_up: the steps over which the learning rate rises to its value.
        undecayed: whether the parameters of activations are trained without weight decay.
        after_step: act after each step.
        own_optimizer: the user's optimizer; None for that of the task, at the geometric middle of its rates.
        fixed_start: whether every seed has the same initial weights, as of a model that the user built.
        origin: where the program can be loaded afresh.
    """

    task: Task
    transforms: tuple[Transform, ...] = ()
    rate_factor: float = 1.0
    clip: float | None = None
    warm_up: int = 0
    undecayed: bool = False
    after_step: tuple[AfterStep, ...] = ()
    own_optimizer: OwnOptimizer | None = None
    fixed_start: bool = False
    origin: Origin | None = None

    @cached_property
    def rate(self) -> float:
        """The learning rate: of the first group, if there are several."""
        if self.own_optimizer is not None:
            return float(self.own_optimizer.groups[0].settings.get("lr", math.nan)) * self.rate_factor
        low, high = self.task.rates
        return float((low * high) ** 0.5) * self.rate_factor

    @property
    def steps(self) -> int:
        """The number of training steps of one run."""
        return self.task.steps

    def transformed(self, *more: Transform) -> Training:
        """Return the same training of a model that is changed further."""
        return replace(self, transforms=(*self.transforms, *more))

    def build(self, seed: int) -> nn.Module:
        """Return a new model.

        Raises:
            BadTask, BadInput: the factory raised, or a change does not fit the model.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self._start(seed)
            for transform in self.transforms:
                model = transform(model, self.task)
        return model

    def _start(self, seed: int) -> nn.Module:
        if self.task.takes_activation:
            return control_model(self.task, seed=seed)
        return self.task.build()

    def optimizer_of(self, model: nn.Module) -> Optimizer:
        """Return the optimizer of a model that `build` returned."""
        if self.own_optimizer is None:
            found = OPTIMIZERS[self.task.optimizer](_groups(model, self.undecayed), lr=self.rate)
        else:
            found = _own(self.own_optimizer, model, undecayed=self.undecayed, factor=self.rate_factor)
        for group in found.param_groups:
            group["full_rate"] = group["lr"]
        return found

    def step(self, model: nn.Module, optimizer: Optimizer, batch: tuple[Any, Any], number: int) -> Tensor:
        """Take the training step of this number, counted from 1, and return the loss.

        Raises:
            BadTask: the user's model or loss raised.
        """
        if self.warm_up:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * min(1.0, number / self.warm_up)
        optimizer.zero_grad()
        with their_code(f"task '{self.task.name}': the training step"):
            loss: Tensor = self.task.loss(output(model, batch[0]), batch[1])
            torch.autograd.backward(loss)
        if self.clip is not None:
            clip_gradients(model.parameters(), norm=self.clip)
        optimizer.step()
        for act in self.after_step:
            act(model, optimizer, number)
        return loss.detach()


def _groups(model: nn.Module, undecayed: bool) -> list[dict[str, Any]]:
    learned = [each for each in model.parameters() if each.requires_grad]
    if not undecayed:
        return [{"params": learned}]
    apart = _of_activations(model)
    rest = [each for each in learned if id(each) not in apart]
    return [{"params": rest}, {"params": [each for each in learned if id(each) in apart], "weight_decay": 0.0}]


def _of_activations(model: nn.Module) -> set[int]:
    from actlab.sites.swap.swap import trainable_activation_parameters

    return {id(each) for each in trainable_activation_parameters(model)}


def _own(own: OwnOptimizer, model: nn.Module, *, undecayed: bool, factor: float) -> Optimizer:
    """Build the user's optimizer anew; parameters that a change added join its first group."""
    named = dict(model.named_parameters())
    held = {name for group in own.groups for name in group.names}
    added = [name for name, each in named.items() if name not in held and each.requires_grad]
    apart = _of_activations(model) if undecayed else set()
    groups: list[dict[str, Any]] = []
    for number, group in enumerate(own.groups):
        names = [name for name in (*group.names, *(added if number == 0 else ())) if name in named]
        settings = {**group.settings, "lr": group.settings["lr"] * factor}
        for decay in (False, True):
            params = [named[name] for name in names if (id(named[name]) in apart) == decay]
            if params:
                groups.append({**settings, "params": params, **({"weight_decay": 0.0} if decay else {})})
    with their_code("copying the optimizer", error=BadInput):
        result = own.kind([{"params": group["params"], "lr": group["lr"]} for group in groups])
        for made, settled in zip(result.param_groups, groups, strict=True):
            made.update({name: copy.deepcopy(value) for name, value in settled.items() if name != "params"})
        for name, state in own.state.items():
            if name in named:
                result.state[named[name]] = copy.deepcopy(state)
    return result


@final
@dataclass(frozen=True)
class Run:
    """The result of one training run.

    Attributes:
        metric: the validation metric of the best epoch; after a divergence or an error, of what has learned nothing.
        curve: the validation metric after each epoch.
        diverged: whether a loss or an output was not finite.
        raised: what the program raised; empty if nothing.
        seconds: the time it took.
        last_loss: the training loss of the last step; NaN if there was none.
    """

    metric: float
    curve: tuple[float, ...] = ()
    diverged: bool = False
    raised: str = ""
    seconds: float = 0.0
    last_loss: float = math.nan


def run(training: Training, seed: int, *, epochs: int | None = None) -> Run:
    """Train a new model for the epochs of its task; the same seed gives the same numbers.

    Args:
        training: what is trained and how.
        seed: draws the initial weights, the order of the rows and dropout.
        epochs: fewer epochs than the task's.
    """
    began, task = time.perf_counter(), training.task
    devices: list[int] = []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(seed)
        try:
            curve, diverged, last_loss = _trained(training, seed, epochs or task.epochs)
            raised = ""
        except (BadTask, BadInput) as error:
            curve, diverged, last_loss, raised = [], True, math.nan, str(error)
    metric = task.baseline(task.valid) if diverged or not curve else _best(curve, task)
    return Run(metric, tuple(curve), diverged, raised, time.perf_counter() - began, last_loss)


def _best(curve: Iterable[float], task: Task) -> float:
    return max(curve) if task.metric.larger_is_better else min(curve)


def _trained(training: Training, seed: int, epochs: int) -> tuple[list[float], bool, float]:
    """Return the validation metric of each epoch, whether the training diverged, and the last loss."""
    task, model = training.task, training.build(seed)
    torch.manual_seed(seed)
    optimizer, order = training.optimizer_of(model), batches(task, seed=seed)
    curve: list[float] = []
    number, last_loss = 0, math.nan
    for _ in range(epochs):
        model.train()
        for _ in range(_batches_of_epoch(task)):
            number += 1
            loss = training.step(model, optimizer, next(order), number)
            last_loss = float(loss)
            if not math.isfinite(last_loss):
                return curve, True, last_loss
        scores, is_finite = judged(model, task, task.valid, beside=False)
        if not is_finite:
            return curve, True, last_loss
        curve.append(scores[task.metric.name])
    return curve, False, last_loss


def _batches_of_epoch(task: Task) -> int:
    """Return how many batches an epoch has, without a last one of a single row."""
    count = len(task.train)
    return max(1, count // task.batch_size + (count % task.batch_size > 1))


def diagnose(training: Training, *, seed: int = 0, steps: int = WATCHED, settings: Settings | None = None) -> Report:
    """Return the findings about a new model of a training, from one batch and from its first steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = training.build(seed)
            optimizer = training.optimizer_of(model)
            order = batches(training.task, seed=seed)
            first = next(order)
            again = chain([first], order)
            torch.manual_seed(seed)
            if training.clip is None and not training.warm_up and not training.after_step:
                return check(model, first, training.task.loss, optimizer=optimizer, train_steps=steps, data=again,
                             settings=settings)  # fmt: skip
            report = check(model, first, training.task.loss, optimizer=optimizer, settings=settings)
            if report.raised is not None:
                return report
            return report.merged_with(_watched(training, model, again, steps=steps, settings=settings))
        except (BadTask, BadInput) as error:
            return Report((), raised=error)


def _watched(
    training: Training, model: nn.Module, data: Iterator[tuple[Any, Any]], *, steps: int, settings: Settings | None
) -> Report:
    """Train a model for some steps and watch it: also with what the optimizer of a trial run does not know."""
    optimizer = training.optimizer_of(model)
    watched = watch(model, settings=settings)
    raised: ActlabError | None = None
    model.train()
    with watched:
        for number in range(1, steps + 1):
            try:
                loss = training.step(model, optimizer, next(data), number)
            except BadTask as error:
                raised = error
                break
            watched.step(loss)
    return replace(watched.report(), raised=raised)
