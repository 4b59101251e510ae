"""Decide whether training runs go as batched lanes: they give what the plain loop gives, and sooner."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from actlab.errors import BadTask
from actlab.train.fused import optimizer_of, update_of
from actlab.train.lanes.activations import ACTIVATIONS, why_not
from actlab.train.lanes.training import Batch, Lane
from actlab.train.loop import step
from actlab.train.noise import PlainNoise
from actlab.train.task import OPTIMIZERS, Task

CHECKED = 2
"""Steps of two lanes that are compared with the plain loop."""

AGREEMENT = 1e-3
"""The largest difference of a loss or a gradient from the plain loop's, relative to its size, in float32.

A step rounds in another order: differences of 1e-6 are usual, and cancellation may cost three digits. A wrong gradient
is off by its own size.
"""

TOGETHER = 8
"""Runs that are timed together at least, so that the choice for an arm does not depend on how many are left to run."""

TIMED, WARM = 3, 1
"""Steps that are timed, and steps before them, of either way."""


@dataclass(frozen=True)
class Decision:
    """How training runs go, and why.

    Attributes:
        together: whether they go as batched lanes.
        reason: why they do or do not, as a sentence.
        fixed: the buffers that all models share, and that training does not change.
    """

    together: bool
    reason: str
    fixed: frozenset[str] = frozenset()


def decide(lanes: Sequence[Lane]) -> Decision:
    """Decide how training runs go: try a few steps of both ways, compare the results and the times."""
    reason = _unlike(lanes) or _unfit(lanes[0])
    if reason:
        return Decision(False, reason)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pair = [lanes[0], lanes[-1]]
        alone = [_Alone(lane) for lane in pair]
        state = torch.get_rng_state()
        steps = [[one.step(number) for number in range(CHECKED)] for one in alone]
        if not torch.equal(state, torch.get_rng_state()):
            return Decision(False, "The model draws random numbers other than dropout.")
        fixed = _fixed_buffers(lanes, trained=[one.model for one in alone])
        try:
            batch = Batch(pair, fixed=fixed)
            reason = _difference(batch, steps) or _kept(batch.stack.template)
        except (BadTask, RuntimeError) as error:
            cause = error.__cause__ or error
            return Decision(False, f"The model cannot be batched: {_first_sentence(cause)}")
        if reason:
            return Decision(False, reason)
        return _faster(lanes, alone[0], fixed=fixed)


def holds(decision: Decision, lanes: Sequence[Lane]) -> bool:
    """Return whether a decision for other runs of the same kind holds for these too."""
    first = dict(lanes[0].model.named_buffers())
    models = {id(lane.model): dict(lane.model.named_buffers()) for lane in lanes}.values()
    return not _unlike(lanes) and all(
        torch.equal(first[name], buffers[name]) for buffers in models for name in decision.fixed
    )


def _unlike(lanes: Sequence[Lane]) -> str:
    """Return why runs cannot share a batch: their data or models differ in shape."""
    if not all(lane.task.is_plain and isinstance(lane.task.train.targets, Tensor) for lane in lanes):
        return "The inputs, the targets or the outputs are not one tensor each."
    for one, other in pairwise(lanes):
        for part in ("train", "valid", "test"):
            shapes = [
                (rows.inputs.shape, rows.targets.shape) for rows in (getattr(each.task, part) for each in (one, other))
            ]
            if shapes[0] != shapes[1]:
                return f"The {part} parts of the data differ in shape."
        if one.model is not other.model and _shapes(one.model) != _shapes(other.model):
            return "The models differ in structure from seed to seed."
    return ""


def _shapes(model: nn.Module) -> list[tuple[object, ...]]:
    own = [*model.named_parameters(), *model.named_buffers()]
    return [(name, each.shape, each.dtype, each.requires_grad) for name, each in own]


def _unfit(lane: Lane) -> str:
    """Return why a model or an optimizer cannot be batched, as far as that shows without running it."""
    if update_of(OPTIMIZERS[lane.task.optimizer]) is None:
        return f"The optimizer {lane.task.optimizer} has no step for batched lanes."
    for module in lane.model.modules():
        reason = why_not(module) if isinstance(module, ACTIVATIONS) else ""
        if reason:
            return f"{reason}."
    return ""


class _Alone:
    """A run of the plain loop, step by step."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.model = lane, copy.deepcopy(lane.model)
        self.optimizer = optimizer_of(OPTIMIZERS[lane.task.optimizer], self.model, rate=lane.rate)
        self.noise = PlainNoise(self.model, lane.seed)
        self.model.train()

    def step(self, number: int) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Take a step and return its loss and gradients."""
        rows = _rows(self.lane.task, number)
        task = self.lane.task
        loss = step(
            self.model,
            task,
            optimizer=self.optimizer,
            rows=rows,
            noise=self.noise,
            number=number,
            clip=self.lane.clip,
        )
        return loss, {
            name: None if each.grad is None else each.grad.clone() for name, each in self.model.named_parameters()
        }


def _rows(task: Task, number: int) -> Tensor:
    """Return the rows of a step: other ones each time, as long as there are some."""
    size = min(task.batch_size, len(task.train))
    return torch.arange(number * size, (number + 1) * size) % len(task.train)


def _fixed_buffers(lanes: Sequence[Lane], *, trained: Sequence[nn.Module]) -> frozenset[str]:
    """Return the buffers that all models share and that training does not change."""
    models = list({id(lane.model): lane.model for lane in lanes}.values())
    buffers = [dict(model.named_buffers()) for model in (*models, *trained)]
    running = {
        f"{path}.{name}" if path else name
        for path, module in models[0].named_modules()
        if hasattr(module, "running_mean")
        for name, _ in module.named_buffers(recurse=False)
    }
    return frozenset(
        name
        for name, first in buffers[0].items()
        if name not in running and all(torch.equal(first, other[name]) for other in buffers[1:])
    )


def _difference(batch: Batch, steps: Sequence[Sequence[tuple[Tensor, dict[str, Tensor | None]]]]) -> str:
    """Return in what a batch of lanes differs from the plain loop; an empty text if in nothing but rounding."""
    batch.stack.template.train()
    for number in range(CHECKED):
        rows = torch.stack([_rows(batch.task, number)] * len(steps))
        losses, gradients = batch.gradients(rows, number=number)
        for lane, alone in enumerate(steps):
            loss, wanted = alone[number]
            if not _agree(losses[lane], loss, scale=float(loss.abs())):
                return f"The batched loss differs from the plain loop's: {losses[lane]:g} instead of {loss:g}."
            scale = max((float(each.norm()) for each in wanted.values() if each is not None), default=0.0)
            for name, found in gradients.items():
                own = wanted[name]
                if (own is None) != (found is None) or not (
                    own is None or found is None or _agree(found[lane], own, scale=scale)
                ):
                    return f"The batched gradient of {name} differs from the plain loop's."
        batch.optimizer.step(gradients)
    return ""


def _kept(model: nn.Module) -> str:
    """Return a reason if a module keeps what a call computed other than in a buffer."""
    kept = (value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor))
    if any(torch._C._functorch.is_batchedtensor(value) for value in kept):
        return "The model keeps a tensor of the batch in an attribute that is not a buffer."
    return ""


def _agree(found: Tensor, wanted: Tensor, *, scale: float) -> bool:
    """Return whether tensors agree, relative to their size, or to that of everything beside it if they are tiny."""
    if not bool(wanted.isfinite().all()):
        return not bool(found.isfinite().all())
    return float((found - wanted).norm()) <= AGREEMENT * max(float(wanted.norm()), 1e-2 * scale)


def _faster(lanes: Sequence[Lane], alone: _Alone, *, fixed: frozenset[str]) -> Decision:
    """Time both ways and choose the faster one."""
    some = sorted([*lanes] * math.ceil(TOGETHER / len(lanes)), key=lambda lane: lane.rate)
    batch = Batch(some, fixed=fixed)
    batch.stack.template.train()
    rows = _rows(batch.task, 0)
    seconds_alone = _median_seconds(partial(alone.step, 0))
    seconds_together = _median_seconds(partial(batch.step, rows.expand(len(some), -1), number=0))
    gain = len(some) * seconds_alone / seconds_together
    if gain > 1.0:
        return Decision(True, f"{len(some)} runs train {gain:.1f} times faster together than one by one.", fixed)
    return Decision(False, f"{len(some)} runs train no faster together than one by one ({gain:.2f} times).")


def _median_seconds(step: Callable[[], object]) -> float:
    """Return the median processor time of a few steps, after a warm-up."""
    for _ in range(WARM):
        step()
    seconds = []
    for _ in range(TIMED):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return sorted(seconds)[TIMED // 2]


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{text.partition('. ')[0].rstrip('.')}."
