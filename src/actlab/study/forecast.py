"""Say before a study what it will take and what it can decide, from a small pilot that is not part of it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any, final

import numpy as np

from actlab.study.compare import Progress, Study
from actlab.study.detectable import detectable, seeds_for_equivalence, seeds_to_detect
from actlab.study.lots import LotTrainer, lots_of
from actlab.study.outcome import Outcome
from actlab.study.plan import Plan, Trial
from actlab.study.power import seeds_needed, smallest_p
from actlab.study.runner import LocalRunner, Runner, all_of, one_thread
from actlab.train.adjusted import adjusted
from actlab.train.kinds import Metric, after_number
from actlab.train.task import Task

PILOT_SEEDS = 4
PILOT_CANDIDATES = 2
"""The pilot trains the control and at most so many candidates, at the middle learning rate."""

TIMED_LOT = 36
"""Trials that are timed together at most; larger lots are hardly faster."""

SHORTER = 10
"""They train for this fraction of the task's epochs."""

PILOT_STREAM = 2
"""The pilot's seeds are drawn from a stream that no study uses."""


@final
@dataclass(frozen=True)
class Pilot:
    """A few trials, measured on validation data, with seeds that the study does not use.

    Attributes:
        arms: the arms that were trained, the control first.
        seeds: with how many seeds.
        trials: the number of trials.
        seconds: the time that all of it took.
        epochs: the mean number of epochs of a trial.
        control: the control's mean validation metric.
        deviation: the standard deviation of the paired differences from the control.
        low: the lower end of its 95 % interval.
        high: the upper end.
    """

    arms: tuple[str, ...]
    seeds: int
    trials: int
    seconds: float
    epochs: float
    control: float
    deviation: float
    low: float
    high: float


@final
@dataclass(frozen=True)
class Forecast:
    """What a study will take and what it can decide.

    Attributes:
        plan: the plan.
        metric: the metric that the arms will be judged by.
        pilot: the trials that the forecast rests on.
        parallel: how many processes train at once.
        trial_seconds: the time of a trial in one process, in lots as large as those of the study.
        expected_seconds: the expected time of the study, if the range of learning rates is not extended.
        smallest_p: the smallest p-value that the test can reach at the last look.
        level: the level of the hardest of Holm's steps at that look; a smaller p-value is significant in any case.
        region: half the width of the region of practical equivalence.
        detectable: the true difference that is proved with 80 % power at this level; None if no difference is.
        seeds_to_detect: the number of seeds that prove a difference as large as the region with 80 % power; None above
            200.
        seeds_for_equivalence: the number that show equivalence of arms that do not differ; None above 200.
        least_seeds: the fewest seeds that can show any difference.
    """

    plan: Plan
    metric: Metric
    pilot: Pilot
    parallel: float
    trial_seconds: float
    expected_seconds: float
    smallest_p: float
    level: float
    region: float
    detectable: float | None
    seeds_to_detect: int | None
    seeds_for_equivalence: int | None
    least_seeds: int

    @property
    def verdict(self) -> str:
        """Whether the plan can decide, and what would."""
        seeds, margin = len(self.plan.seeds), f"{self.region:.3g}{after_number(self.metric.unit)}"
        if not self.plan.can_decide():
            return (
                f"This plan cannot decide: with {seeds} seeds no difference can be shown, however clear; at least"
                f" {self.least_seeds} seeds are needed (--seeds {self.least_seeds})."
            )
        if self.detectable is not None and self.detectable <= self.region:
            return f"This plan can decide: it finds a difference that matters ({margin}) with 80 % power."
        rough = "This plan decides clear differences only"
        if self.seeds_to_detect is None:
            return f"{rough}: for a difference that just matters ({margin}), even 200 seeds are too few."
        return (
            f"{rough}: for one that just matters ({margin}), about {self.seeds_to_detect} seeds are needed"
            f" (--seeds {self.seeds_to_detect})."
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "task": self.plan.task,
            "control": self.plan.control,
            "arms": list(self.plan.arms),
            "points": list(self.plan.points),
            "seeds": len(self.plan.seeds),
            "trials": self.plan.trials,
            "parallel": self.parallel,
            "trial_seconds": self.trial_seconds,
            "expected_seconds": self.expected_seconds,
            "smallest_p": self.smallest_p,
            "level": self.level,
            "can_decide": self.plan.can_decide(),
            "unit": self.metric.unit,
            "region": self.region,
            "power": 0.8,
            "detectable": self.detectable,
            "seeds_to_detect": self.seeds_to_detect,
            "seeds_for_equivalence": self.seeds_for_equivalence,
            "least_seeds": self.least_seeds,
            "pilot": {name: _plain(each) for name, each in vars(self.pilot).items()},
            "verdict": self.verdict,
            "plan": self.plan.to_json(),
            "error_rate": self.plan.error_rate,
        }


