"""At which depth does sigmoid stop learning, why, and what helps?

Networks of one to eight hidden layers of 32 units learn the built-in digits. The control is sigmoid; beside it stand
other activations, and sigmoid with batch normalization, with clipped gradients, and with weights drawn by its gain.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from page import asked, cost, interval, publish, table
from torch import nn

import actlab
from actlab.study.comparison import Comparison
from actlab.train.builtin import builtin_task
from actlab.train.mlp import mlp
from actlab.train.task import Task

DEPTHS = (1, 2, 3, 4, 6, 8)
CANDIDATES = (
    "relu",
    "tanh",
    "sigmoid@norm=batch",
    "sigmoid@clip=1",
    "sigmoid@init=gain",
    "relu@init=gain",
)


def task_of(depth: int) -> Task:
    """Return the task of learning the digits with so many hidden layers."""
    model = partial(mlp, nn.Sigmoid, sizes=(64, *[32] * depth, 10))
    return replace(builtin_task("digits"), name=f"digits, {depth} layers", model=model, origin=())


def share_that_arrives(depth: int, activation: type[nn.Module], seed: int) -> float:
    """Return the size of the loss gradient at the first activation over that at the last, before any training."""
    task = task_of(depth)
    torch.manual_seed(seed)
    network = mlp(activation, sizes=(64, *[32] * depth, 10))
    with actlab.watch(network) as watched:
        torch.autograd.backward(task.loss(network(task.train.inputs), task.train.targets))
    sizes = [site.points[-1].gradient_rms for site in watched.quantities().sites]
    return sizes[0] / sizes[-1]


def row_of(depth: int, found: Comparison) -> tuple[str, ...]:
    """Return the row of one depth: the mean test accuracy of every arm over the seeds, with its interval."""
    return (f"{depth}", *(interval(arm.tests) for arm in found.arms))


def main() -> None:
    options = asked(__doc__ or "")
    results = {}
    for depth in DEPTHS[:1] if options.quick else DEPTHS:
        print(f"{depth} hidden layers", flush=True)
        results[depth] = actlab.compare(
            task_of(depth),
            CANDIDATES[:3] if options.quick else CANDIDATES,
            seeds=3 if options.quick else None,
            budget=2 if options.quick else None,
            jobs=options.jobs,
            store=options.store,
            resume=True,
        ).comparison
    arms = [arm.activation for arm in next(iter(results.values())).arms]
    kinds = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    shares = [
        (f"{depth}", *(f"{share_that_arrives(depth, kind, seed=0):.2g}" for kind in kinds.values()))
        for depth in results
        if depth > 1
    ]
    recommended = [(f"{depth}", found.recommended, ", ".join(found.group)) for depth, found in results.items()]
    publish(
        "depth",
        [
            "Test accuracy in points, mean over the seeds with its 95 % bootstrap interval:",
            "",
            *table(("hidden layers", *arms), [row_of(*each) for each in results.items()]),
            "",
            "Size of the loss gradient at the first activation over that at the last, before training:",
            "",
            *table(("hidden layers", *kinds), shares),
            "",
            "Verdicts:",
            "",
            *table(("hidden layers", "recommended", "as good as the best"), recommended),
            "",
            cost(list(results.values()), jobs=options.jobs),
        ],
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
