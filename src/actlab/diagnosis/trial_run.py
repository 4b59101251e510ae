"""Train a copy of a model for some steps and watch it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, final

import torch
from torch import nn
from torch.optim import Optimizer

from actlab.diagnosis.report import Report, StoppedEarly, ordered
from actlab.diagnosis.watch import watch
from actlab.errors import BadInput
from actlab.rules.finding import Finding
from actlab.rules.running.al113_backward_raises import fails_in_training
from actlab.sites.trace.calls import tensors_in
from actlab.sites.trace.preserve_state import copy_of
from actlab.sites.trace.run import Loss
from actlab.telemetry.settings import Settings
from actlab.train.tree import called_with
from actlab.user_code import their_code

StepsDone = Callable[[int, int], None]
Examine = Callable[[nn.Module, Any, Any], list[Finding]]

_MEASURED = 200
"""At most this many steps are measured, evenly spaced; of a shorter run, all."""

_RATE = 1e-3
DEFAULT_OPTIMIZER = f"No optimizer was given: the copy was trained with Adam at a learning rate of {_RATE:g}."


def trial(
    model: nn.Module,
    data: Iterable[tuple[Any, Any]],
    loss: Loss,
    *,
    optimizer: Optimizer | None,
    steps: int,
    settings: Settings,
    examine: Examine,
    progress: StepsDone | None = None,
) -> Report:
    """Return the report of a trial run of a copy; if a step raises, of the steps before.

    Args:
        model, loss, optimizer, settings, progress: as for `check`.
        data: the batches, repeated from the start if needed.
        steps: how many to train.
        examine: called with a model, inputs and targets whose loss or gradients are not finite; returns why.

    Raises:
        BadInput: the model cannot be copied, or there is no data.
        StoppedEarly: Ctrl-C; its report holds the findings so far.
    """
    with torch.random.fork_rng(devices=[]):  # a loader draws random numbers
        batches = list(islice(data, steps))
    if not batches:
        raise BadInput("data: at least one batch is required; the loader is empty.")
    devices = sorted({value.device for value in model.parameters() if value.is_cuda}, key=str)
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        with their_code("copying the model", error=BadInput):
            copied = copy_of(model)
        for module in copied.modules():
            module.training = True  # a model may have a `train` of another meaning
        copy_hooks(model, copied)
        try:
            stepper = copied_optimizer(optimizer, model, copied)
        except BadInput as error:
            return Report((), raised=error)
        return _trained(
            copied, islice(cycle(batches), steps), loss, stepper, steps=steps, settings=settings, examine=examine,
            progress=progress,
        )  # fmt: skip


def _trained(
    model: nn.Module,
    batches: Iterable[tuple[Any, Any]],
    loss: Loss,
    optimizer: Optimizer,
    *,
    steps: int,
    settings: Settings,
    examine: Examine,
    progress: StepsDone | None,
) -> Report:
    watched = watch(model, every=max(1, steps // _MEASURED), settings=settings)
    lost: _Lost | None = None
    done = 0
    raised: BadInput | None = None
    try:
        with watched:
            for done, (inputs, targets) in enumerate(batches, start=1):
                random = torch.get_rng_state()
                value = loss_of_step(model, optimizer, loss, inputs, targets)
                if lost is None and not _are_finite(model, value):
                    lost = _Lost(done, copy.deepcopy(model.state_dict()), random, inputs, targets)
                with their_code("the training step", error=BadInput):
                    optimizer.step()
                watched.step(value)
                if progress is not None:
                    progress(done, steps)
    except KeyboardInterrupt:
        raise StoppedEarly(watched.report()) from None
    except BadInput as error:
        raised = error
    report = watched.report()
    found = [] if lost is None else lost.why(model, examine)
    if isinstance(raised, BadBackward):
        found.append(fails_in_training(str(raised), done, _kept_graph(model)))
    kept = [each for each in report.findings if each.id != "AL107" or not found]  # a consequence of the first
    return replace(report, findings=ordered([*kept, *found]), raised=raised)


@final
@dataclass(frozen=True)
class _Lost:
    """The first training step whose loss or gradients were not finite, as it was before the optimizer's step."""

    step: int
    state: dict[str, Any]
    random: torch.Tensor
    inputs: Any
    targets: Any

    def why(self, model: nn.Module, examine: Examine) -> list[Finding]:
        """Return what was not finite first, found by a repetition of the step."""
        model.load_state_dict(self.state)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.random)
            found = examine(model, self.inputs, self.targets)
        return [
            replace(
                each,
                message=f"in training step {self.step}, {each.message}",
                evidence={**each.evidence, "step": self.step},
            )
            for each in found
        ]


