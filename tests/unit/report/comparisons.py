"""Comparisons with chosen results, for the tests of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from actlab.study.comparison import ArmResult, Comparison, Cost
from actlab.study.plan import Look, Plan
from actlab.study.verdict import best_group, judge, learned
from actlab.study.words import Findings, arm_sentence, overall, recommended
from actlab.train.kinds import ACCURACY, ERROR, Metric
from actlab.train.loop import Epoch

CONTROL = (70.0, 71.0, 69.0, 72.0, 70.5, 68.0, 71.5, 70.0)
TESTS = {
    "sigmoid": CONTROL,
    "relu": tuple(value + step for value, step in zip(CONTROL, (21, 20, 23, 19, 22, 24, 18, 21), strict=True)),
    "gelu": tuple(
        value + step for value, step in zip(CONTROL, (0.2, -0.1, 0.15, -0.2, 0.1, -0.15, 0.05, -0.05), strict=True)
    ),
    "tanh": tuple(value + step for value, step in zip(CONTROL, (4, -3, 2, -1, 5, -2, 1, 2), strict=True)),
    "softplus": tuple(value - step for value, step in zip(CONTROL, (9, 8, 11, 7, 10, 12, 6, 9), strict=True)),
}
ERRORS = {name: tuple(150.0 - value for value in values) for name, values in TESTS.items() if name != "softplus"} | {
    "elu": tuple(150.0 - value for value in TESTS["softplus"])
}


def made(
    tests: Mapping[str, Sequence[float]] = TESTS,
    *,
    metric: Metric = ACCURACY,
    task: str = "digits",
    sentence: str = "Handwritten digits.",
    baseline: float = 10.0,
    curves: Mapping[str, Sequence[Sequence[float]]] | None = None,
    costs: Mapping[str, float] | None = None,
    notes: tuple[str, ...] = (),
    plateaus: bool = False,
) -> Comparison:
    """Return a comparison with these test metrics, the control first.

    A seed whose curve is shorter than another diverged, or, with `plateaus`, reached its plateau.
    """
    names = tuple(tests)
    seeds = len(tests[names[0]])
    control = mean(tests[names[0]])
    judgements = judge(tests, metric=metric, region=metric.region(control), alpha=0.05, seed=0)
    findings = Findings(
        control=names[0],
        metric=metric,
        baseline=baseline,
        region=metric.region(control),
        means={name: mean(values) for name, values in tests.items()},
        learned=learned(tests, metric=metric, baseline=baseline),
        seeds=seeds,
        judgements=judgements,
        group=best_group(tests, metric=metric, alpha=0.05),
        operations={},
    )
    curves = curves or {name: _rising(values, baseline) for name, values in tests.items()}
    relative = dict(costs if costs is not None else {name: 1 + 0.1 * number for number, name in enumerate(names)})
    return Comparison(
        task=task,
        sentence=sentence,
        plan=_plan(names, task=task, seeds=seeds, metric=metric),
        rates=(0.001, 0.01),
        metric=metric,
        baseline=baseline,
        region=findings.region,
        target=60.0,
        look=0,
        arms=tuple(
            _arm(name, tests[name], curves=curves[name], findings=findings, plateaus=plateaus) for name in names
        ),
        group=findings.group,
        recommended=recommended(findings),
        verdict=overall(findings),
        notes=notes,
        cost=Cost(61.0, {name: 0.001 * value for name, value in relative.items()}, relative),
    )


def errors(
    tests: Mapping[str, Sequence[float]] = ERRORS, curves: Mapping[str, Sequence[Sequence[float]]] | None = None
) -> Comparison:
    """Return a comparison of a regression, in which less is better."""
    sentence = "Progress of diabetes."
    return made(tests, metric=ERROR, task="diabetes", sentence=sentence, baseline=140.0, curves=curves)


def _rising(values: Sequence[float], baseline: float) -> list[list[float]]:
    return [[baseline, (baseline + value) / 2, value] for value in values]


def _plan(names: tuple[str, ...], *, task: str, seeds: int, metric: Metric) -> Plan:
    return Plan(
        task=task,
        fingerprint="0123456789abcdef" * 4,
        arms=names,
        points=(0.001, 0.01),
        seeds=tuple(range(2, 2 + seeds)),
        looks=(Look(seeds, 0.05),),
        margin=metric.margin,
        margin_is_relative=metric.margin_is_relative,
        splits="fixed",
        init="as-is",
        seed=0,
    )


def _arm(
    name: str, tests: Sequence[float], *, curves: Sequence[Sequence[float]], findings: Findings, plateaus: bool
) -> ArmResult:
    judgement = findings.judgements.get(name)
    longest = max(len(curve) for curve in curves)
    # The seeds of `_plan` begin with 2.
    diverged = () if plateaus else tuple(2 + at for at, curve in enumerate(curves) if len(curve) < max(1, longest))
    return ArmResult(
        activation=name,
        rate=0.01,
        rates=(0.01,) * len(tests),
        tuned=(50.0, 60.0),
        curves=tuple(tuple(Epoch(loss=1.0, valid=value) for value in curve) for curve in curves),
        valid=mean(tests) + 0.25,
        test=mean(tests),
        tests=tuple(tests),
        beside={},
        diverged=len(diverged),
        runs=2 * len(tests),
        still_learning=0,
        epochs=float(longest),
        steps_to_target=None if name == findings.control else 1234.0,
        good_rates=1.0,
        good_range=(0.001, 0.01),
        learned=findings.learned[name],
        difference=judgement.difference if judgement else None,
        verdict=judgement.verdict if judgement else "control",
        more_seeds=judgement.more_seeds if judgement else None,
        sentence=arm_sentence(name, findings),
        diverged_seeds=diverged,
    )
