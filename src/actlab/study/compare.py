"""Run a comparison: train every cell, let every seed choose its learning rate, read the test set, judge."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import final

from actlab.errors import BadStudy, shortened
from actlab.study.again import HINT, check_control, is_again, kept_apart, original, repeated
from actlab.study.archive import stored_values
from actlab.study.arm import INITS, Arm, Named, arms_of, check_arms, control_of, placed
from actlab.study.choice import at_ends, chosen, extension
from actlab.study.comparison import ArmResult, Comparison, Cost
from actlab.study.cost import measured_cost
from actlab.study.detailed_cost import detailed_costs, energies
from actlab.study.earlier import likeness
from actlab.study.equal import check_equal, equally_large, equally_long, fits_plan
from actlab.study.leases import leases
from actlab.study.lots import Underway
from actlab.study.measuring import COST, ENERGY, NOTHING_MORE, Measuring
from actlab.study.outcome import Outcome
from actlab.study.plan import (
    BUDGET,
    FIXED,
    OWN,
    PER_SEED,
    SPLITS,
    TRIALS,
    Budget,
    Look,
    Plan,
    Trial,
    next_alpha,
    rate_points,
    seed_stream,
)
from actlab.study.power import seeds_needed
from actlab.study.results import is_settled, read
from actlab.study.runner import Claim, Crew, LocalRunner, Runner, Setting
from actlab.study.signed_rank import SignedRank
from actlab.study.store import Store
from actlab.train.kinds import after_number
from actlab.train.own_training import OwnTraining
from actlab.train.task import Learnable, Task

Progress = Callable[[float, int, float | None, str], None]
"""Called with the number of trials done, the total, the seconds left (None if unknown), and a label.

