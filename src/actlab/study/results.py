"""Compute a comparison from the outcomes of its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, median

from actlab.study.comparison import ArmResult, Comparison, Cost
from actlab.study.outcome import Outcome
from actlab.study.plan import CONFIRM, TUNE, Plan, Trial
from actlab.study.power import seeds_needed
from actlab.study.verdict import CONTROL, UNDECIDED, Judgement, judge, learned
from actlab.study.words import Findings, arm_sentence, overall
from actlab.train.kinds import Metric
from actlab.train.task import Task

NEAR = 0.9
"""The share of the way from the best constant prediction to the best arm that a target or a good rate must reach."""

Done = Mapping[Trial, Outcome]


def tuned(plan: Plan, done: Done, *, arm: str) -> tuple[float, ...]:
    """Return the validation metric of an arm at every learning rate, averaged over the tuning seeds."""
    return tuple(
        mean(done[Trial(arm, point, seed, TUNE)].valid for seed in plan.tuning_seeds)
        for point in range(len(plan.points))
    )


def winners(plan: Plan, done: Done, *, metric: Metric) -> dict[str, int]:
    """Return the best learning rate of each arm on validation data; the lowest of equal ones."""
    chosen = {}
    for arm in plan.arms:
        values = tuned(plan, done, arm=arm)
        chosen[arm] = max(
            range(len(values)), key=lambda point: (metric.gain(values[point], over=0.0), -plan.points[point])
        )
    return chosen


def read(plan: Plan, done: Done, *, chosen: Mapping[str, int], look: int, task: Task) -> Comparison:
    """Return the result at one look, without notes and costs."""
    metric, baseline = task.metric, task.baseline(task.test)
    seeds = plan.seeds[: plan.looks[look].seeds]
    runs = {arm: [done[Trial(arm, chosen[arm], seed, CONFIRM)] for seed in seeds] for arm in plan.arms}
    tests = {arm: tuple(_tested(run) for run in each) for arm, each in runs.items()}
    judgements = judge(tests, metric=metric, alpha=plan.looks[look].alpha, seed=plan.seed)
    region = metric.region(mean(tests[plan.control]))
    findings = Findings(
        control=plan.control,
        metric=metric,
        baseline=baseline,
        region=region,
        means={arm: mean(values) for arm, values in tests.items()},
        learned=learned(tests, metric=metric, baseline=baseline),
        seeds=len(seeds),
        judgements=judgements,
        least=seeds_needed(plan.comparisons, alpha=plan.looks[-1].alpha),
    )
    target = _near_best([mean(run.valid for run in each) for each in runs.values()], task=task)
    good = _near_best([value for arm in plan.arms for value in tuned(plan, done, arm=arm)], task=task)
    arms = tuple(
        _arm(arm, plan=plan, done=done, runs=runs[arm], findings=findings, targets=(target, good), task=task)
        for arm in plan.arms
    )
    return Comparison(
        task=task.name,
        sentence=task.sentence,
        plan=plan,
        metric=metric,
        baseline=baseline,
        region=region,
        target=target,
        look=look,
        arms=arms,
        verdict=overall(findings),
        notes=(),
        cost=Cost(0.0, {}, {}),
    )


def is_settled(found: Comparison) -> bool:
    """Return whether every arm is decided."""
    return all(arm.verdict != UNDECIDED for arm in found.arms)


def _tested(run: Outcome) -> float:
    assert run.test is not None
    return run.test


def _near_best(values: Sequence[float], *, task: Task) -> float:
    """Return the metric nine tenths of the way from the best constant prediction to the best of these values."""
    baseline = task.baseline(task.valid)
    best = max(values, key=lambda value: task.metric.gain(value, over=baseline))
    return baseline + NEAR * (best - baseline)


def _arm(
    arm: str,
    *,
    plan: Plan,
    done: Done,
    runs: Sequence[Outcome],
    findings: Findings,
    targets: tuple[float, float],
    task: Task,
) -> ArmResult:
    own = [outcome for trial, outcome in done.items() if trial.arm == arm]
    judgement: Judgement | None = findings.judgements.get(arm)
    values = tuned(plan, done, arm=arm)
    return ArmResult(
        activation=arm,
        point=runs[0].trial.point,
        rate=runs[0].rate,
        tuned=values,
        curves=tuple(run.curve for run in runs),
        valid=mean(run.valid for run in runs),
        test=findings.means[arm],
        tests=tuple(_tested(run) for run in runs),
        diverged=sum(outcome.diverged for outcome in own),
        runs=len(own),
        steps_to_target=_steps_to(targets[0], runs=runs, task=task),
        good_rates=_good_rates(values, target=targets[1], task=task),
        learned=findings.learned[arm],
        difference=judgement.difference if judgement else None,
        verdict=judgement.verdict if judgement else CONTROL,
        more_seeds=judgement.more_seeds if judgement else None,
        sentence=arm_sentence(arm, findings),
    )


def _steps_to(target: float, *, runs: Sequence[Outcome], task: Task) -> float | None:
    """Return the median steps until the validation metric reaches the target; None if fewer than half do."""
    steps = [_first_step(run, target=target, task=task) for run in runs]
    middle = median(steps)
    return middle if math.isfinite(middle) else None


def _first_step(run: Outcome, *, target: float, task: Task) -> float:
    for number, epoch in enumerate(run.curve):
        if not task.metric.is_better(target, than=epoch.valid):
            return (number + 1) * task.steps / task.epochs
    return math.inf


def _good_rates(values: Sequence[float], *, target: float, task: Task) -> float:
    """Return the decades of learning rate that reach the target: the share of the points, times all decades."""
    good = sum(not task.metric.is_better(target, than=value) for value in values)
    low, high = task.rates
    return good / len(values) * math.log10(high / low)
