"""A copy of a model, trained for some steps and watched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from actlab.diagnosis.report import Report, StoppedEarly
from actlab.diagnosis.watch import Watch, watch
from actlab.errors import BadInput
from actlab.sites.trace.run import Loss
from actlab.telemetry.settings import Settings
from actlab.train.subject import called_with
from actlab.user_code import their_code

StepsDone = Callable[[int, int], None]

_MEASURED = 200
"""Steps of a trial run that are measured: a short run is measured whole, a long one at even distances."""


def trial(
    model: nn.Module,
    data: Iterable[tuple[Any, Any]],
    loss: Loss,
    *,
    optimizer: Optimizer | None,
    steps: int,
    settings: Settings,
    progress: StepsDone | None = None,
) -> Report | BadInput:
    """What a trial run of a copy gave; the error, where the run itself broke.

    Raises:
        BadInput: the model or its optimizer cannot be copied, or there is no data.
        StoppedEarly: Ctrl-C; it holds what was measured until then.
    """
    with torch.random.fork_rng(devices=[]):  # a loader draws when it is asked
        batches = list(islice(data, steps))
    if not batches:
        raise BadInput("the loader is empty: it gave no batch.")
    devices = sorted({value.device for value in model.parameters() if value.is_cuda}, key=str)
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        with their_code("copying the model", error=BadInput):
            twin = copy.deepcopy(model).train()
        _same_hooks(model, twin)
        try:
            stepper = _same_optimizer(optimizer, model, twin)
            watched = watch(twin, every=max(1, steps // _MEASURED), settings=settings)
            with told_if_stopped(watched), watched:
                for done, (inputs, targets) in enumerate(islice(cycle(batches), steps), start=1):
                    watched.step(_stepped(twin, stepper, loss, inputs, targets))
                    if progress is not None:
                        progress(done, steps)
        except BadInput as broke:
            return broke
        return watched.report()


@contextmanager
def told_if_stopped(watched: Watch) -> Iterator[None]:
    """A block around a watched loop, out of which Ctrl-C carries what was measured until then."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedEarly(watched.report()) from None


def _stepped(model: nn.Module, optimizer: Optimizer, loss: Loss, inputs: Any, targets: Any) -> torch.Tensor:
    args, kwargs = called_with(inputs)
    with their_code("the training step", error=BadInput):
        optimizer.zero_grad()
        output = model(*args, **kwargs)
        value = loss(output) if targets is None else loss(output, targets)
        torch.autograd.backward(value)
        optimizer.step()
    return value.detach()


def _same_hooks(model: nn.Module, twin: nn.Module) -> None:
    """Hooks on the parameters' gradients, such as a mask's: a deep copy of a tensor is without."""
    for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
        for hook in (mine._backward_hooks or {}).values():
            its.register_hook(hook)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types


def _same_optimizer(optimizer: Optimizer | None, model: nn.Module, twin: nn.Module) -> Optimizer:
    """The optimizer's settings and state over the copy's parameters; Adam where there is none."""
    if optimizer is None:
        return torch.optim.Adam(value for value in twin.parameters() if value.requires_grad)
    if not moves(optimizer, model):
        raise BadInput("the optimizer holds none of the model's parameters: its steps do not change the model.")
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    copies = {id(mine): its for mine, its in pairs}
    held = [[copies[id(value)] for value in group["params"] if id(value) in copies] for group in optimizer.param_groups]
    groups = [{**group, "params": its} for group, its in zip(optimizer.param_groups, held, strict=True) if its]
    with their_code("copying the optimizer", error=BadInput):
        kind: Callable[..., Optimizer] = type(optimizer)
        made = kind([{"params": group["params"]} for group in groups])
        for mine, its in zip(made.param_groups, groups, strict=True):
            mine.update({name: copy.deepcopy(value) for name, value in its.items() if name != "params"})
        for param, state in optimizer.state.items():
            if id(param) in copies:
                made.state[copies[id(param)]] = copy.deepcopy(state)
    return made


def moves(optimizer: Optimizer, model: nn.Module) -> bool:
    """Whether the optimizer holds a parameter of the model."""
    held = {id(value) for group in optimizer.param_groups for value in group["params"]}
    return any(id(value) in held for value in model.parameters())
