"""Do over 40 % of the ReLU units of a network die?

Networks of two, four and eight hidden layers of 64 units learn the built-in digits, with three optimizers, at learning
rates from harmless to far too high. A unit is dead if no training example activates it at the end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from statistics import mean

import torch
from page import Asked, asked, interval, publish, table, took
from torch import nn

import actlab
from actlab.train.builtin import builtin_task
from actlab.train.loop import train
from actlab.train.mlp import mlp
from actlab.train.task import Task

DEPTHS = (2, 4, 8)
OPTIMIZERS = {"sgd": (0.01, 1.0), "momentum": (0.003, 0.3), "adam": (0.0003, 0.03)}
"""By optimizer, the lowest and the highest learning rate; the next is √10 times the last."""

SEEDS = 9
CLAIM = 40.0
LEARNED = 90.0


Cell = tuple[str, int, float]
"""An optimizer, a number of hidden layers, and a learning rate."""


def rates_of(optimizer: str) -> list[float]:
    """Return five learning rates over two decades."""
    low, high = OPTIMIZERS[optimizer]
    return [float(f"{low * (high / low) ** (step / 4):.2g}") for step in range(5)]


@dataclass(frozen=True)
class Network:
    """One network: the percentage of its ReLU units that are dead, before and after training, and its accuracy.

    A network that diverged has no share after training.
    """

    before: float
    after: float
    test: float
    has_diverged: bool


def trained(cell: Cell, seed: int) -> Network:
    """Train one network at one optimizer, depth and learning rate."""
    torch.set_num_threads(1)
    optimizer, depth, rate = cell
    model = partial(mlp, nn.ReLU, sizes=(64, *[64] * depth, 10))
    task = replace(builtin_task("digits-relu"), model=model, optimizer=optimizer, origin=()).with_split(seed + 1)
    torch.manual_seed(seed)
    network = task.build()
    before = dead(network, task)
    run = train(network, task, rate=rate, seed=seed)
    return Network(before, 0.0 if run.diverged else dead(network, task), run.test, run.diverged)


def dead(network: nn.Module, task: Task) -> float:
    """Return the percentage of ReLU units that no training example activates."""
    with actlab.watch(network.train()) as watched:
        torch.autograd.backward(task.loss(network(task.train.inputs), task.train.targets))
    return 100 * mean(site.points[-1].dead_share for site in watched.quantities().sites)


Found = dict[Cell, list[Network]]
"""The networks of every cell, by seed."""


def measured(cells: Sequence[Cell], seeds: int, *, jobs: int) -> Found:
    """Measure every cell with every seed."""
    runs = list(product(cells, range(seeds)))
    found: Found = {cell: [] for cell in cells}
    with ProcessPoolExecutor(jobs) as pool:
        results = pool.map(trained, *zip(*runs, strict=True), chunksize=4)
        for number, ((cell, _), result) in enumerate(zip(runs, results, strict=True), start=1):
            found[cell].append(result)
            if number % 20 == 0 or number == len(runs):
                print(f"\r{number} of {len(runs)} networks", end="", flush=True)
    print()
    return found


def lines(found: Found, *, seconds: float, options: Asked) -> list[str]:
    """Return the result as Markdown: a table for every optimizer, and what follows from them."""
    text = []
    for optimizer in OPTIMIZERS:
        own = {cell: each for cell, each in found.items() if cell[0] == optimizer}
        depths = sorted({depth for _, depth, _ in own})
        head = ("learning rate", *(f"{depth} layers: dead, %" for depth in depths), *(f"accuracy, {d}" for d in depths))
        untrained = [interval([net.before for net in of_depth(own, depth)]) for depth in depths]
        rows = [("before training", *untrained, *("" for _ in depths))]
        for rate in sorted({rate for _, _, rate in own}):
            cells = [own[optimizer, depth, rate] for depth in depths]
            after = [interval([net.after for net in each if not net.has_diverged]) for each in cells]
            rows.append((f"{rate:g}", *after, *(f"{accuracy(each):.1f}" for each in cells)))
        text += [f"**{optimizer}**", "", *table(head, rows), ""]
    over = [cell for cell, nets in found.items() if share(nets) > CLAIM]
    learned = [cell for cell, nets in found.items() if accuracy(nets) >= LEARNED]
    shares = [share(found[cell]) for cell in learned]
    diverged = sum(net.has_diverged for nets in found.values() for net in nets)
    networks = sum(map(len, found.values()))
    return [
        *text,
        f"Over {CLAIM:.0f} % are dead on average in {len(over)} of {len(found)} settings"
        f"{': ' if over else ''}{'; '.join(named(cell, found) for cell in over)}.",
        "",
        f"In the {len(learned)} settings with {LEARNED:.0f} points or more, {min(shares, default=0):.0f} to"
        f" {max(shares, default=0):.0f} % are dead. Left out of the shares, as they diverged: {diverged}.",
        "",
        took(f"{networks} networks", seconds, jobs=options.jobs),
    ]


def named(cell: Cell, found: Found) -> str:
    """Name a setting, with its share of dead units and its accuracy."""
    optimizer, depth, rate = cell
    nets = found[cell]
    return f"{optimizer}, {depth} layers, {rate:g}: {share(nets):.0f} % dead, {accuracy(nets):.1f} points"


def share(networks: Sequence[Network]) -> float:
    """Return the mean percentage of dead units after training, of the networks that did not diverge."""
    return mean([net.after for net in networks if not net.has_diverged] or [0.0])


def of_depth(found: Found, depth: int) -> list[Network]:
    """Return the networks of one depth."""
    return [net for cell, nets in found.items() if cell[1] == depth for net in nets]


def accuracy(networks: Sequence[Network]) -> float:
    """Return the mean test accuracy."""
    return mean(net.test for net in networks)


def main() -> None:
    options = asked(__doc__ or "")
    start = time.perf_counter()
    cells = [(name, depth, rate) for name in OPTIMIZERS for depth in DEPTHS for rate in rates_of(name)]
    found = measured(cells[::5] if options.quick else cells, 2 if options.quick else SEEDS, jobs=options.jobs)
    publish("dead_relu", lines(found, seconds=time.perf_counter() - start, options=options), quick=options.quick)


if __name__ == "__main__":
    main()
