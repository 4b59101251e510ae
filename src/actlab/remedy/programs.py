"""From what the user names to a training: a task, or a model with batches, a loss and an optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actlab.diagnosis.trial_run import copy_hooks
from actlab.errors import BadInput
from actlab.remedy.training import Group, Origin, OwnOptimizer, Training
from actlab.sites.trace.preserve_state import copy_of
from actlab.sites.trace.run import unwrapped
from actlab.train.examples import Examples
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.train.tree import joined, leaves, mapped
from actlab.user_code import their_code

FEWEST_ROWS = 20
"""With fewer rows a fifth of them decides nothing."""

MOST_BATCHES, MOST_ROWS = 400, 20_000
"""What is read of a loader, which may never end."""

STEPS = 240
"""The least training steps of one run of a model whose batches alone are known."""

_RATE = 1e-3


def training_of(subject: Task | Subject, *, origin: Origin | None = None) -> Training:
    """Return the training of a task, or of a model with a batch and a loss.

    Raises:
        BadInput: the loss is missing, or the rows are too few to hold some out.
    """
    if isinstance(subject, Task):
        return Training(subject, origin=origin)
    return training_of_model(
        subject.model,
        [(subject.inputs, subject.targets)],
        loss=subject.loss,
        optimizer=subject.optimizer,
        name=subject.name,
        origin=origin,
    )


def training_of_model(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    loss: Callable[..., Any] | None,
    optimizer: Optimizer | None = None,
    valid: tuple[Any, Any] | None = None,
    epochs: int | None = None,
    name: str = "model",
    origin: Origin | None = None,
) -> Training:
    """Return the training of copies of a model; neither it nor its optimizer is changed.

    Args:
        model: the model with the weights to start from.
        batches: pairs of inputs and targets.
        loss: a function of outputs and targets.
        optimizer: of the model's parameters; without it, Adam with a learning rate of 0.001.
        valid: inputs and targets to validate on; by default a fifth of the rows of the batches.
        epochs: passes over the batches; by default enough for 240 steps.
        name: names the model in messages.
        origin: where the program can be loaded afresh.

    Raises:
        BadInput: the model cannot be copied, the loss or validation data are missing, or the batches are not pairs.
        BadTask: model, batches and loss do not fit together.
    """
    if loss is None:
        raise BadInput(f"{name}: a loss is required to measure a repair; got none. Pass loss=.")
    if not isinstance(model, nn.Module):
        raise BadInput(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    model = unwrapped(model)
    start = _copied(model, name)
    start.cpu()
    rows, size = _rows(batches, name)
    train, held = _divided(rows, valid, name)
    size = min(size, len(train))
    steps = -(-len(train) // size)
    task = Task(
        name,
        lambda: _copied(start, name),
        train=train,
        valid=held,
        test=held,
        loss=_loss(loss, has_targets=rows.targets is not rows.inputs),
        batch_size=size,
        epochs=epochs or max(1, -(-STEPS // steps)),
        rates=(_RATE, _RATE),
        optimizer="adam",
    )
    own = None if optimizer is None else own_optimizer(optimizer, model)
    return Training(task, own_optimizer=own, fixed_start=True, origin=origin)


def own_optimizer(optimizer: Optimizer, model: nn.Module) -> OwnOptimizer:
    """Return what an optimizer of the model is, by the names of the parameters.

    Raises:
        BadInput: it holds none of the model's parameters, or is not an optimizer.
    """
    if not isinstance(optimizer, Optimizer):
        raise BadInput(f"optimizer must be a torch.optim.Optimizer; got {type(optimizer).__name__}.")
    names = {id(each): name for name, each in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        settings = {key: copy.deepcopy(value) for key, value in group.items() if key != "params"}
        held = tuple(names[id(each)] for each in group["params"] if id(each) in names)
        if held:
            groups.append(Group(held, settings))
    if not groups:
        raise BadInput("the optimizer holds none of the model's parameters: its steps do not change the model.")
    state = {names[id(each)]: copy.deepcopy(value) for each, value in optimizer.state.items() if id(each) in names}
    return OwnOptimizer(type(optimizer), tuple(groups), state)


def _copied(model: nn.Module, name: str) -> nn.Module:
    with their_code(f"{name}: copying the model", error=BadInput):
        copied = copy_of(model)
    copy_hooks(model, copied)
    return copied


def _loss(loss: Callable[..., Any], *, has_targets: bool) -> Callable[..., Any]:
    if has_targets:
        return loss
    return lambda outputs, _: loss(outputs)


def _rows(batches: Iterable[Any], name: str) -> tuple[Examples, int]:
    """Join the batches; return the rows, and how many the first batch has."""
    with torch.random.fork_rng(devices=[]), their_code(f"{name}: reading the batches", error=BadInput):
        read = list(islice(batches, MOST_BATCHES))
    pairs: list[tuple[Any, Any]] = []
    count = size = 0
    for each in read:
        if not isinstance(each, Sequence) or len(each) != 2:
            raise BadInput(f"{name}: each batch must be a pair of inputs and targets; got a {type(each).__name__}.")
        first = next(leaves(each[0]), None)
        if not isinstance(first, Tensor) or first.dim() == 0:
            raise BadInput(f"{name}: the inputs of a batch must be tensors; got {type(each[0]).__name__}.")
        size = size or len(first)
        count += len(first)
        pairs.append((each[0], each[1]))
        if count >= MOST_ROWS:
            break
    if not pairs:
        raise BadInput(f"{name}: at least one batch is required; got none.")
    if pairs[0][1] is None:
        inputs = joined([inputs for inputs, _ in pairs])
        return Examples(inputs, inputs), size
    return Examples(joined([x for x, _ in pairs]), joined([y for _, y in pairs])), size


def _divided(rows: Examples, valid: tuple[Any, Any] | None, name: str) -> tuple[Examples, Examples]:
    """Return the rows to train on, and those to validate on."""
    if valid is not None:
        return rows, Examples(*valid)
    count = len(rows)
    if count < FEWEST_ROWS:
        raise BadInput(
            f"{name}: no validation data: at least {FEWEST_ROWS} rows are required, a fifth of which is held out; got"
            f" {count}. Pass more batches, or valid=(inputs, targets)."
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    held = count // 5
    return rows.at(order[held:]), rows.at(order[:held])


def with_rows(training: Training, change: Callable[[Examples], Examples]) -> Training:
    """Return a training on rows that a function changed, such as scaled inputs."""
    task = training.task
    parts: dict[str, Any] = {part: change(getattr(task, part)) for part in ("train", "valid", "test")}
    return replace(training, task=replace(task, **parts))


def standardized(values: Any, like: Any) -> Any:
    """Return each tensor of a tree minus the mean of its counterpart, divided by its deviation, per feature."""
    if isinstance(values, Tensor):
        mean, deviation = like.mean(0), like.std(0)
        return (values - mean) / torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    if isinstance(values, Mapping):
        return {key: standardized(each, like[key]) for key, each in values.items()}
    return mapped(lambda each: each, values)
