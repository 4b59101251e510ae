"""Do smooth activations stand noise better than those with kinks?

Seven activations learn the built-in digits. Their test rows get noise of three sizes; then a fifth and two fifths of
the training labels are replaced by wrong ones. The question is what the noise costs each activation, and whether the
smooth ones lose less.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from page import asked, cost, interval, publish, table, verdicts

import actlab
from actlab.study.comparison import Comparison
from actlab.theory.properties import properties
from actlab.train.builtin import builtin_task

CANDIDATES = ("leaky_relu", "hard_swish", "gelu", "silu", "mish", "tanh")
LABEL_NOISE = (0.0, 0.2, 0.4)
SEEDS = 10


def is_smooth(name: str) -> bool:
    """Return whether the derivative of an activation is continuous."""
    return not properties(name).kinks


def losses(found: Comparison, level: float) -> dict[str, list[float]]:
    """Return what noise of one size in the inputs changes of the test metric, by arm and seed."""
    clean, noisy = (next(each for each in found.measured if each.level == size) for size in (0.0, level))
    return {
        one.arm: [after - before for before, after in zip(one.values, other.values, strict=True)]
        for one, other in zip(clean.arms, noisy.arms, strict=True)
    }


def smooth_less_kinked(values: dict[str, list[float]]) -> list[float]:
    """Return by seed the mean over the smooth activations less the mean over those with kinks."""
    smooth = np.mean([each for name, each in values.items() if is_smooth(name)], axis=0)
    kinked = np.mean([each for name, each in values.items() if not is_smooth(name)], axis=0)
    return [float(each) for each in smooth - kinked]


def rows_of(columns: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """Return a row for every arm, and one for the difference of the smooth ones from those with kinks."""
    names = list(next(iter(columns.values())))
    rows = [
        [f"{name} ({'smooth' if is_smooth(name) else 'kink'})", *(interval(each[name]) for each in columns.values())]
        for name in names
    ]
    return [*rows, ["smooth less kinked", *(interval(smooth_less_kinked(each)) for each in columns.values())]]


def main() -> None:
    options = asked(__doc__ or "")
    results: dict[float, Comparison] = {}
    for share in LABEL_NOISE[:2] if options.quick else LABEL_NOISE:
        print(f"{share:.0%} wrong labels", flush=True)
        results[share] = actlab.compare(
            replace(builtin_task("digits-relu"), name=f"digits, {share:.0%} wrong labels", origin=()),
            CANDIDATES[:3:2] if options.quick else CANDIDATES,
            seeds=3 if options.quick else SEEDS,
            budget=2 if options.quick else None,
            jobs=options.jobs,
            store=options.store,
            resume=True,
            measure=["noise"],
            label_noise=share,
        ).comparison
    clean = results[0.0]
    levels = [each.level for each in clean.measured if each.level]
    inputs = {f"noise {level:g}": losses(clean, level) for level in levels}
    tests = {share: {arm.activation: list(arm.tests) for arm in found.arms} for share, found in results.items()}
    labels = {
        f"{share:.0%} wrong labels": {
            name: [after - before for before, after in zip(tests[0.0][name], each, strict=True)]
            for name, each in values.items()
        }
        for share, values in tests.items()
        if share
    }
    publish(
        "smooth",
        [
            "What noise in the inputs of the test rows changes of the test accuracy, in points; the size is a share of"
            " each input's standard deviation. Means over the seeds with 95 % bootstrap intervals:",
            "",
            *table(("activation", *inputs), rows_of(inputs)),
            "",
            "What wrong training labels change of the test accuracy, in points:",
            "",
            *table(("activation", *labels), rows_of(labels)),
            "",
            "Verdicts without noise:",
            "",
            *verdicts(clean),
            "",
            *(f"- With {share:.0%} wrong labels: {found.verdict}" for share, found in results.items() if share),
            "",
            cost(list(results.values()), jobs=options.jobs),
        ],
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
