"""Recommend an activation for a task: diagnose its model, then compare the candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from actlab.diagnosis.report import Report
from actlab.errors import BadTask
from actlab.formula.activation import Activation
from actlab.study.compare import Progress, prepare, run_study
from actlab.study.comparison import Comparison
from actlab.study.control_diagnosis import diagnosed
from actlab.study.runner import LocalRunner, Runner
from actlab.study.store import Store
from actlab.train.builtin import DEFAULT, builtin_task
from actlab.train.table import table_task
from actlab.train.task import Task
from actlab.train.taskfile import file_task

# The common hidden activations of today's libraries, and the two classics they replaced.
CANDIDATES = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh")

WATCHED_STEPS = 100
"""Training steps that are watched before a comparison: enough for 512 examples, which a dead unit needs, and under one
hundredth of the steps of the comparison that follows. A number of steps, not of seconds: findings must not depend on
the speed of the machine."""


@final
@dataclass(frozen=True)
class Advised:
    """The result of `advise`.

    Attributes:
        comparison: the control against the candidates.
        diagnosis: the findings about the control alone; None if it was not diagnosed.
    """

    comparison: Comparison
    diagnosis: Report | None


def chosen_task(data: str | None = None, *, target: str | None = None, task: str | None = None) -> Task:
    """The task that was named: a table and its target, a task file, a built-in one, or by default the digits.

    Raises:
        BadTask: nothing fits, or too much was named.
    """
    if data is None:
        if target is not None:
            raise BadTask(
                f"--target {target} names a column, but no table was given: actlab advise data.csv --target y."
            )
        return builtin_task(task or DEFAULT)
    if task is not None:
        raise BadTask(f"both {data} and the built-in task '{task}' were named; name one.")
    if target is not None:
        return table_task(data, target=target)
    if data.endswith(".py") or ".py:" in data:
        return file_task(data)
    raise BadTask(f"{data} is read as a table: name the column to predict with --target.")


def advise(
    task: Task,
    *,
    activations: Sequence[str | Activation] | None = None,
    seeds: int | None = None,
    budget: int | None = None,
    jobs: int = 1,
    seed: int = 0,
    init: str = "as-is",
    store: str | Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
    diagnose: bool = True,
) -> Advised:
    """Watch the model's own activation while it trains, then compare it fairly with the candidates.

    Args:
        task: the task to learn.
        activations: the candidates; by default eight common ones.
        seeds: fresh seeds for the verdict; by default the fewest that can decide.
        budget: learning rates to try per activation; by default 8.
        jobs: processes that train at once.
        seed: random seed.
        init: "as-is", or "gain" to draw the weights with the gain of each activation.
        store: an SQLite file or a database URL in which trials are stored; by default none are.
        resume: continue the newest stored study of this task.
        say: called with each line about the task and the plan, before the run.
        warn: called with each warning about the plan, before the run; by default `say`.
        progress: called after every watched step and every trial.
        runner: runs the trials; by default this machine.
        diagnose: whether to watch the model's own activation first.

    Raises:
        BadTask, BadStudy, UnknownActivation, BadFormula: the message says what to change.
    """
    candidates = list(CANDIDATES if activations is None else activations)
    study = prepare(task, candidates=candidates, seeds=seeds, budget=budget, seed=seed, init=init)
    warnings = study.plan.warnings()
    for line in warnings:
        (warn or say)(line)
    # The notes and the plan's sentences repeat the warnings.
    for line in (f"{task.name}: {task.sentence}", *study.notes, *study.plan.sentences()):
        if line not in warnings:
            say(line)
    diagnosis = _diagnosis(task, seed=seed, say=say, progress=progress) if diagnose else None
    with Store(store) as trials:
        comparison = run_study(
            study,
            store=trials,
            name=task.name,
            resume=resume,
            progress=progress,
            runner=runner or LocalRunner(jobs),
        )
    return Advised(comparison, diagnosis)


def _diagnosis(task: Task, *, seed: int, say: Callable[[str], None], progress: Progress | None) -> Report:
    """Diagnose the model as it is, from one batch and a short watched training run."""
    steps = min(WATCHED_STEPS, task.steps)
    say(f"First, the model's own activation is watched for {steps} training steps.")
    return diagnosed(task, train_steps=steps, seed=seed, progress=progress)