def _are_finite(model: nn.Module, loss: torch.Tensor) -> bool:
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    return all(bool(each.isfinite().all()) for each in (loss, *gradients) if each.layout is torch.strided)


def loss_of_step(model: nn.Module, optimizer: Optimizer | None, loss: Loss, inputs: Any, targets: Any) -> torch.Tensor:
    """Compute the gradients of one step and return its loss; an optimizer's old gradients are cleared before."""
    args, kwargs = called_with(inputs)
    with their_code("the training step", error=BadInput):
        if optimizer is not None:
            optimizer.zero_grad()
        output = model(*args, **kwargs)
        value = loss(output) if targets is None else loss(output, targets)
    with their_code("the backward pass", error=BadBackward if value.requires_grad else BadInput):
        torch.autograd.backward(value)
    return value.detach()


@final
class BadBackward(BadInput):
    """The backward pass raised."""


def _kept_graph(model: nn.Module) -> str:
    """Return the name of an attribute of the model that keeps a graph from one step to the next; empty if none does."""
    for path, module in model.named_modules():
        for name, value in {**vars(module), **module._buffers}.items():
            if not name.startswith("_") and any(each.grad_fn is not None for each in tensors_in([value])):
                return f"{path}.{name}" if path else name
    return ""


def copy_hooks(model: nn.Module, copied: nn.Module) -> None:
    """Copy the hooks on the parameters' gradients, such as a mask's: a deep copy of a tensor lacks them."""
    for own, its in zip(model.parameters(), copied.parameters(), strict=True):
        for hook in (own._backward_hooks or {}).values():
            its.register_hook(hook)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types


def copied_optimizer(optimizer: Optimizer | None, model: nn.Module, copied: nn.Module) -> Optimizer:
    """Return an optimizer of the copy with the same settings and state; Adam by default."""
    if optimizer is None:
        return torch.optim.Adam((value for value in copied.parameters() if value.requires_grad), lr=_RATE)
    if not _steps_on(optimizer, model):
        raise BadInput("the optimizer holds none of the model's parameters: its steps do not change the model.")
    pairs = zip(model.parameters(), copied.parameters(), strict=True)
    copies = {id(own): its for own, its in pairs}
    held = [[copies[id(value)] for value in group["params"] if id(value) in copies] for group in optimizer.param_groups]
    groups = [{**group, "params": its} for group, its in zip(optimizer.param_groups, held, strict=True) if its]
    with their_code("copying the optimizer", error=BadInput):
        kind: Callable[..., Optimizer] = type(optimizer)
        result = kind([{"params": group["params"]} for group in groups])
        for own, its in zip(result.param_groups, groups, strict=True):
            own.update({name: copy.deepcopy(value) for name, value in its.items() if name != "params"})
        for param, state in optimizer.state.items():
            if id(param) in copies:
                result.state[copies[id(param)]] = copy.deepcopy(state)
    return result


def _steps_on(optimizer: Optimizer, model: nn.Module) -> bool:
    """Return whether the optimizer holds a parameter of the model."""
    held = {id(value) for group in optimizer.param_groups for value in group["params"]}
    return any(id(value) in held for value in model.parameters())
