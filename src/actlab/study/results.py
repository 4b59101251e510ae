"""Compute a comparison from the outcomes of its trials."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import geometric_mean, mean, median

from actlab.formula.activation import Activation
from actlab.study.again import is_again
from actlab.study.choice import Done, tuned
from actlab.study.comparison import ArmResult, Comparison, Cost
from actlab.study.measured import measured_on_request, names_beside
from actlab.study.outcome import Outcome
from actlab.study.plan import Plan, Trial, next_alpha
from actlab.study.power import seeds_needed
from actlab.study.setting import Setting
from actlab.study.verdict import CONTROL, UNDECIDED, Judgement, best_group, judge, learned
from actlab.study.words import Findings, arm_sentence, overall, recommended
from actlab.theory.operations import operations
from actlab.train.kinds import Metric
from actlab.train.task import Learnable, Task

NEAR = 0.9
"""The share of the way from the baseline to the best arm that a target or a good rate must reach."""


def read(
    plan: Plan, done: Done, *, choices: Mapping[str, Sequence[int]], points: Sequence[int], look: int, setting: Setting
) -> Comparison:
    """Return the result at one look, without notes and costs.

    Args:
        plan: the plan.
        done: the outcomes of all trials up to this look.
        choices: the point that every arm chose with each seed; of the other points no test metric is read.
        points: all points that were tried.
        look: the index of the look.
        setting: task and arms.
    """
    task, metric = setting.task, setting.task.metric
    seeds = plan.seeds[: plan.looks[look].seeds]
    runs = {
        arm: [done[Trial(arm, point, seed)] for point, seed in zip(choices[arm], seeds, strict=True)]
        for arm in plan.arms
    }
    tests = {arm: tuple(run.test for run in each) for arm, each in runs.items()}
    parts = [setting.task_of(seed) for seed in seeds]
    baseline = mean(_baseline(each, "test") for each in parts)
    region = task.region(mean(tests[plan.control]))
    alpha = plan.looks[look].alpha
    left = next_alpha(plan.looks[: look + 1])
    later = left / alpha if left > 0 else 1.0
    judgements = judge(tests, metric=metric, region=region, alpha=alpha, seed=plan.seed, later=later)
    findings = Findings(
        control=plan.control,
        metric=metric,
        baseline=baseline,
        baseline_name=task.baseline_name,
        region=region,
        means={arm: mean(values) for arm, values in tests.items()},
        learned=learned(tests, metric=metric, baseline=baseline),
        seeds=len(seeds),
        judgements=judgements,
        group=best_group(tests, metric=metric, alpha=alpha),
        operations={
            name: operations(arm.means)
            for name, arm in setting.arms.items()
            if isinstance(arm.means, Activation) and arm.is_activation_alone
        },
        least=seeds_needed(plan.comparisons, alpha=plan.looks[-1].alpha),
    )
    lowest = mean(_baseline(each, "valid") for each in parts)
    values = {arm: tuned(plan, done, arm=arm, points=points, look=look) for arm in plan.arms}
    reached = {arm: mean(run.valid for run in each) for arm, each in runs.items()}
    target, target_sentence = _target(reached, findings, wanted=plan.measuring.target, baseline=lowest)
    good = _near_best([value for each in values.values() for value in each], metric=metric, baseline=lowest)
    own = task.beside if isinstance(task, Task) else ()
    arms = tuple(
        _arm(
            arm,
            tuned=values[arm],
            rates=[plan.rate(point) for point in points],
            done=done,
            runs=runs[arm],
            findings=findings,
            targets=(target, good),
            metric=metric,
            beside=_beside(runs[arm], without=names_beside(plan.measuring) - {each.name for each in own}),
        )
        for arm in plan.arms
    )
    return Comparison(
        task=task.name,
        sentence=task.sentence,
        plan=plan,
        rates=tuple(plan.rate(point) for point in points),
        metric=metric,
        baseline=baseline,
        region=region,
        target=target,
        look=look,
        arms=arms,
        group=findings.group,
        recommended=recommended(findings),
        verdict=overall(findings),
        notes=(),
        cost=Cost(0.0, {}, {}),
        target_sentence=target_sentence,
        measured=measured_on_request(runs, metric=metric, measuring=plan.measuring),
        baseline_name=task.baseline_name,
    )


def _baseline(task: Learnable, part: str) -> float:
    """Return the metric on a part of what has learned nothing; of a training of the user's, on any."""
    return task.baseline(getattr(task, part)) if isinstance(task, Task) else task.baseline()


