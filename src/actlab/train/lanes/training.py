"""Train many models of one structure at once, each as the plain loop would train it alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import final

import torch
from torch import Tensor, nn

from actlab.train.clipping import clipped
from actlab.train.examples import Examples
from actlab.train.fused import LaneOptimizer
from actlab.train.lanes.rows import LaneRows, lane_rows
from actlab.train.lanes.scores import losses_of, scores_of
from actlab.train.lanes.stack import Stack
from actlab.train.loop import diverged, finished
from actlab.train.noise import EVALUATION
from actlab.train.plateau import has_ended
from actlab.train.run import Epoch, Run
from actlab.train.task import OPTIMIZERS, Task
from actlab.user_code import their_code

EVALUATED_AT_ONCE = 512
"""Rows of each lane that are evaluated at once, which bounds the memory of many lanes."""


@dataclass(frozen=True)
class Lane:
    """One training run among several that run as one.

    Attributes:
        task: its task; the lanes of a batch have tasks that differ at most in their rows.
        model: the model with its initial weights; lanes may share it, since it is read only.
        rate: the learning rate.
        seed: what the order of the rows and the dropout are drawn from.
        clip: the norm to which its gradients are clipped; the same for all lanes of a batch.
    """

    task: Task
    model: nn.Module
    rate: float
    seed: int
    clip: float | None = None


@final
class _Member:
    """What is known of a lane while it trains."""

    def __init__(self, place: int, lane: Lane) -> None:
        self.place, self.lane = place, lane
        self.curve: list[Epoch] = []
        self.best, self.seconds = 0, 0.0


@final
class Batch:
    """The lanes that still train.

    Args:
        lanes: the lanes, those of one rate together.
        fixed: the buffers that all models share, and that training does not change.
    """

    def __init__(self, lanes: Sequence[Lane], *, fixed: frozenset[str] = frozenset()) -> None:
        self.task = lanes[0].task
        self._tasks = [lane.task for lane in lanes]
        self.stack = Stack([lane.model for lane in lanes], seeds=[lane.seed for lane in lanes], fixed=fixed)
        rates = [lane.rate for lane in lanes]
        self.optimizer = LaneOptimizer(OPTIMIZERS[self.task.optimizer], self.stack.trained, rates=rates)
        self.train, self.valid, self.test = (
            lane_rows([getattr(lane.task, part) for lane in lanes]) for part in ("train", "valid", "test")
        )
        self._losses, self._clip = losses_of(self.task), lanes[0].clip
        self._orders = {lane.seed: torch.Generator().manual_seed(lane.seed) for lane in lanes}

    def epoch(self, number: int) -> Tensor:
        """Train one epoch and return each lane's mean loss, which is not finite if that of a step was not."""
        count, size = self.train.count, self.task.batch_size
        shuffled = {seed: torch.randperm(count, generator=order) for seed, order in self._orders.items()}
        rows = torch.stack([shuffled[seed] for seed in self.stack.stream.seeds])
        total = torch.zeros(len(self.stack), dtype=torch.float64)
        self.stack.template.train()
        for batch, start in enumerate(range(0, count, size)):
            some = rows[:, start : start + size]
            if some.shape[1] > 1 or count == 1:  # as in the plain loop
                total += self.step(some, number=number * self.task.steps_per_epoch + batch).double() * some.shape[1]
        return total / count

    def step(self, rows: Tensor, *, number: int) -> Tensor:
        """Train one step and return the loss of each lane's batch."""
        losses, gradients = self.gradients(rows, number=number)
        self.optimizer.step(gradients)
        return losses

    def gradients(self, rows: Tensor, *, number: int) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Return the loss of each lane's batch and the gradients of all parameters, clipped if they are to be."""
        inputs, targets = self.train.take(rows)
        trained = self.stack.trained
        self.stack.stream.begin(number)
        with their_code(f"task '{self.task.name}': the model"):
            losses = self._losses(self.stack.layer(inputs), targets)
            found = torch.autograd.grad(losses.sum(), list(trained.values()), allow_unused=True)
        gradients: dict[str, Tensor | None] = dict(zip(trained, found, strict=True))
        return losses.detach(), gradients if self._clip is None else clipped(gradients, norm=self._clip)

    def metrics_on_valid(self) -> list[float | None]:
        """Return each lane's metric on its validation rows; None if an output or the metric is not finite."""
        return self._metrics(self.valid, self._tasks, [task.valid for task in self._tasks])

    def _metrics(self, rows: LaneRows, tasks: Sequence[Task], parts: Sequence[Examples]) -> list[float | None]:
        found, wanted, finite = self._outputs(rows)
        scores = scores_of(tasks, found, parts, wanted)
        return [
            score if is_finite and math.isfinite(score) else None
            for score, is_finite in zip(scores, finite, strict=True)
        ]

    def _outputs(self, rows: LaneRows) -> tuple[Tensor, Tensor, list[bool]]:
        """Return the outputs and the targets of all lanes, and whether each lane's outputs are finite."""
        self.stack.template.eval()
        outputs, targets = [], []
        for number, start in enumerate(range(0, rows.count, EVALUATED_AT_ONCE)):
            inputs, wanted = rows.between(start, start + EVALUATED_AT_ONCE)
            self.stack.stream.begin(number, phase=EVALUATION)
            with torch.no_grad(), their_code(f"task '{self.task.name}': the model"):
                outputs.append(self.stack.layer(inputs))
            targets.append(wanted)
        found, wanted = torch.cat(outputs, 1), torch.cat(targets, 1)
        return found, wanted, found.isfinite().flatten(1).all(1).tolist()

    def scores_on_test(self, values: dict[str, Tensor], lanes: Tensor) -> list[dict[str, float] | None]:
        """Return all scores on the test rows of some lanes, with these values of theirs; None if one is not finite."""
        tasks = [self._tasks[lane] for lane in lanes.tolist()]
        with self.stack.holding({name: each.index_select(0, lanes) for name, each in values.items()}):
            found, _, finite = self._outputs(self.test.keep(lanes))
            noisy = self._scores_with_noise(tasks)
        every = [task.scores(own, task.test) for task, own in zip(tasks, found.unbind(), strict=True)]
        return [
            {**scores, **more} if is_finite and all(map(math.isfinite, scores.values())) else None
            for scores, more, is_finite in zip(every, noisy, finite, strict=True)
        ]

    def _scores_with_noise(self, tasks: Sequence[Task]) -> list[dict[str, float]]:
        """Return each lane's metric on its test rows with each size of noise in their inputs, by name."""
        scores: list[dict[str, float]] = [{} for _ in tasks]
        distinct = {id(task): task for task in tasks}
        # Lanes of one seed share a task, and so the rows with noise.
        levels = zip(
            *([] if task.noise is None else task.noise.parts(task.test, task.train) for task in distinct.values()),
            strict=True,
        )
        for level in levels:
            own = {key: part for key, (_, part) in zip(distinct, level, strict=True)}
            parts = [own[id(task)] for task in tasks]
            found = self._metrics(lane_rows(parts), tasks, parts)
            for each, task, part, score in zip(scores, tasks, parts, found, strict=True):
                each[level[0][0]] = task.baseline(part) if score is None else score
        return scores

    def keep(self, lanes: Tensor) -> None:
        """Keep these lanes; the others have ended."""
        self.stack.keep(lanes)
        self.optimizer.keep(lanes, self.stack.trained)
        self.train, self.valid, self.test = (each.keep(lanes) for each in (self.train, self.valid, self.test))
        self._tasks = [self._tasks[lane] for lane in lanes.tolist()]
        self._orders = {seed: self._orders[seed] for seed in self.stack.stream.seeds}


