"""Does the ranking of activations transfer from task to task?

Seven activations are compared on five tasks. Kendall's tau says how alike two rankings are: 1 if they are the same, 0
if they have nothing in common, -1 if one is the other backwards. How alike the rankings of two halves of one task's
seeds are is the most that can be expected between tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import mean

import numpy as np
from page import FOLDER, asked, cost, publish, table
from scipy.stats import kendalltau

import actlab
from actlab.study.comparison import Comparison
from actlab.train.builtin import builtin_task
from actlab.train.table import table_task
from actlab.train.task import Task

CANDIDATES = ("leaky_relu", "elu", "silu", "gelu", "tanh", "sigmoid")
SEEDS = 10
DRAWS = 1000

Tests = np.ndarray
"""The test metric, larger is better; one row per activation, one column per seed."""


def ranking_of(tests: Tests) -> Tests:
    """Return the mean of each activation over the seeds."""
    means: Tests = tests.mean(axis=1)
    return means


def tau(one: Tests, other: Tests) -> float:
    """Return Kendall's tau between the rankings of two tasks; 0 if in one of them all are equal."""
    found = float(kendalltau(ranking_of(one), ranking_of(other)).statistic)
    return 0.0 if math.isnan(found) else found


def halves(tests: Tests, noise: np.random.Generator) -> float:
    """Return Kendall's tau between the rankings of two random halves of one task's seeds."""
    order = noise.permutation(tests.shape[1])
    middle = len(order) // 2
    return tau(tests[:, order[:middle]], tests[:, order[middle:]])


def drawn(tests: Tests, noise: np.random.Generator) -> Tests:
    """Draw as many seeds as there are, with replacement."""
    sample: Tests = tests[:, noise.integers(tests.shape[1], size=tests.shape[1])]
    return sample


def with_interval(value: float, samples: Sequence[float]) -> str:
    """Return a value and the 95 % bootstrap interval of these samples."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def loss_by_transfer(source: Tests, goal: Tests, *, region: float) -> float:
    """Return how much worse the winner of one task is on another than that one's own winner, in regions."""
    means = ranking_of(goal)
    return float((means.max() - means[ranking_of(source).argmax()]) / region)


def lines(results: dict[str, Comparison]) -> list[str]:
    """Return the result as Markdown."""
    noise = np.random.default_rng(0)
    sign = {name: found.metric.gain(1.0, over=0.0) for name, found in results.items()}
    tests = {name: sign[name] * np.array([arm.tests for arm in found.arms]) for name, found in results.items()}
    names = [arm.activation for arm in next(iter(results.values())).arms]
    places = {name: (-ranking_of(values)).argsort().argsort() + 1 for name, values in tests.items()}
    head = ("activation", *results)
    rows = [(name, *(f"{places[task][at]}" for task in results)) for at, name in enumerate(names)]
    group = ("in the best group", *(", ".join(found.group) for found in results.values()))
    pairs = []
    for one, other in combinations(results, 2):
        samples = [tau(drawn(tests[one], noise), drawn(tests[other], noise)) for _ in range(DRAWS)]
        pairs.append((f"{one}, {other}", with_interval(tau(tests[one], tests[other]), samples)))
    between = [tau(tests[one], tests[other]) for one, other in combinations(results, 2)]
    means = []
    for _ in range(DRAWS):
        again = {name: drawn(values, noise) for name, values in tests.items()}
        means.append(mean(tau(again[one], again[other]) for one, other in combinations(results, 2)))
    within = {name: mean(halves(values, noise) for _ in range(DRAWS)) for name, values in tests.items()}
    lost = [
        loss_by_transfer(tests[one], tests[other], region=results[other].region)
        for one in results
        for other in results
        if one != other
    ]
    return [
        "Places by the mean test metric:",
        "",
        *table(head, [*rows, group]),
        "",
        "Kendall's tau between tasks, with 95 % bootstrap intervals over the seeds:",
        "",
        *table(("tasks", "tau"), pairs),
        "",
        f"Mean over all pairs of tasks: {with_interval(mean(between), means)}. Between two halves of the seeds of one"
        f" task: {', '.join(f'{name} {value:+.2f}' for name, value in within.items())}.",
        "",
        f"Who takes the winner of one task for another loses {mean(lost):.1f} times what matters there on average, and"
        f" {max(lost):.1f} times at worst.",
    ]


def tasks(folder: str, *, is_quick: bool) -> list[Task]:
    """Return the tasks to compare activations on."""
    wine = table_task(str(FOLDER.parents[1] / "examples" / "wine.csv"), target="cultivar")
    phoneme = table_task(f"{folder}/phoneme.csv", target="target")
    found = [builtin_task("digits-relu"), builtin_task("diabetes"), builtin_task("breast-cancer")]
    return [*found[1:], wine] if is_quick else [*found, replace(wine, name="wine"), replace(phoneme, name="phoneme")]


def main() -> None:
    options = asked(__doc__ or "", data="the folder with phoneme.csv")
    results = {}
    for task in tasks(str(options.data), is_quick=options.quick):
        print(task.name, flush=True)
        results[task.name] = actlab.compare(
            task,
            CANDIDATES,
            seeds=4 if options.quick else SEEDS,
            budget=2 if options.quick else None,
            jobs=options.jobs,
            store=options.store,
            resume=True,
        ).comparison
    text = [*lines(results), "", cost(list(results.values()), jobs=options.jobs)]
    publish("transfer", text, quick=options.quick)


if __name__ == "__main__":
    main()
