"""Diagnose the model of a task, or a model with a batch and a loss, by the same `check`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from actlab.diagnosis.check import check
from actlab.diagnosis.report import Report
from actlab.diagnosis.trial_run import StepsDone
from actlab.errors import BadInput
from actlab.rules.site_groups import site_groups
from actlab.sites.find import Sites, recorded
from actlab.sites.recognize.routes import routed
from actlab.sites.site import Group
from actlab.study.arm import model_of, named_arm
from actlab.telemetry.settings import Settings
from actlab.telemetry.signal.answer import Signal
from actlab.telemetry.signal.measure import signal
from actlab.train.subject import Subject
from actlab.train.task import OPTIMIZERS, Task
from actlab.train.tree import called_with

Progress = Callable[[int, int, float | None, str], None]

LABEL = "watched steps"


def diagnosed(
    subject: Task | Subject,
    *,
    train_steps: int = 0,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Diagnose a task's model, or a model with a batch and a loss; `check` does both.

    Args:
        subject: what is diagnosed; it is left unchanged.
        train_steps: training steps of a watched copy; with 0, one batch is checked.
        seed: random seed of a task's initial weights, of the order of its rows, and of its dropout.
        settings: the thresholds.
        progress: called after every training step.

    Raises:
        BadTask, BadInput: the model or the loss cannot be run.
        StoppedEarly: Ctrl-C during the training steps; its report holds the findings so far.
    """
    steps_done = None if progress is None else _timed(progress)
    if isinstance(subject, Subject):
        return _of_model(subject, train_steps=train_steps, settings=settings, progress=steps_done)
    return _of_task(subject, train_steps=train_steps, seed=seed, settings=settings, progress=steps_done)


def _of_model(subject: Subject, *, train_steps: int, settings: Settings | None, progress: StepsDone | None) -> Report:
    return check(
        subject.model,
        batch=(subject.inputs, subject.targets),
        loss=subject.loss,
        settings=settings,
        optimizer=subject.optimizer,
        train_steps=train_steps,
        progress=progress,
    )


def _of_task(
    task: Task, *, train_steps: int, seed: int, settings: Settings | None, progress: StepsDone | None
) -> Report:
    model = control_model(task, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return check(
            model,
            batch=next(batches(task, seed=seed)),
            loss=task.loss,
            settings=settings,
            optimizer=optimizer_of_task(model, task),
            train_steps=train_steps,
            data=batches(task, seed=seed),
            progress=progress,
        )


def _timed(progress: Progress) -> StepsDone:
    """Add a label and an estimate of the remaining seconds to the steps that are done."""
    began = time.perf_counter()

    def report(done: int, steps: int) -> None:
        progress(done, steps, (time.perf_counter() - began) / done * (steps - done), LABEL)

    return report


def located(subject: Task | Subject) -> tuple[Sites, tuple[Group, ...]]:
    """Find where the model of a task, or a model with a batch, applies an activation, and the group of each site."""
    model, inputs = _with_inputs(subject)
    positional, named = called_with(inputs)
    trace = recorded(model, positional, dict(named))
    return Sites(routed(trace), trace.unseen), site_groups(trace)


def signal_in(subject: Task | Subject) -> Signal:
    """Measure the signal in the model of a task before training, or in a model with a batch, and predict it."""
    model, inputs = _with_inputs(subject)
    return signal(model, (inputs, None))


def signal_if_it_runs(subject: Task | Subject) -> Signal | None:
    """Return the signal as `signal_in` does; None if the model raises, which its diagnosis reports."""
    try:
        return signal_in(subject)
    except BadInput:
        return None


def _with_inputs(subject: Task | Subject) -> tuple[nn.Module, Any]:
    if isinstance(subject, Task):
        return control_model(subject, seed=0), next(batches(subject, seed=0))[0]
    return subject.model, subject.inputs


def control_model(task: Task, *, seed: int) -> nn.Module:
    """Build the task's model with its own activation, which may be applied in any way: as a module or as a function.

    Raises:
        BadTask: the factory raised.
    """
    if task.takes_activation:
        return model_of(task, named_arm(task.activation), where=None, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.build()


def batches(task: Task, *, seed: int) -> Iterator[tuple[Any, Any]]:
    """Yield training batches without end, in a new random order each epoch."""
    order = torch.Generator().manual_seed(seed)
    count = len(task.train)
    while True:
        shuffled = torch.randperm(count, generator=order)
        for start in range(0, count, task.batch_size):
            batch = shuffled[start : start + task.batch_size]
            if len(batch) > 1 or count == 1:  # BatchNorm cannot take a batch of one
                rows = task.train.at(batch)
                yield rows.inputs, rows.targets


def optimizer_of_task(model: nn.Module, task: Task) -> torch.optim.Optimizer:
    """Build the task's optimizer at the geometric mean of its learning rates."""
    low, high = task.rates
    return OPTIMIZERS[task.optimizer](model.parameters(), lr=(low * high) ** 0.5)