@dataclass(frozen=True)
class Finished:
    """A lane that has ended.

    Attributes:
        place: its place among the lanes.
        run: its result.
        seconds: its share of the time.
    """

    place: int
    run: Run
    seconds: float


def train_lanes(lanes: Sequence[Lane], *, fixed: frozenset[str] = frozenset()) -> list[Run]:
    """Train many models at once and return their runs in order; `each_run` describes the arguments."""
    runs = {each.place: each.run for each in each_run(lanes, fixed=fixed)}
    return [runs[place] for place in range(len(lanes))]


def each_run(
    lanes: Sequence[Lane],
    *,
    fixed: frozenset[str] = frozenset(),
    epoch_ended: Callable[[int, int], None] = lambda epochs, left: None,
) -> Iterator[Finished]:
    """Train many models at once, each as the plain loop would alone, and yield their runs as they end.

    A lane ends where the plain loop would end it, at its plateau or by a divergence; the others go on without it.

    Args:
        lanes: the training runs; `decide` says whether they can run as one.
        fixed: the buffers that all models share, and that training does not change.
        epoch_ended: called with the number of epochs done and of the lanes that go on.

    Raises:
        BadTask: the model or the loss raised.
    """
    # Those of one rate together: the optimizer takes them as one.
    members = [_Member(place, lanes[place]) for place in sorted(range(len(lanes)), key=lambda each: lanes[each].rate)]
    batch = Batch([member.lane for member in members], fixed=fixed)
    best = batch.stack.copied()
    for epoch in count():
        start = time.perf_counter()
        runs, done = _note(members, batch.epoch(epoch).tolist(), batch.metrics_on_valid())
        better = [at for at, member in enumerate(members) if member.best == epoch + 1]
        batch.stack.copy_to(best, torch.tensor(better, dtype=torch.long))
        if done:
            tests = batch.scores_on_test(best, torch.tensor(done))
            runs.update({at: _run(members[at], scores) for at, scores in zip(done, tests, strict=True)})
        share = (time.perf_counter() - start) / len(members)
        for member in members:
            member.seconds += share
        epoch_ended(epoch + 1, len(members) - len(runs))
        yield from (Finished(members[at].place, run, members[at].seconds) for at, run in runs.items())
        left = [at for at in range(len(members)) if at not in runs]
        if not left:
            return
        if runs:
            kept = torch.tensor(left)
            batch.keep(kept)
            best = {name: each.index_select(0, kept) for name, each in best.items()}
            members = [members[at] for at in left]


def _note(
    members: Sequence[_Member], losses: Sequence[float], valid: Sequence[float | None]
) -> tuple[dict[int, Run], list[int]]:
    """Note the results of an epoch; return the runs of the lanes that diverged, and which others ended."""
    runs, done = {}, []
    for at, (member, loss, score) in enumerate(zip(members, losses, valid, strict=True)):
        task, curve = member.lane.task, member.curve
        is_finite = math.isfinite(loss)
        if is_finite:
            curve.append(Epoch(loss, task.baseline(task.valid) if score is None else score))
        if not is_finite or score is None:
            runs[at] = diverged(curve, task, steps=len(curve) * task.steps_per_epoch)
            continue
        if not member.best or task.metric.is_better(score, than=curve[member.best - 1].valid):
            member.best = len(curve)
        if has_ended([each.valid for each in curve], task):
            done.append(at)
    return runs, done


def _run(member: _Member, scores: dict[str, float] | None) -> Run:
    task, curve = member.lane.task, member.curve
    if scores is None:
        return diverged(curve, task, steps=len(curve) * task.steps_per_epoch)
    return finished(curve, task, best=member.best, scores=scores)
