"""The result of a comparison: one frozen value, with the same words in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from actlab.study.again import is_again
from actlab.study.arm_cost import ArmCost, ArmEnergy
from actlab.study.front import front
from actlab.study.measured import Measured
from actlab.study.plan import Plan
from actlab.train.kinds import CONSTANT, Metric
from actlab.train.loop import Epoch

STEP_TIME, OPERATIONS = "step time", "operations"

STEADY = 0.1
"""The share by which the ends of the interval of a step time may differ from it."""


@dataclass(frozen=True)
class Difference:
    """An arm's metric minus the control's, over paired seeds, on the test set.

    Attributes:
        each: one difference per seed.
        mean: the mean difference.
        estimate: the Hodges-Lehmann estimate of the difference.
        low: the lower end of the interval at the level of the arm's Holm step; the interval excludes 0 exactly when
            Holm rejects.
        high: the upper end.
        p: the two-sided p-value of the exact signed-rank test, not adjusted.
        adjusted_p: the p-value after Holm's correction.
        level: the confidence level of the interval.
        zeros: the number of pairs that do not differ.
    """

    each: tuple[float, ...]
    mean: float
    estimate: float
    low: float
    high: float
    p: float
    adjusted_p: float
    level: float
    zeros: int


@dataclass(frozen=True)
class ArmResult:
    """The result of one arm.

    Attributes:
        activation: the name of the arm.
        rate: the geometric mean of the learning rates that its seeds chose.
        rates: the learning rate that each seed chose.
        tuned: the validation metric at every learning rate tried, averaged over the seeds.
        curves: a learning curve for every seed, at the learning rate that it chose.
        valid: the mean validation metric over the seeds.
        test: the mean test metric over the seeds.
        tests: the test metric of every seed, in the order of the plan's seeds.
        beside: the mean over the seeds of each metric beside the task's, on the test part, by name.
        diverged: how many trials diverged, at any learning rate; they score as the baseline.
        runs: the number of trials.
        still_learning: with how many seeds training ended at the largest number of epochs and was still gaining.
        epochs: the median number of epochs.
        steps_to_target: median training steps until the validation metric reaches the target; None if fewer than half
            of the seeds reach it.
        good_rates: decades of learning rate over which the arm comes near the best arm on validation.
        good_range: the lowest and the highest of these learning rates; None if there are none.
        learned: with how many seeds the arm learned.
        difference: the difference from the control; None for the control itself.
        verdict: "control", "better", "worse", "minor", "equivalent" or "undecided".
        more_seeds: for an undecided arm, how many more seeds would probably settle it; None above the cap.
        sentence: the verdict in words.
        missed_target: with how many seeds the validation metric never reaches the target.
        diverged_seeds: the seeds whose run diverged at the learning rate that it chose.
    """

    activation: str
    rate: float
    rates: tuple[float, ...]
    tuned: tuple[float, ...]
    curves: tuple[tuple[Epoch, ...], ...]
    valid: float
    test: float
    tests: tuple[float, ...]
    beside: Mapping[str, float]
    diverged: int
    runs: int
    still_learning: int
    epochs: float
    steps_to_target: float | None
    good_rates: float
    good_range: tuple[float, float] | None
    learned: int
    difference: Difference | None
    verdict: str
    more_seeds: int | None
    sentence: str
    missed_target: int = 0
    diverged_seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cost:
    """Times, which differ from run to run.

    Attributes:
        seconds: the time of the whole study.
        step_seconds: median seconds of one training step, by arm, measured in turn.
        relative_step: the same, relative to the control.
        relative_low: the lower end of its 95 % interval.
        relative_high: the upper end.
        seconds_to_target: the steps to the target of every arm that reaches it, times a step timed alone.
        arms: times forward and backward, memory and operations of every arm, if they were asked for.
        energy: the energy of a training step of every arm, if it was asked for.
    """

    seconds: float
    step_seconds: dict[str, float]
    relative_step: dict[str, float]
    relative_low: dict[str, float] = field(default_factory=dict)
    relative_high: dict[str, float] = field(default_factory=dict)
    seconds_to_target: dict[str, float] = field(default_factory=dict)
    arms: tuple[ArmCost, ...] = ()
    energy: tuple[ArmEnergy, ...] = ()

    def is_steady(self, arm: str) -> bool:
        """Return whether the interval of an arm's relative step time lies within 10 % of it."""
        ratio = self.relative_step[arm]
        low, high = self.relative_low.get(arm, ratio), self.relative_high.get(arm, ratio)
        return (1 - STEADY) * ratio <= low and high <= (1 + STEADY) * ratio


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        task: the name of the task.
        sentence: the task in one line.
        plan: what was fixed before the run.
        rates: the learning rates that were tried, with those by which the range was extended.
        metric: the metric that the arms are judged by.
        baseline: the test metric of what has learned nothing.
        region: half the width of the region of practical equivalence, in the metric's unit.
        target: the validation metric that `steps_to_target` counts up to.
        look: the index of the look that the verdicts come from.
        arms: the control, then the candidates.
        group: the arms that cannot be distinguished from the best, the best first; the truly best one is among them
            with a probability of 95 %.
        recommended: the arm to use.
        verdict: a recommendation in a few sentences.
        notes: choices that a reader should know: what was replaced, left out, or run otherwise than requested.
        cost: times, which differ from run to run.
        target_sentence: how the target was chosen.
        measured: what was measured beside the metric on request.
        baseline_name: what has learned nothing: the best constant prediction, or an untrained model.
    """

    task: str
    sentence: str
    plan: Plan
    rates: tuple[float, ...]
    metric: Metric
    baseline: float
    region: float
    target: float
    look: int
    arms: tuple[ArmResult, ...]
    group: tuple[str, ...]
    recommended: str
    verdict: str
    notes: tuple[str, ...]
    cost: Cost
    target_sentence: str = ""
    measured: tuple[Measured, ...] = ()
    baseline_name: str = CONSTANT

    @property
    def control(self) -> ArmResult:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def is_measured(self) -> bool:
        """Whether anything was measured beside the metric on request."""
        return bool(self.measured or self.cost.arms or self.cost.energy)

    @property
    def fronts(self) -> dict[str, tuple[str, ...]]:
        """The arms that no other arm beats in both the mean test metric and a cost, by the name of the cost.

        The costs are the median time of a training step and, if it was asked for, the operations of a row. An arm that
        repeats another one is left out: it differs by noise alone. For display.
        """
        gains = {
            arm.activation: self.metric.gain(arm.test, over=0.0) for arm in self.arms if not is_again(arm.activation)
        }
        operations = {
            each.arm: float(each.product_flops + each.activation_operations)
            for each in self.cost.arms
            if each.activation_operations is not None
        }
        costs = {STEP_TIME: self.cost.relative_step, OPERATIONS: operations}
        compared = {name: {arm: cost for arm, cost in each.items() if arm in gains} for name, each in costs.items()}
        return {name: front(gains, each) for name, each in compared.items() if each}

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; infinite numbers become the strings "inf" and "-inf"."""
        plain = finite(asdict(self))
        assert isinstance(plain, dict)
        # The fronts depend on times, which differ from run to run.
        return {**plain, "cost": {**plain["cost"], "fronts": finite(self.fronts)}}


def finite(value: Any) -> Any:
    """Convert every infinite number to "inf" or "-inf", and every tuple to a list."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
