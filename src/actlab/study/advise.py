"""Recommend an activation for a task: diagnose its model, then compare the candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

from actlab.diagnosis.report import Report
from actlab.study.compare import Progress, Study, prepare, run_study
from actlab.study.comparison import Comparison
from actlab.study.control_diagnosis import diagnosed
from actlab.study.earlier import Earlier, earlier_in
from actlab.study.measuring import measuring_of
from actlab.study.options import AdviseOptions
from actlab.study.plan import Budget, Look
from actlab.study.runner import LocalRunner, Runner
from actlab.study.store import Store
from actlab.study.suite import names_of
from actlab.study.suite_store import newest_plans
from actlab.train.task import Learnable, Task

DEFAULTS = AdviseOptions()
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
        earlier: what earlier runs showed on similar tasks; None without a store.
    """

    comparison: Comparison
    diagnosis: Report | None
    earlier: Earlier | None = None


def advise(
    task: Learnable,
    options: AdviseOptions = DEFAULTS,
    *,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Advised:
    """Watch the model's own activation while it trains, then compare it fairly with the candidates.

    Args:
        task: the task to learn.
        options: what to compare, how thoroughly, and where to store the runs.
        say: called with each line about the task and the plan, before the run.
        warn: called with each warning about the plan, before the run; by default `say`.
        progress: called after every watched step and every trial, and at times while several train together.
        runner: runs the trials; by default this machine.

    Raises:
        BadTask, BadStudy, UnknownActivation, BadFormula: the message says what to change.
    """
    study = study_of(task, options, known=stored_budget(task, options))
    known = earlier_in(options.store, task, resume=options.resume)
    announce(study, say=say, warn=warn)
    diagnosis = None
    if options.diagnose and isinstance(task, Task):
        diagnosis = _diagnosis(task, seed=options.seed, say=say, progress=progress)
    return Advised(carried_out(study, options, progress=progress, runner=runner), diagnosis, known)


def study_of(
    task: Learnable,
    options: AdviseOptions,
    *,
    looks: Sequence[Look] | None = None,
    budget: Budget | None = None,
    known: Budget | None = None,
) -> Study:
    """Return the study that the options ask for; no trial is run yet.

    Args:
        task: the task to learn.
        options: what to compare, and how thoroughly.
        looks: when the test set is read.
        budget: a budget that was measured before, such as that of a plan file, which must fit.
        known: the budget of the stored study that is continued.

    Raises:
        BadTask, BadStudy, UnknownActivation, BadFormula: as `prepare`.
    """
    measuring, notes = measuring_of(
        task,
        measure=options.measure,
        noise_levels=options.noise_levels,
        label_noise=options.label_noise,
        target=options.target_metric,
        watts=options.watts,
    )
    study = prepare(
        task,
        candidates=list(CANDIDATES if options.activations is None else options.activations),
        against=options.against,
        seeds=None if looks else options.seeds,
        budget=options.budget,
        seed=options.seed,
        init=options.init,
        splits=options.splits,
        looks=looks,
        equal=budget or options.equal,
        known=known,
        measuring=measuring,
    )
    return replace(study, notes=(*study.notes, *notes))


def stored_budget(task: Learnable, options: AdviseOptions) -> Budget | None:
    """Return the budget of the study that is continued, so that nothing is measured anew; None if none is."""
    if not _continues_times(options):
        return None
    with Store(options.store) as trials:
        plan = trials.newest_plan(task.name)
    return None if plan is None else plan.budget


def stored_budgets(tasks: Sequence[Learnable], options: AdviseOptions) -> tuple[Budget | None, ...]:
    """Return the same for every task of a suite, from the studies of the suite that is continued."""
    if not _continues_times(options):
        return (None,) * len(tasks)
    with Store(options.store) as trials:
        plans = newest_plans(trials, names_of(tasks))
    return tuple(None if plan is None else plan.budget for plan in plans)


def _continues_times(options: AdviseOptions) -> bool:
    return options.equal == "seconds" and options.resume and options.store is not None


def announce(study: Study, *, say: Callable[[str], None], warn: Callable[[str], None] | None) -> None:
    """Say what will be run and what it can decide, the warnings first."""
    task = study.setting.task
    warnings = study.plan.warnings()
    for line in warnings:
        (warn or say)(line)
    # The notes and the plan's sentences repeat the warnings.
    for line in (f"{task.name}: {task.sentence}", *study.notes, *study.plan.sentences()):
        if line not in warnings:
            say(line)


def carried_out(
    study: Study, options: AdviseOptions, *, progress: Progress | None = None, runner: Runner | None = None
) -> Comparison:
    """Run a study as the options say, or continue the stored one.

    Raises:
        BadStudy: the store cannot be used, or the stored study has another plan.
    """
    with Store(options.store) as trials:
        return run_study(
            study,
            store=trials,
            name=study.setting.task.name,
            resume=options.resume,
            seeds=options.seeds,
            progress=progress,
            runner=runner or LocalRunner(options.jobs),
        )


def _diagnosis(task: Task, *, seed: int, say: Callable[[str], None], progress: Progress | None) -> Report:
    """Diagnose the model as it is, from one batch and a short watched training run."""
    steps = min(WATCHED_STEPS, task.steps)
    say(f"First, the model's own activation is watched for {steps} training steps.")
    return diagnosed(task, train_steps=steps, seed=seed, progress=progress)
