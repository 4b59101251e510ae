"""The main job: from a task to a verdict on its activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from actlab.diagnosis.report import Report
from actlab.study.compare import Progress, prepare, run_study
from actlab.study.comparison import Comparison
from actlab.study.control_diagnosis import FEWEST, SECONDS, STEPS, diagnosed
from actlab.study.options import AdviseOptions
from actlab.study.runner import LocalRunner, Runner
from actlab.study.store import Store
from actlab.train.task import Task

DEFAULTS = AdviseOptions()
# The common hidden activations of today's libraries, and the two classics they replaced.
CANDIDATES = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh")


@final
@dataclass(frozen=True)
class Advised:
    """The comparison, and the diagnosis of the control if one was requested."""

    comparison: Comparison
    diagnosis: Report | None


def advise(
    task: Task,
    options: AdviseOptions = DEFAULTS,
    *,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Advised:
    """What there is to say about a task's activation: the model's own, watched while it trains for a few seconds, then
    compared fairly with the candidates.

    Args:
        task: what is learned.
        options: what to compare, how thoroughly, and where to keep the runs.
        say: is told, before the run, what was found and what the run can decide.
        warn: called with each warning about the plan, before the run; by default `say`.
        progress: is told after every watched step and every trial.
        runner: who carries out the trials; this machine if left out.

    Raises:
        BadTask, BadStudy, UnknownActivation, BadFormula: the message says what to mend.
    """
    study = prepare(
        task,
        candidates=list(CANDIDATES if options.activations is None else options.activations),
        seeds=options.seeds,
        budget=options.budget,
        seed=options.seed,
        init=options.init,
    )
    warnings = study.plan.warnings()
    for line in warnings:
        (warn or say)(line)
    # The notes and the plan's sentences repeat the warnings.
    for line in (f"{task.name}: {task.sentence}", *study.notes, *study.plan.sentences()):
        if line not in warnings:
            say(line)
    diagnosis = _diagnosis(task, seed=options.seed, say=say, progress=progress) if options.diagnose else None
    with Store(options.store) as trials:
        comparison = run_study(
            study,
            store=trials,
            name=task.name,
            resume=options.resume,
            progress=progress,
            runner=runner or LocalRunner(options.jobs),
        )
    return Advised(comparison, diagnosis)


def _diagnosis(task: Task, *, seed: int, say: Callable[[str], None], progress: Progress | None) -> Report:
    """What is found about the model as it is, from one batch and a training run of a few seconds."""
    steps = min(STEPS, task.steps)
    bound = f", {SECONDS:g} seconds at most once {FEWEST} are done" if steps > FEWEST else ""
    say(f"First its own activations are watched for {steps} training steps{bound}.")
    return diagnosed(task, train_steps=steps, seed=seed, seconds=SECONDS, progress=progress)
