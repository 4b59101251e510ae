"""The main job: from a task to a verdict on its activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from actlab.diagnosis.report import Report
from actlab.formula.activation import Activation
from actlab.study.compare import Progress, prepare, run_study
from actlab.study.comparison import Comparison
from actlab.study.control_diagnosis import FEWEST, SECONDS, STEPS, diagnosed
from actlab.study.runner import LocalRunner, Runner
from actlab.study.store import Store
from actlab.train.task import Task

# The common hidden activations of today's libraries, and the two classics they replaced.
CANDIDATES = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh")


@final
@dataclass(frozen=True)
class Advised:
    """What the journey found: about the control alone, where it was diagnosed, and in comparison."""

    comparison: Comparison
    diagnosis: Report | None


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
    progress: Progress | None = None,
    runner: Runner | None = None,
    diagnose: bool = True,
) -> Advised:
    """What there is to say about a task's activation: the model's own, watched while it trains for a few seconds, then
    compared fairly with the candidates.

    Args:
        task: what is learned.
        activations: the candidates; eight common ones if left out.
        seeds: fresh seeds for the verdict; the fewest that can decide if left out.
        budget: trials per arm for tuning.
        jobs: processes that train at once.
        seed: what every random choice follows from.
        init: "as-is", or "gain" to draw weights with each arm's own gain.
        store: where runs are kept, so that a stopped study can go on; nowhere if left out.
        resume: go on with the newest stored study of this task.
        say: is told, before the run, what was found and what the run can decide.
        progress: is told after every watched step and every trial.
        runner: who carries out the trials; this machine if left out.
        diagnose: watch the model's own activation first.

    Raises:
        BadTask, BadStudy, UnknownActivation, BadFormula: the message says what to mend.
    """
    candidates = list(CANDIDATES if activations is None else activations)
    study = prepare(task, candidates=candidates, seeds=seeds, budget=budget, seed=seed, init=init)
    # a warning stands among the notes and in the plan; it is said once
    for line in dict.fromkeys((f"{task.name}: {task.sentence}", *study.notes, *study.plan.sentences())):
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
    """What is found about the model as it is, from one batch and a training run of a few seconds."""
    steps = min(STEPS, task.steps)
    bound = f", {SECONDS:g} seconds at most once {FEWEST} are done" if steps > FEWEST else ""
    say(f"First its own activations are watched for {steps} training steps{bound}.")
    return diagnosed(task, train_steps=steps, seed=seed, seconds=SECONDS, progress=progress)
