"""Train the trials of one arm together, as batched lanes if that is faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import final

from actlab.errors import BadTask
from actlab.study.again import stream_of
from actlab.study.arm import model_of
from actlab.study.outcome import Outcome
from actlab.study.plan import Trial
from actlab.study.setting import Setting
from actlab.train.lanes.decide import Decision, decide, holds
from actlab.train.lanes.training import Lane, each_run
from actlab.train.loop import train
from actlab.train.own_training import OwnTraining, carry_out_own
from actlab.train.run import Run
from actlab.train.task import Task

LARGEST = 96
"""Trials that train together at most: more gain little, and their memory grows with their number."""

SAID_SECONDS = 0.3
"""How often it is said how far runs are that train together."""

SMALLEST = 8
"""Lots are not divided further for the sake of more processes: fewer trials gain less from each other."""


def lots_of(trials: Sequence[Trial], *, jobs: int) -> list[tuple[Trial, ...]]:
    """Return the trials in lots of one arm each, the largest first, for so many processes.

    The trials of one seed stay together, as far as the sizes allow: they share rows and dropout.

    Example:
        >>> trials = [Trial("relu", point, seed) for seed in range(9) for point in range(8)]
        >>> [len(lot) for lot in lots_of(trials, jobs=2)], [len(lot) for lot in lots_of(trials[:8], jobs=2)]
        ([36, 36], [8])
    """
    lots = []
    ordered = sorted(trials, key=lambda trial: (trial.arm, trial.seed, trial.point))
    arms = [tuple(of_arm) for _, of_arm in groupby(ordered, key=lambda trial: trial.arm)]
    for of_arm in arms:
        parts = max(math.ceil(len(of_arm) / LARGEST), min(jobs, len(of_arm) // SMALLEST), 1)
        ends = [round(len(of_arm) * number / parts) for number in range(parts + 1)]
        lots += [of_arm[start:end] for start, end in pairwise(ends)]
    return sorted(lots, key=len, reverse=True)


@final
@dataclass(frozen=True)
class Underway:
    """How far the runs of a lot are that train together.

    Attributes:
        lot: the first trial of the lot.
        runs: how many of them have not ended.
        epochs: the epochs that they have done.
        least_epochs: those that they do at least.
    """

    lot: Trial
    runs: int
    epochs: int
    least_epochs: int

    @property
    def done(self) -> float:
        """The part of these runs that is done, in runs; it grows, but their end is not known beforehand."""
        return self.runs * self.epochs / (max(self.epochs, self.least_epochs) + 1)


def carry_out(setting: Setting, trial: Trial) -> Outcome:
    """Run one trial; its result does not depend on when and where.

    Raises:
        BadTask: the model or the loss raised.
    """
    start = time.perf_counter()
    task, rate = setting.task_of(trial.seed, arm=trial.arm), setting.plan.rate(trial.point)
    arm, seed = setting.arms[trial.arm], stream_of(trial.arm, trial.seed)
    if isinstance(task, OwnTraining):
        assert arm.build is not None  # only the activation of a model that is there is left as it is
        run = carry_out_own(task, arm.build, rate=rate, seed=seed)
    else:
        model = model_of(task, arm, where=setting.where, seed=seed)
        run = train(model, task, rate=rate, seed=seed, clip=arm.clip)
    return _outcome(trial, run, rate=rate, seconds=time.perf_counter() - start)


def _outcome(trial: Trial, run: Run, *, rate: float, seconds: float) -> Outcome:
    return Outcome(
        trial=trial,
        rate=rate,
        valid=run.valid,
        test=run.test,
        diverged=run.diverged,
        still_learning=run.still_learning,
        best=run.best,
        steps=run.steps,
        curve=run.curve,
        seconds=seconds,
        beside=run.beside,
        message=run.message,
    )


@final
class LotTrainer:
    """Trains lots of trials in this process; what holds for one lot of an arm serves for the next.

    Args:
        setting: what all trials have in common.

    Attributes:
        decisions: how the runs of each arm go, and why.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.decisions: dict[str, Decision] = {}

    def outcomes(
        self, lot: Sequence[Trial], *, underway: Callable[[Underway], None] = lambda news: None
    ) -> Iterator[Outcome]:
        """Train the trials of one arm and yield their outcomes as they end.

        Args:
            lot: the trials.
            underway: called at times while they train together.

        Raises:
            BadTask: the model or the loss raised.
        """
        left = dict.fromkeys(lot)
        if isinstance(self.setting.task, Task):
            lanes = self._lanes(lot)
            decision = self._decided(lot[0].arm, lanes)
            if decision.together:
                epoch_ended = _at_times(underway, lot[0], least=lanes[0].task.epochs)
                try:
                    for each in each_run(lanes, fixed=decision.fixed, epoch_ended=epoch_ended):
                        trial = lot[each.place]
                        yield _outcome(trial, each.run, rate=lanes[each.place].rate, seconds=each.seconds)
                        del left[trial]
                except BadTask as error:  # one by one it may train, or say what is wrong with it
                    epoch_ended(0, 0)
                    reason = f"Training together stopped: {error}"
                    self.decisions[lot[0].arm] = Decision(False, reason)
        for trial in left:
            yield carry_out(self.setting, trial)

    def _lanes(self, lot: Sequence[Trial]) -> list[Lane]:
        arm, where = self.setting.arms[lot[0].arm], self.setting.where
        seeds = dict.fromkeys(trial.seed for trial in lot)
        found = {seed: self.setting.task_of(seed, arm=arm.name) for seed in seeds}
        tasks = {seed: task for seed, task in found.items() if isinstance(task, Task)}
        streams = {seed: stream_of(arm.name, seed) for seed in seeds}
        models = {seed: model_of(tasks[seed], arm, where=where, seed=streams[seed]) for seed in seeds}
        rate = self.setting.plan.rate
        return [
            Lane(tasks[trial.seed], models[trial.seed], rate(trial.point), streams[trial.seed], arm.clip)
            for trial in lot
        ]

    def _decided(self, arm: str, lanes: Sequence[Lane]) -> Decision:
        known = self.decisions.get(arm)
        if known is None or (known.together and not holds(known, lanes)):
            known = self.decisions[arm] = decide(lanes)
        return known


def _at_times(underway: Callable[[Underway], None], lot: Trial, *, least: int) -> Callable[[int, int], None]:
    """Return what passes on the ends of epochs, the last one and no more than a few a second."""
    said = time.monotonic()

    def epoch_ended(epochs: int, runs: int) -> None:
        nonlocal said
        if runs == 0 or time.monotonic() - said > SAID_SECONDS:
            said = time.monotonic()
            underway(Underway(lot, runs, epochs, least))

    return epoch_ended