def forecast(
    study: Study, *, runner: Runner | None = None, jobs: int = 1, progress: Progress | None = None
) -> Forecast:
    """Run a small pilot and time a lot of trials, and say what the study will take and what it can decide.

    No trial of the study is run: the pilot has seeds of its own, and its test metrics are not read. The deviation of
    the paired differences comes from validation data at the middle learning rate.

    Args:
        study: the study that is planned.
        runner: runs the trials; by default this machine, with `jobs` processes.
        jobs: processes that train at once.
        progress: called after every trial.

    Raises:
        BadTask: the model or the loss raised.
    """
    plan, metric = study.plan, study.setting.task.metric
    began = time.perf_counter()
    ran, parallel = _piloted(study, runner=runner, jobs=jobs, progress=progress)
    pilot = _pilot(ran, arms=plan.arms[: 1 + PILOT_CANDIDATES], seconds=time.perf_counter() - began)
    # What is not training happens once in a study too: processes start, and each arm is tried both ways.
    start = max(0.0, pilot.seconds - sum(each.seconds for each in ran) / parallel)
    trial = _trial_seconds(study, ran, jobs=jobs, epochs=pilot.epochs)
    region = study.setting.task.region(pilot.control)
    look = plan.looks[-1]
    level = look.alpha / plan.comparisons
    shift = detectable(look.seeds, level=level)
    ratio = region / pilot.deviation if pilot.deviation > 0 else math.inf
    return Forecast(
        plan=plan,
        metric=metric,
        pilot=pilot,
        parallel=parallel,
        trial_seconds=trial,
        expected_seconds=start + trial * plan.trials / parallel,
        smallest_p=smallest_p(look.seeds),
        level=level,
        region=region,
        detectable=None if shift is None else shift * pilot.deviation,
        seeds_to_detect=seeds_to_detect(min(ratio, 100.0), level=level),
        seeds_for_equivalence=seeds_for_equivalence(min(ratio, 100.0), level=level),
        least_seeds=seeds_needed(plan.comparisons, alpha=look.alpha),
    )


def _piloted(
    study: Study, *, runner: Runner | None, jobs: int, progress: Progress | None
) -> tuple[Sequence[Outcome], float]:
    """Run the pilot; return its outcomes, and how many processes train at once."""
    plan = study.plan
    seeds = _seeds(plan.seed, count=PILOT_SEEDS)
    trials = [Trial(arm, len(plan.points) // 2, seed) for seed in seeds for arm in plan.arms[: 1 + PILOT_CANDIDATES]]
    ran: list[Outcome] = []
    with (runner or LocalRunner(jobs)).crew(study.setting) as crew:
        start = time.perf_counter()
        for outcome in crew(trials, all_of):
            ran.append(outcome)
            _report(progress, len(ran), len(trials))
        wall = time.perf_counter() - start
    at_once = jobs if runner is None else max(1.0, sum(each.seconds for each in ran) / wall)
    return ran, float(min(at_once, plan.trials))


def _trial_seconds(study: Study, ran: Sequence[Outcome], *, jobs: int, epochs: float) -> float:
    """Return the time of a trial, from a lot as large as those of the study that trains for a few epochs.

    The pilot's own lots are small, and a small lot takes more time per trial.
    """
    plan, setting = study.plan, study.setting
    if not isinstance(setting.task, Task):
        return mean(each.seconds for each in ran)
    seeds = _seeds(plan.seed, count=len(plan.seeds))
    trials = [Trial(plan.control, point, seed) for seed in seeds for point in range(len(plan.points))]
    lot = lots_of(trials, jobs=jobs)[0][:TIMED_LOT]
    shorter = adjusted(setting.task, epochs=max(1, setting.task.epochs // SHORTER))
    trainer = LotTrainer(replace(setting, task=shorter, plan=replace(plan, budget=None)))
    list(trainer.outcomes(lot[:1]))  # a warm-up: the first steps of a process are slower
    with one_thread():
        start = time.perf_counter()
        trained = sum(len(each.curve) for each in trainer.outcomes(lot))
        return (time.perf_counter() - start) / max(trained, 1) * epochs


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total, None, "pilot")


def _seeds(seed: int, *, count: int) -> tuple[int, ...]:
    drawn = np.random.SeedSequence([seed, PILOT_STREAM]).generate_state(count)
    return tuple(int(one) >> 1 for one in drawn)


def _pilot(ran: Sequence[Outcome], *, arms: Sequence[str], seconds: float) -> Pilot:
    values: Mapping[tuple[str, int], float] = {(each.trial.arm, each.trial.seed): each.valid for each in ran}
    control, *others = arms
    seeds = sorted({seed for _, seed in values})
    differences = np.array([[values[arm, seed] - values[control, seed] for seed in seeds] for arm in others])
    freedom = differences.size - len(others)
    deviation = float(np.sqrt(differences.var(axis=1, ddof=1).mean()))
    low, high = _deviation_interval(deviation, freedom=freedom)
    return Pilot(
        arms=tuple(arms),
        seeds=len(seeds),
        trials=len(ran),
        seconds=seconds,
        epochs=mean(len(each.curve) for each in ran),
        control=mean(values[control, seed] for seed in seeds),
        deviation=deviation,
        low=low,
        high=high,
    )


def _deviation_interval(deviation: float, *, freedom: int) -> tuple[float, float]:
    """Return the 95 % interval of a standard deviation, for normally distributed values."""
    from scipy.stats import chi2

    ends = [deviation * math.sqrt(freedom / chi2.ppf(share, freedom)) for share in (0.975, 0.025)]
    return ends[0], ends[1]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
