"""How much faster do 32 training runs go as batched lanes than one after another in the plain loop?

Eight learning rates by four seeds, on one thread. `--only steps` compares training steps: both ways take turns, and a
row of unit `ratio` holds the processor time of 32 steps of the plain loop over one step of 32 lanes, round by round.
`--only runs` compares whole runs, with every epoch's evaluation, each to its own plateau: lanes that end leave the
others fewer. A round of the plain loop trains every fourth run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from harness import Options, Row, options, percentiles_of, record, row
from torch import Tensor, nn

from actlab.study.arm import control_of, model_of, named_arm
from actlab.study.runner import one_thread
from actlab.train.builtin import builtin_task
from actlab.train.examples import Examples
from actlab.train.fused import optimizer_of
from actlab.train.lanes.decide import decide
from actlab.train.lanes.training import Batch, Lane, train_lanes
from actlab.train.loop import step, train
from actlab.train.mlp import mlp
from actlab.train.noise import PlainNoise
from actlab.train.task import OPTIMIZERS, Task

RATES = (3e-4, 5e-4, 8e-4, 1e-3, 2e-3, 3e-3, 5e-3, 8e-3)
SEEDS = 4
EVERY = 4
"""Of the plain loop's runs, one in so many is measured."""


class Block(nn.Module):
    """Attention, then two layers with the activation between them, each beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention, self.before_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        normal = self.before_attention(x)
        x = x + self.attention(normal, normal, normal, need_weights=False)[0]
        return x + self.layers(self.before_layers(x))


class Transformer(nn.Module):
    """Two blocks over the rows of an image."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embedding, self.places = nn.Linear(8, width), nn.Parameter(torch.zeros(8, width))
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.blocks(self.embedding(x) + self.places).mean(1))


class Convolutions(nn.Sequential):
    """Two convolutions with batch normalization."""

    def __init__(self) -> None:
        first = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        second = (nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        super().__init__(*first, *second, nn.Flatten(), nn.Linear(16, 10))


def images(name: str, model: Callable[[], nn.Module], *, shape: Sequence[int]) -> Task:
    """Make a task of the built-in digits for a network that takes them in another shape."""
    rows = builtin_task("digits-relu")
    parts = {
        part: Examples(each.inputs.reshape(-1, *shape), each.targets)
        for part, each in (("train", rows.train), ("valid", rows.valid), ("test", rows.test))
    }
    return Task(name, model, **parts, epochs=4, batch_size=32)


def deep() -> Task:
    """Make a task of the built-in digits for eight hidden layers of 128 units."""
    model = partial(mlp, nn.Sigmoid, sizes=(64, *[128] * 8, 10))
    return replace(builtin_task("digits"), name="eight hidden layers", model=model, optimizer="adam", origin=())


@dataclass(frozen=True)
class Case:
    """A task, and the activation in it: that of its model, or another."""

    task: Callable[[], Task]
    activation: str = ""


CASES: Mapping[str, Case] = {
    "diabetes": Case(partial(builtin_task, "diabetes")),
    "breast-cancer": Case(partial(builtin_task, "breast-cancer")),
    "digits-relu": Case(partial(builtin_task, "digits-relu")),
    "digits-relu with a typed formula": Case(partial(builtin_task, "digits-relu"), "x*tanh(softplus(x))"),
    "digits": Case(partial(builtin_task, "digits")),
    "eight hidden layers": Case(deep),
    "transformer": Case(partial(images, "transformer", Transformer, shape=(8, 8))),
    "convolutions": Case(partial(images, "convolutions", Convolutions, shape=(1, 8, 8))),
}


def lanes_of(case: Case) -> list[Lane]:
    """Build the runs: those of one seed begin with one model."""
    task = case.task()
    control, where = control_of(task)
    arm = named_arm(case.activation) if case.activation else control
    models = [model_of(task, arm, where=where, seed=seed) for seed in range(SEEDS)]
    return [Lane(task, models[seed], rate, seed) for rate in RATES for seed in range(SEEDS)]


def steps(lanes: Sequence[Lane], *, asked: Options) -> list[float]:
    """Return the ratio of the times of 32 plain steps and of one step of 32 lanes, round by round."""
    task, batch = lanes[0].task, Batch(lanes, fixed=decide(lanes).fixed)
    batch.stack.template.train()
    model = copy.deepcopy(lanes[0].model).train()
    optimizer = optimizer_of(OPTIMIZERS[task.optimizer], model, rate=lanes[0].rate)
    noise = PlainNoise(model, 0)
    rows = torch.stack([torch.randperm(len(task.train))[: task.batch_size] for _ in lanes])

    def alone() -> None:
        for lane in range(0, len(lanes), EVERY):
            loss = step(model, task, optimizer=optimizer, rows=rows[lane], noise=noise, number=0)
            assert loss.isfinite()
            loss.item()

    def together() -> None:
        batch.step(rows, number=0)

    return ratios(alone, together, rounds=asked.repeats(15))


def runs(lanes: Sequence[Lane], *, asked: Options) -> list[float]:
    """Return the ratio of the times of 32 whole runs, round by round."""
    lanes = lanes[: 2 * EVERY] if asked.quick else lanes
    fixed = decide(lanes).fixed

    def alone() -> None:
        for lane in lanes[::EVERY]:
            train(copy.deepcopy(lane.model), lane.task, rate=lane.rate, seed=lane.seed)

    return ratios(alone, partial(train_lanes, lanes, fixed=fixed), rounds=asked.repeats(2), warm_up=0)


def ratios(
    alone: Callable[[], object], together: Callable[[], object], *, rounds: int, warm_up: int = 2
) -> list[float]:
    """Take turns, and return the processor time of all plain runs over that of the lanes."""
    found = []
    for number in range(warm_up + rounds):
        seconds = []
        for call in (alone, together):
            start = time.process_time()
            call()
            seconds.append(time.process_time() - start)
        if number >= warm_up:
            found.append(EVERY * seconds[0] / seconds[1])
    return found


def measured(part: str, *, asked: Options) -> list[Row]:
    found = []
    # Whole runs of the others take the plain loop minutes.
    chosen = list(CASES) if part == "steps" else ["diabetes", "breast-cancer", "digits-relu"]
    if asked.quick:
        chosen = ["diabetes", "transformer"] if part == "steps" else ["diabetes"]
    for name, case in CASES.items():
        if name not in chosen:
            continue
        lanes = lanes_of(case)
        how = steps if part == "steps" else runs
        values = how(lanes, asked=asked)
        decision = decide(lanes)
        found.append(
            row(
                f"lanes: {part}",
                name,
                unit="ratio",
                measured=percentiles_of(values),
                dtype="float32",
                shape=f"{len(lanes)} lanes, batch {lanes[0].task.batch_size}",
                note="" if decision.together else decision.reason,
            )
        )
    return found


def main() -> None:
    asked = options(__doc__ or "", parts=("steps", "runs"))
    with one_thread():
        for part in (asked.only,) if asked.only else ("steps", "runs"):
            record("lanes", measured(part, asked=asked), asked=asked)


if __name__ == "__main__":
    main()