That is after every trial, and at times while several train together, with the parts of them that are done.
"""


@dataclass(frozen=True)
class Study:
    """A study that is ready to run."""

    plan: Plan
    setting: Setting
    notes: tuple[str, ...]


def prepare(
    task: Learnable,
    *,
    candidates: Sequence[Named],
    against: Named | None = None,
    seeds: int | None = None,
    budget: int | None = None,
    seed: int = 0,
    init: str = "as-is",
    splits: str | None = None,
    looks: Sequence[Look] | None = None,
    equal: str | Budget = TRIALS,
    known: Budget | None = None,
    measuring: Measuring = NOTHING_MORE,
) -> Study:
    """Plan and check a study; no trial is run yet.

    Args:
        task: the task to learn.
        candidates: names, formulas, activations or arms, with or without factors, to compare with the control.
        against: the control; by default the model's own activation.
        seeds: number of seeds; by default the fewest that can reach significance.
        budget: number of learning rates to try per arm; by default 8.
        seed: master random seed of the study.
        init: "as-is", or "gain" to draw all weights with the second-moment gain of each arm.
        splits: "per-seed" if every seed splits the rows anew, or "fixed"; by default per seed on small data.
        looks: after how many seeds the test set is read, and the significance level each time; by default once, at
            the end, at 0.04, which leaves 0.01 for seeds that are added later.
        equal: what all arms have the same of: "trials", also "seconds", "parameters" or "flops"; or such a budget that
            was measured before, which must fit.
        known: the budget of a stored study, which is used instead of a new measurement if it fits.
        measuring: what is measured beside the metric, from `measuring_of`.

    Raises:
        BadStudy: the plan cannot be carried out.
        BadTask: the model has no activation that can be replaced.
        UnknownActivation: a candidate is not in the catalog.
    """
    _check_numbers(seeds=seeds, budget=budget, seed=seed, init=init)
    check_equal(equal if isinstance(equal, str) else equal.equal, task)
    own, where = control_of(task)
    if init == "gain" and isinstance(task, OwnTraining):
        raise BadStudy(f"init must be as-is: task '{task.name}' builds its models itself. Draw their weights there.")
    check_control(against)
    named = [kept_apart(one) for one in candidates]
    arms, merged = arms_of(own, named, against=against, task=task, init=init)
    arms, again = repeated(arms)
    merged = (*merged, *([HINT] if merged else []), *again)
    arms = tuple(placed(_with_gain(arm) if (arm.factors.init or init) == "gain" else arm, task) for arm in arms)
    shared = equal if isinstance(equal, Budget) else None
    if shared is not None and shared.settings.get(arms[0].name, task.epochs) != task.epochs:
        raise BadStudy(
            f"the budget must give the control, {arms[0].name}, the epochs of the task, {task.epochs}; got"
            f" {shared.settings[arms[0].name]}. Leave out the budget: it is measured anew."
        )
    check_arms(task, arms, where=where)
    if equal in ("parameters", "flops") and isinstance(task, Task):
        arms, shared = equally_large(arms, task=task, where=where, equal=equal)
    first = next_alpha(())
    count = seeds or (looks[-1].seeds if looks else seeds_needed(len(arms) - 1, alpha=first))
    plan = Plan(
        task=task.name,
        fingerprint=task.fingerprint(),
        arms=tuple(arm.name for arm in arms),
        points=rate_points(task.rates, budget=budget or BUDGET),
        seeds=seed_stream(seed, count=count),
        looks=tuple(looks or (Look(count, first),)),
        margin=task.metric.margin if task.metric.margin_is_relative else task.region(0.0),
        margin_is_relative=task.metric.margin_is_relative,
        splits=_splits(task, splits),
        init=init,
        seed=seed,
        contents={**task.contents(), **{f"the activation {arm.name}": arm.digest() for arm in arms}},
        budget=shared,
        measuring=measuring,
    )
    setting = Setting(task, {arm.name: arm for arm in arms}, where, plan)
    if equal == "seconds":
        fits = known is not None and fits_plan(known, plan, epochs=task.epochs)
        plan = replace(plan, budget=known if fits else equally_long(setting))
        setting = replace(setting, plan=plan)
    notes = (*task.notes, *([where.sentence()] if where else []), *merged, *plan.warnings())
    return Study(plan, setting, notes)


def compare(
    task: Learnable,
    *,
    candidates: Sequence[Named],
    seeds: int | None = None,
    budget: int | None = None,
    jobs: int = 1,
    seed: int = 0,
    store: str | Path | None = None,
    name: str | None = None,
    resume: bool = False,
    init: str = "as-is",
    splits: str | None = None,
    looks: Sequence[Look] | None = None,
    equal: str | Budget = TRIALS,
    measuring: Measuring = NOTHING_MORE,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Comparison:
    """Compare activations on a task fairly; the same seed gives the same numbers.

    Args:
        task: the task to learn.
        candidates: names, formulas, activations or arms to compare with the control.
        seeds: number of seeds; by default the fewest that can reach significance.
        budget: number of learning rates to try per arm; by default 8.
        jobs: processes that train at once.
        seed: master random seed of the study.
        store: an SQLite file or a database URL in which trials are stored; by default none are.
        name: the name of the study in the store; by default that of the task.
        resume: continue the newest stored study of this name.
        init: "as-is", or "gain".
        splits: "per-seed" or "fixed".
        looks: when the test set is read.
        equal: what all arms have the same of.
        measuring: what is measured beside the metric.
        progress: called after every trial, and at times while several train together.
        runner: runs the trials; by default this machine, with `jobs` processes.

    Raises:
        BadStudy, BadTask, UnknownActivation: as `prepare`; also if the stored study has another plan.
    """
    study = prepare(
        task,
        candidates=candidates,
        seeds=seeds,
        budget=budget,
        seed=seed,
        init=init,
        splits=splits,
        looks=looks,
        equal=equal,
        measuring=measuring,
    )
    with Store(store) as trials:
        return run_study(
            study,
            store=trials,
            name=name or task.name,
            resume=resume,
            seeds=seeds,
            progress=progress,
            runner=runner or LocalRunner(jobs),
        )


def run_study(
    study: Study,
    *,
    store: Store,
    name: str,
    resume: bool = False,
    number: int | None = None,
    seeds: int | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Comparison:
    """Run a prepared study.

    Args:
        study: what to run.
        store: where its trials are stored.
        name: its name in the store.
        resume: continue the newest stored study of this name.
        number: continue the stored study of this number instead.
        seeds: the number of seeds to go on to when it is resumed; by default those that it has.
        progress: called after every trial, and at times while several train together.
        runner: runs the trials; by default this machine.

    Raises:
        BadStudy: the stored study of this name has another plan, or the store cannot be written.
    """
    start = time.perf_counter()
    runner = runner or LocalRunner()
    if resume or number is not None:
        number, plan = store.resume(name, study.plan, seeds=seeds, number=number)
    else:
        number, plan = store.begin(name, study.plan), study.plan
    setting = replace(study.setting, plan=plan)
    with runner.crew(setting) as crew, leases(store, number) as claim:
        work = _Work(plan.trials, store, number, crew, progress, claim=claim)
        if isinstance(runner, LocalRunner):
            runner.listeners[:] = [work.hear]
        points = _range(plan, work, task=setting.task)
        for look in range(len(plan.looks)):
            work.carry_out(list(plan.cells(points, look=look)), label="training")
            choices = chosen(plan, work.done, points=points, look=look, metric=setting.task.metric)
            work.read_curves(plan, choices)
            found = read(plan, work.done, choices=choices, points=points, look=look, setting=setting)
            is_last = look + 1 == len(plan.looks)
            if is_last or (is_settled(found) and not plan.looks[look + 1].added):
                break
    cost = _cost(setting, found.arms, since=start)
    ends = at_ends(choices, points=points)
    notes = (
        *filter(None, [plan.measuring.label_sentence]),
        *(note for note in study.notes if note not in study.plan.warnings()),
        *plan.warnings(),  # of the stored plan, which may have other seeds
        *runner.notes(setting),
        *_notes(found, ends),
        *_failures(work.done),
        *_yardstick(found, setting),
    )
    result = replace(found, notes=notes, cost=cost)
    store.keep_result(number, stored_values(result), about=vars(likeness(setting.task)))
    return result


def _cost(setting: Setting, arms: Sequence[ArmResult], *, since: float) -> Cost:
    """Return the times of a training step and to the target, and the other costs that the plan asks for."""
    rates, task, measuring = {arm.activation: arm.rate for arm in arms}, setting.task, setting.plan.measuring
    cost = measured_cost(setting, rates, since=since)
    if isinstance(task, OwnTraining):
        return cost
    steps = {arm.activation: arm.steps_to_target for arm in arms}
    seconds = {arm: count * cost.step_seconds[arm] for arm, count in steps.items() if count is not None}
    cost = replace(cost, seconds_to_target=seconds)
    if COST in measuring.measures:
        cost = replace(cost, arms=detailed_costs(setting, task))
    if ENERGY in measuring.measures:
        energy = energies(setting, task, rates=rates, step_seconds=cost.step_seconds, watts=measuring.watts)
        cost = replace(cost, energy=energy)
    return replace(cost, seconds=time.perf_counter() - since)


def _range(plan: Plan, work: _Work, *, task: Learnable) -> tuple[int, ...]:
    """Return the points to try: the range of the plan, extended where an arm seems to get better beyond it."""
    points = tuple(range(len(plan.points)))
    while True:
        work.carry_out(list(plan.cells(points, look=0)), label="training")
        region = task.metric.region(mean(work.done[trial].valid for trial in plan.cells(points, look=0)))
        more = extension(plan, work.done, points=points, metric=task.metric, region=region)
        if not more:
            return points
        points = tuple(sorted((*points, *more)))
        work.total += len(list(plan.cells(more, look=len(plan.looks) - 1)))


def _notes(found: Comparison, ends: Mapping[str, int]) -> tuple[str, ...]:
    """Say how far the range of rates was extended, who is still at its end, and who was still learning."""
    notes = []
    planned, tried = found.plan.points, found.rates
    if len(tried) > len(planned):
        notes.append(
            f"An end of the learning rates from {planned[0]:.2g} to {planned[-1]:.2g} was chosen, so all arms tried"
            f" {tried[0]:.2g} to {tried[-1]:.2g}."
        )
    if ends and len(tried) > 1:
        each = ", ".join(f"{arm} ({count} of {len(found.arms[0].tests)} seeds)" for arm, count in ends.items())
        notes.append(f"Chose an end of the learning rates, so a better one may lie beyond: {each}.")
    notes += _noise(found)
    learning = [arm for arm in found.arms if 2 * arm.still_learning >= len(arm.tests)]
    if learning:
        each = ", ".join(f"{arm.activation} ({arm.still_learning} of {len(arm.tests)} seeds)" for arm in learning)
        longest = max(len(curve) for arm in learning for curve in arm.curves)
        notes.append(f"Still learning after {longest} epochs: {each}. Ask for more epochs to see where it ends.")
    return tuple(notes)


def _noise(found: Comparison) -> list[str]:
    """Say of each A/A comparison how far the two arms are apart, by noise alone."""
    tests = {arm.activation: arm.tests for arm in found.arms}
    notes = []
    for name in filter(is_again, tests):
        test = SignedRank(tuple(one - two for one, two in zip(tests[name], tests[original(name)], strict=True)))
        notes.append(
            f"A/A: {name} differs from {original(name)} by {test.mean:+.3g}{after_number(found.metric.unit)} on average"
            f" (p = {test.p:.2g}, not corrected), with the same activation: by noise alone."
        )
    return notes


BOOSTED_SPLITS = 3
"""On how many splits gradient boosting is fitted: it is a yardstick, which the verdict does not depend on."""


def _yardstick(found: Comparison, setting: Setting) -> tuple[str, ...]:
    """Say what gradient boosting reaches on a table of the user's, beside the best arm."""
    task = setting.task
    if isinstance(task, OwnTraining) or not task.origin or task.origin[0] != "table":
        return ()
    if found.plan.measuring.label_noise:
        return ()  # it would be fitted to the labels without noise
    from actlab.train.boosting import boosted, boosted_sentence  # imports scikit-learn's ensembles

    score = boosted(task, splits=found.plan.seeds[:BOOSTED_SPLITS] if setting.has_splits else None)
    best = max((arm.test for arm in found.arms), key=lambda value: found.metric.gain(value, over=0.0))
    return () if score is None else (boosted_sentence(task, score, network=best),)


