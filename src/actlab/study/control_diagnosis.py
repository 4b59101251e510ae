"""What is wrong with the activations of a task's model: one batch, and a short training run that is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from actlab.diagnosis.check import check
from actlab.diagnosis.report import Report, StoppedEarly, ordered
from actlab.diagnosis.trial_run import told_if_stopped
from actlab.diagnosis.watch import watch
from actlab.sites.find import Sites, sites
from actlab.study.arm import model_of, named_arm
from actlab.telemetry.settings import Settings
from actlab.train.loop import step
from actlab.train.subject import Subject, called_with, defined_at
from actlab.train.task import OPTIMISERS, Task
from actlab.user_code import called_from

Progress = Callable[[int, int, float | None, str], None]

LABEL = "watched steps"
STEPS = 100
"""Training steps that are watched before a comparison: a dead unit is told after 512 examples or more, and a gradient
that vanishes does so from the first step on."""

SECONDS = 4.0
"""How long that may take: a comparison that follows takes minutes."""

FEWEST = Settings().fewest_losses
"""Steps that are watched however long they take: with fewer, nothing is said of where the loss goes."""


def diagnosed(
    subject: Task | Subject,
    *,
    train_steps: int = 0,
    seed: int = 0,
    settings: Settings | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """What is found about a task's model, or about a model with a batch and a loss.

    Args:
        subject: what is diagnosed; nothing of it is changed.
        train_steps: for how many steps it is trained and watched; 0 tells what one batch can tell.
        seed: what the first weights of a task's model and the order of its rows follow from.
        settings: the thresholds.
        seconds: the watched run ends after so long, were it not done by then, but not before its findings can be drawn.
        progress: is told after every watched step.

    Raises:
        BadTask, BadInput: what cannot be run; the message says what was found.
        StoppedEarly: Ctrl-C in the watched run; its report tells what was found until then.
    """
    file, line = defined_at(subject)

    def found() -> Report:
        if isinstance(subject, Subject):
            return _of_model(subject, train_steps=train_steps, settings=settings, progress=progress)
        return _of_task(
            subject, train_steps=train_steps, seed=seed, settings=settings, seconds=seconds, progress=progress
        )

    report: Report = called_from(file, line, found)
    return report


def _of_model(subject: Subject, *, train_steps: int, settings: Settings | None, progress: Progress | None) -> Report:
    return check(
        subject.model,
        batch=(subject.inputs, subject.targets),
        loss=subject.loss,
        settings=settings,
        optimiser=subject.optimiser,
        train_steps=train_steps,
        progress=None if progress is None else _timed(progress),
    )


def _timed(progress: Progress) -> Callable[[int, int], None]:
    """The same, told how many steps are done, with the seconds that are left as it seems."""
    began = time.perf_counter()

    def told(done: int, steps: int) -> None:
        progress(done, steps, (time.perf_counter() - began) / done * (steps - done), LABEL)

    return told


def _of_task(
    task: Task,
    *,
    train_steps: int,
    seed: int,
    settings: Settings | None,
    seconds: float | None,
    progress: Progress | None,
) -> Report:
    model = control_model(task, seed=seed)
    optimiser = _optimiser(model, task)
    rows = next(_batches(task, seed=seed))
    batch = (task.train.inputs[rows], task.train.targets[rows])
    report = check(model, batch=batch, loss=task.loss, settings=settings, optimiser=optimiser)
    if train_steps == 0:
        return report
    try:
        ran = _watched(task, model, steps=train_steps, seed=seed, settings=settings, seconds=seconds, progress=progress)
    except StoppedEarly as stopped:
        raise StoppedEarly(_together(report, stopped.report)) from None
    return _together(report, ran)


def _together(report: Report, ran: Report) -> Report:
    """What one batch and what the run told, as one."""
    return replace(report, findings=ordered([*report.findings, *ran.findings]), quantities=ran.quantities)


def located(subject: Task | Subject) -> Sites:
    """Where the model applies an activation."""
    if isinstance(subject, Task):
        model, inputs = control_model(subject, seed=0), subject.train.inputs[next(_batches(subject, seed=0))]
    else:
        model, inputs = subject.model, subject.inputs
    positional, named = called_with(inputs)
    file, line = defined_at(subject)
    found: Sites = called_from(file, line, lambda: sites(model, *positional, **named))
    return found


def control_model(task: Task, *, seed: int) -> nn.Module:
    """The task's own model, as its control has it; unlike a comparison, it may apply its activations in any spelling.

    Raises:
        BadTask: the factory raised.
    """
    if task.takes_activation:
        return model_of(task, named_arm(task.activation), where=None, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.build()


def _optimiser(model: nn.Module, task: Task) -> torch.optim.Optimizer:
    """The task's, at the middle of the learning rates that it names."""
    low, high = task.rates
    return OPTIMISERS[task.optimiser](model.parameters(), lr=(low * high) ** 0.5)


def _watched(
    task: Task,
    model: nn.Module,
    *,
    steps: int,
    seed: int,
    settings: Settings | None,
    seconds: float | None,
    progress: Progress | None,
) -> Report:
    """A training run, watched at every step."""
    optimiser = _optimiser(model, task)
    began = time.perf_counter()
    model.train()
    tell = None if progress is None else _timed(progress)
    watched = watch(model, every=1, settings=settings)
    with torch.random.fork_rng(devices=[]), told_if_stopped(watched), watched:
        torch.manual_seed(seed)
        for done, rows in zip(range(1, steps + 1), _batches(task, seed=seed), strict=False):
            watched.step(step(model, task, optimiser=optimiser, rows=rows))
            elapsed = time.perf_counter() - began
            if tell is not None:
                tell(done, steps)
            if seconds is not None and elapsed > seconds and done >= FEWEST:
                break
    return watched.report()


def _batches(task: Task, *, seed: int) -> Iterator[Tensor]:
    """The numbers of a batch's rows, in another order every time all were seen, without end."""
    order = torch.Generator().manual_seed(seed)
    rows = len(task.train)
    while True:
        shuffled = torch.randperm(rows, generator=order)
        for start in range(0, rows, task.batch_size):
            batch = shuffled[start : start + task.batch_size]
            if len(batch) > 1 or rows == 1:  # BatchNorm cannot take a batch of one
                yield batch
