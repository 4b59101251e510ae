"""Run a comparison: tune on validation data, confirm on fresh seeds, read the test set, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from actlab.errors import BadStudy
from actlab.formula.activation import Activation
from actlab.study.arm import INITS, Arm, arms_of, check_arms, control_of
from actlab.study.comparison import Comparison
from actlab.study.cost import measured_cost
from actlab.study.outcome import Outcome
from actlab.study.plan import (
    ALPHA,
    BUDGET,
    CONFIRM,
    TUNE,
    Look,
    Plan,
    Trial,
    rate_points,
    seed_stream,
)
from actlab.study.power import seeds_needed
from actlab.study.results import is_settled, read, winners
from actlab.study.runner import Crew, LocalRunner, Runner, Setting
from actlab.study.store import Store
from actlab.train.task import Task

Progress = Callable[[int, int, float | None, str], None]
"""Called after every trial with the number done, the total, the seconds left (None if unknown), and a label."""


@dataclass(frozen=True)
class Study:
    """A study that is ready to run."""

    plan: Plan
    setting: Setting
    notes: tuple[str, ...]


def prepare(
    task: Task,
    *,
    candidates: Sequence[str | Activation | Arm],
    seeds: int | None = None,
    budget: int | None = None,
    seed: int = 0,
    init: str = "as-is",
    looks: Sequence[Look] | None = None,
) -> Study:
    """Plan and check a study; no trial is run yet.

    Args:
        task: the task to learn.
        candidates: names, formulas, activations or arms to compare with the control.
        seeds: number of seeds for the final comparison; by default the fewest that can reach significance.
        budget: number of learning rates to try per arm; by default 8.
        seed: master random seed of the study.
        init: "as-is", or "gain" to draw all weights with the second-moment gain of each arm.
        looks: after how many seeds the test set is read, and the significance level each time; by default once, at
            the end, at 0.05.

    Raises:
        BadStudy: the plan cannot be carried out.
        BadTask: the model has no activation that can be replaced.
        UnknownActivation: a candidate is not in the catalog.
    """
    _check_numbers(seeds=seeds, budget=budget, seed=seed, init=init)
    control, where = control_of(task)
    arms = arms_of(control, candidates)
    if init == "gain":
        arms = tuple(_with_gain(arm) for arm in arms)
    check_arms(task, arms, where=where)
    count = seeds or (looks[-1].seeds if looks else seeds_needed(len(arms) - 1, alpha=ALPHA))
    plan = Plan(
        task=task.name,
        fingerprint=task.fingerprint(),
        arms=tuple(arm.name for arm in arms),
        points=rate_points(task.rates, budget=budget or BUDGET, seed=seed),
        tuning_seeds=seed_stream(seed, role=TUNE, count=1),
        seeds=seed_stream(seed, role=CONFIRM, count=count),
        looks=tuple(looks or (Look(count, ALPHA),)),
        margin=task.metric.margin,
        margin_is_relative=task.metric.margin_is_relative,
        init=init,
        seed=seed,
        contents={**task.contents(), **{f"the activation {arm.name}": arm.digest() for arm in arms}},
    )
    setting = Setting(task, {arm.name: arm for arm in arms}, where, plan.points)
    notes = (*task.notes, *([where.sentence()] if where else []), *plan.warnings())
    return Study(plan, setting, notes)


def compare(
    task: Task,
    *,
    candidates: Sequence[str | Activation | Arm],
    seeds: int | None = None,
    budget: int | None = None,
    jobs: int = 1,
    seed: int = 0,
    store: str | Path | None = None,
    name: str | None = None,
    resume: bool = False,
    init: str = "as-is",
    looks: Sequence[Look] | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Comparison:
    """Compare activations on a task fairly; the same seed gives the same numbers.

    Args:
        task: the task to learn.
        candidates: names, formulas, activations or arms to compare with the control.
        seeds: number of seeds for the final comparison; by default the fewest that can reach significance.
        budget: number of learning rates to try per arm; by default 8.
        jobs: processes that train at once.
        seed: master random seed of the study.
        store: an SQLite file or a database URL in which trials are stored; by default none are.
        name: the name of the study in the store; by default that of the task.
        resume: continue the newest stored study of this name.
        init: "as-is", or "gain".
        looks: when the test set is read.
        progress: called after every trial.
        runner: runs the trials; by default this machine, with `jobs` processes.

    Raises:
        BadStudy, BadTask, UnknownActivation: as `prepare`; also if the stored study has another plan.
    """
    study = prepare(task, candidates=candidates, seeds=seeds, budget=budget, seed=seed, init=init, looks=looks)
    with Store(store) as trials:
        return run_study(
            study,
            store=trials,
            name=name or task.name,
            resume=resume,
            progress=progress,
            runner=runner or LocalRunner(jobs),
        )


def run_study(
    study: Study,
    *,
    store: Store,
    name: str,
    resume: bool = False,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Comparison:
    """Run a prepared study.

    Raises:
        BadStudy: the stored study of this name has another plan, or the store cannot be written.
    """
    start = time.perf_counter()
    runner = runner or LocalRunner()
    plan, task = study.plan, study.setting.task
    number = store.resume(name, plan) if resume else store.begin(name, plan)
    with runner.crew(study.setting) as crew:
        work = _Work(plan.trials, store, number, crew, progress, done=store.outcomes(number))
        work.carry_out(list(plan.tuning()), label="learning rates")
        chosen = winners(plan, work.done, metric=task.metric)
        for look in range(len(plan.looks)):
            work.carry_out(list(plan.confirming(chosen, look=look)), label="fresh seeds")
            found = read(plan, work.done, chosen=chosen, look=look, task=task)
            if is_settled(found):
                break
    cost = measured_cost(study.setting, chosen, since=start)
    return replace(found, notes=(*study.notes, *runner.notes(study.setting)), cost=cost)


@final
class _Work:
    """Runs trials and stores each when it ends."""

    def __init__(
        self,
        total: int,
        store: Store,
        number: int,
        crew: Crew,
        progress: Progress | None,
        *,
        done: dict[Trial, Outcome],
    ) -> None:
        self.total, self.store, self.number, self.crew = total, store, number, crew
        self.progress, self.done = progress, done
        self.started = time.perf_counter()
        self.fresh = 0

    def carry_out(self, trials: Sequence[Trial], *, label: str) -> None:
        """Run the trials that the store does not have yet."""
        left = [trial for trial in trials if trial not in self.done]
        self._report(label)
        for outcome in self.crew(left):
            self.store.keep(self.number, outcome)
            self.done[outcome.trial] = outcome
            self.fresh += 1
            self._report(f"{label}: {outcome.trial.arm}")

    def _report(self, label: str) -> None:
        if self.progress is None:
            return
        elapsed = time.perf_counter() - self.started
        left = elapsed / self.fresh * (self.total - len(self.done)) if self.fresh else None
        self.progress(len(self.done), self.total, left, label)


def _with_gain(arm: Arm) -> Arm:
    from actlab.theory.gains import gain

    return arm if arm.gain is not None else replace(arm, gain=gain(arm.means or arm.name))


def _check_numbers(*, seeds: int | None, budget: int | None, seed: int, init: str) -> None:
    for what, value, least in (("seeds", seeds, 2), ("budget", budget, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise BadStudy(f"{what} must be at least {least}; got {value}.")
    if init not in INITS:
        raise BadStudy(f"init must be {' or '.join(INITS)}; got '{init}'.")