def _failures(done: Mapping[Trial, Outcome]) -> tuple[str, ...]:
    """Say of each arm how many of its runs raised, and what."""
    notes = []
    for arm in dict.fromkeys(trial.arm for trial in done):
        own = [outcome for trial, outcome in done.items() if trial.arm == arm]
        failed = [outcome for outcome in own if outcome.message]
        if failed:
            worst, count = Counter(outcome.message for outcome in failed).most_common(1)[0]
            often = f"; {count} of them: " if count < len(failed) else ": "
            notes.append(
                f"{len(failed)} of {len(own)} runs of {arm} failed, and count as what was not learned{often}"
                f"{shortened(worst, limit=160)}"
            )
    return tuple(notes)


POLL_SECONDS = 0.5
"""How often a process looks whether the trials that another one runs are done."""


@final
class _Work:
    """Runs trials and stores each when it ends; those that another process runs are awaited."""

    def __init__(
        self, total: int, store: Store, number: int, crew: Crew, progress: Progress | None, *, claim: Claim
    ) -> None:
        self.total, self.store, self.number, self.crew = total, store, number, crew
        self.progress, self.claim = progress, claim
        self.done = store.outcomes(number)
        self.started = time.perf_counter()
        self.fresh = 0
        self.together: dict[Trial, Underway] = {}
        self.furthest: float = 0

    def hear(self, news: Underway) -> None:
        """Take how far runs are that train together."""
        self.together[news.lot] = news
        if news.runs:
            self._report(f"training: {news.lot.arm}, epoch {news.epochs} of {news.runs} runs together")

    def carry_out(self, trials: Sequence[Trial], *, label: str) -> None:
        """Run the trials that the store does not have yet."""
        self._report(label)
        while left := [trial for trial in trials if trial not in self.done]:
            before = len(self.done)
            for outcome in self.crew(left, self.claim):
                self.store.keep(self.number, outcome)
                self.done[outcome.trial] = outcome
                self.fresh += 1
                self._report(f"{label}: {outcome.trial.arm}")
            if all(trial in self.done for trial in left):
                return
            self.done |= self.store.outcomes(self.number, known=self.done)
            if len(self.done) > before:
                self._report(label)
            else:
                time.sleep(POLL_SECONDS)

    def read_curves(self, plan: Plan, choices: Mapping[str, Sequence[int]]) -> None:
        """Read the learning curves of the chosen trials that were stored before."""
        trials = [
            Trial(arm, *each) for arm, points in choices.items() for each in zip(points, plan.seeds, strict=False)
        ]
        stored = [trial for trial in trials if not self.done[trial].curve]
        for trial, curve in self.store.curves(self.number, stored).items():
            self.done[trial] = replace(self.done[trial], curve=curve)

    def _report(self, label: str) -> None:
        if self.progress is None:
            return
        elapsed, parts = time.perf_counter() - self.started, sum(each.done for each in self.together.values())
        fresh, far = self.fresh + parts, len(self.done) + parts
        left = elapsed / fresh * max(self.total - far, 0) if fresh else None
        # runs that end were counted in part before their outcomes arrive
        self.furthest = max(self.furthest, min(far, self.total) if parts else len(self.done))
        self.progress(self.furthest, self.total, left, label)