def is_settled(found: Comparison) -> bool:
    """Return whether every arm is decided, but for those that repeat another one."""
    return all(arm.verdict != UNDECIDED or is_again(arm.activation) for arm in found.arms)


def _target(
    reached: Mapping[str, float], findings: Findings, *, wanted: float | None, baseline: float
) -> tuple[float, str]:
    """Return the validation metric that the steps to target count up to, and how it was chosen.

    Args:
        reached: the mean validation metric of every arm, the control first.
        findings: whether the control learned, and the size of a difference that does not matter.
        wanted: the target that the plan fixes.
        baseline: the validation metric of what has learned nothing.
    """
    metric, control = findings.metric, findings.control
    if wanted is not None:
        return wanted, "as the plan fixes it"
    if findings.learns(control):
        region = findings.region if metric.larger_is_better else -findings.region
        return reached[control] - region, f"what {control} reaches, less what does not matter"
    best = _near_best(list(reached.values()), metric=metric, baseline=baseline)
    how = f"nine tenths of the way from {findings.baseline_name} to the best arm"
    return best, f"{how}, as {control} does not learn"


def _near_best(values: Sequence[float], *, metric: Metric, baseline: float) -> float:
    """Return the metric nine tenths of the way from the baseline to the best of these values."""
    best = max(values, key=lambda value: metric.gain(value, over=baseline))
    return baseline + NEAR * (best - baseline)


def _arm(
    arm: str,
    *,
    tuned: tuple[float, ...],
    rates: Sequence[float],
    done: Done,
    runs: Sequence[Outcome],
    findings: Findings,
    targets: tuple[float, float],
    metric: Metric,
    beside: Mapping[str, float],
) -> ArmResult:
    own = [outcome for trial, outcome in done.items() if trial.arm == arm]
    judgement: Judgement | None = findings.judgements.get(arm)
    steps = [_first_step(run, target=targets[0], metric=metric) for run in runs]
    good = _good_rates(tuned, rates, target=targets[1], metric=metric)
    return ArmResult(
        activation=arm,
        rate=float(f"{geometric_mean(run.rate for run in runs):.4g}"),
        rates=tuple(run.rate for run in runs),
        tuned=tuned,
        curves=tuple(run.curve for run in runs),
        valid=mean(run.valid for run in runs),
        test=findings.means[arm],
        tests=tuple(run.test for run in runs),
        beside=beside,
        diverged=sum(outcome.diverged for outcome in own),
        runs=len(own),
        still_learning=sum(run.still_learning for run in runs),
        epochs=median(len(run.curve) for run in runs),
        steps_to_target=middle if math.isfinite(middle := median(steps)) else None,
        good_rates=math.log10(good[1] / good[0]) if good else 0.0,
        good_range=good,
        learned=findings.learned[arm],
        difference=judgement.difference if judgement else None,
        verdict=judgement.verdict if judgement else CONTROL,
        more_seeds=judgement.more_seeds if judgement else None,
        sentence=arm_sentence(arm, findings),
        missed_target=sum(map(math.isinf, steps)),
        diverged_seeds=tuple(run.trial.seed for run in runs if run.diverged),
    )


def _beside(runs: Sequence[Outcome], *, without: Collection[str]) -> dict[str, float]:
    """Return the mean of each metric beside the task's, over the runs that have it: a run that diverged has none."""
    names = dict.fromkeys(name for run in runs for name in run.beside if name not in without)
    return {name: mean(run.beside[name] for run in runs if name in run.beside) for name in names}


def _first_step(run: Outcome, *, target: float, metric: Metric) -> float:
    """Return the number of training steps until the validation metric reaches the target; infinite if it never does."""
    for number, epoch in enumerate(run.curve):
        if not metric.is_better(target, than=epoch.valid):
            return (number + 1) * run.steps / len(run.curve)
    return math.inf


def _good_rates(
    values: Sequence[float], rates: Sequence[float], *, target: float, metric: Metric
) -> tuple[float, float] | None:
    """Return the lowest and the highest learning rate that reach the target; None if none does."""
    good = [rate for rate, value in zip(rates, values, strict=True) if not metric.is_better(target, than=value)]
    return (min(good), max(good)) if good else None