SMALL = 10_000
"""Rows below which every seed has its own split by default: there, the split is a large part of the noise."""


def _splits(task: Learnable, splits: str | None) -> str:
    """Return how the rows are split.

    Raises:
        BadStudy: every seed shall have its own split, but the task has one that cannot be drawn anew.
    """
    if isinstance(task, OwnTraining):
        return OWN
    if splits == OWN:
        raise BadStudy(f"splits must be {' or '.join(SPLITS)} for task '{task.name}'; got '{splits}'.")
    if splits == PER_SEED and not task.can_resplit:
        raise BadStudy(f"splits must be {FIXED}: task '{task.name}' has training, validation and test rows of its own.")
    if splits is not None:
        return splits
    return PER_SEED if task.can_resplit and task.rows < SMALL else FIXED


def _with_gain(arm: Arm) -> Arm:
    from actlab.theory.gains import gain

    return arm if arm.gain is not None else replace(arm, gain=gain(arm.means or arm.name))


def _check_numbers(*, seeds: int | None, budget: int | None, seed: int, init: str) -> None:
    for what, value, least in (("seeds", seeds, 2), ("budget", budget, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise BadStudy(f"{what} must be at least {least}; got {value}.")
    if init not in INITS:
        raise BadStudy(f"init must be {' or '.join(INITS)}; got '{init}'.")
