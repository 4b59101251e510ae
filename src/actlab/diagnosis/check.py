"""Diagnose a model's activations from one batch, and from a trial run on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actlab.deprecation import renamed_keyword
from actlab.diagnosis.backward import BackwardPass
from actlab.diagnosis.evaluation_mode import depends_on_mode
from actlab.diagnosis.lenient import LENIENT, StandIns, lenient
from actlab.diagnosis.report import Report, StoppedEarly, ordered
from actlab.diagnosis.trial_run import DEFAULT_OPTIMIZER, StepsDone, trial
from actlab.diagnosis.watch import refuse_lazy, refuse_watched
from actlab.diagnosis.wider_dtype import HALF, is_finite_in_float32
from actlab.errors import BadInput
from actlab.rules.backward import Backward
from actlab.rules.context import Context
from actlab.rules.finding import Finding
from actlab.rules.observed import Observed
from actlab.rules.registry import batch_findings, validate
from actlab.sites.recognize.traced import traced
from actlab.sites.trace.calls import tensors_within
from actlab.sites.trace.preserve_state import uncollected
from actlab.sites.trace.readable import shape_of
from actlab.sites.trace.recorder import Repeated
from actlab.sites.trace.run import Loss, Recorded, in_mode, unwrapped
from actlab.sites.trace.trace import Step, Trace
from actlab.telemetry.settings import Settings
from actlab.train.tree import called_with

Batch = tuple[Any, Any]


@renamed_keyword("optimiser", "optimizer")
def check(
    model: nn.Module,
    batch: Any,
    loss: Loss | None = None,
    *,
    settings: Settings | None = None,
    optimizer: Optimizer | None = None,
    train_steps: int = 0,
    data: Iterable[Batch] | None = None,
    progress: StepsDone | None = None,
) -> Report:
    """Diagnose a model's activations, its loss and its construction.

    One forward pass is traced in training mode, with its backward pass, and one in evaluation mode; with `train_steps`,
    a copy is trained and watched. The model, its gradients, its optimizer and the random state are left unchanged.

    Args:
        model: the model, in any mode; the wrappers of `torch.compile` and DDP are taken off.
        batch: a pair of inputs and targets, or a loader, whose first batch is used. Inputs are one tensor, a tuple of
            arguments, or a dict of keyword arguments.
        loss: a function of the model's output and the targets; without it, outputs are not diagnosed.
        settings: the thresholds.
        optimizer: an optimizer of the model's parameters: its weight decay is checked, and a trial run uses a copy of
            it. Without it, a trial run uses Adam with a learning rate of 0.001.
        train_steps: for how many steps a copy is trained.
        data: the batches of the trial run, repeated from the start if needed; by default `batch` at every step.
        progress: called after every step of the trial run with the number of steps done and the total.

    If the model, the loss or a training step raises, the report holds the errors and warnings about what ran before,
    and the exception as `raised`.

    Raises:
        BadInput: the model or the loss cannot be run on the batch and nothing was found before, or cannot be traced.
        StoppedEarly: Ctrl-C during the trial run; a KeyboardInterrupt whose `report` holds the findings so far.

    Example:
        >>> from torch.nn import functional as F
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
        >>> report = check(model, (torch.randn(16, 4), torch.arange(16) % 3), F.cross_entropy)
        >>> [finding.id for finding in report.findings]
        ['AL201']
    """
    model = unwrapped(model)
    refuse_watched(model)
    refuse_lazy(model)
    inputs, targets = _first(batch)
    if train_steps < 0:
        raise BadInput(f"train_steps must be a whole number from 0; got {train_steps}.")
    if loss is not None and not callable(loss):
        raise BadInput(f"the loss must be a function of the model's output and the targets; got {loss!r}.")
    _has_examples(inputs)
    _same_device(model, inputs, targets)
    known = validate(settings or Settings())
    notes = (NO_LOSS,) if loss is None else (DEFAULT_OPTIMIZER,) if train_steps and optimizer is None else ()
    with uncollected():
        report = replace(_of_batch(model, inputs, targets, loss, known, optimizer), notes=notes)
    if report.raised is None and train_steps > 0:
        if loss is None:
            raise BadInput(
                "train_steps: a loss is required to train; got none. Pass loss=, or name a tuple"
                " (model, (inputs, targets), loss)."
            )
        batches = [(inputs, targets)] if data is None else data
        try:
            ran = trial(model, batches, loss, optimizer=optimizer, steps=train_steps, settings=known,
                        examine=partial(_lost, loss=loss, settings=known), progress=progress)  # fmt: skip
        except StoppedEarly as stopped:
            raise StoppedEarly(report.merged_with(stopped.report)) from None
        report = report.merged_with(ran)
    if report.raised is not None and not report.alarms:
        raise report.raised
    return report


def _of_batch(
    model: nn.Module, inputs: Any, targets: Any, loss: Loss | None, settings: Settings, optimizer: Optimizer | None
) -> Report:
    """Return the findings of one forward and one backward pass."""
    found, context = _examined(model, inputs, targets, loss, settings, optimizer)
    _has_gradient(model, found)
    findings = ordered(batch_findings(context))
    return Report(findings, found.trace.unseen, found.trace.sites, raised=found.raised)


def _examined(
    model: nn.Module, inputs: Any, targets: Any, loss: Loss | None, settings: Settings, optimizer: Optimizer | None
) -> tuple[Recorded, Context]:
    """Run one forward and one backward pass, and one pass in evaluation mode."""
    args, kwargs = called_with(inputs)
    observed = Observed()
    backward = BackwardPass(model, observed.plain)

    def observe(
        step: Step, read: tuple[Tensor, ...], made: tuple[Tensor, ...], repeated: Repeated | None = None
    ) -> None:
        observed(step, read, made, repeated)
        backward(step, read, made)

    with in_mode(model, training=True), lenient(), torch.enable_grad():
        found = traced(model, args, kwargs, loss=loss, targets=targets, observe=observe, settle=observed.settle,
                       stand_ins=LENIENT, then=backward.run, may_raise=True)  # fmt: skip
    observed.settle()
    context = Context(
        found.trace,
        observed,
        model,
        settings,
        optimizer,
        None if found.raised else _in_evaluation(model, args, kwargs, found.trace),
        is_fresh=optimizer is None or not optimizer.state,
        backward=backward.result,
        is_dtype_to_blame=_is_dtype_to_blame(model, args, kwargs, loss, targets, found, backward.result),
    )
    return found, context


def _lost(model: nn.Module, inputs: Any, targets: Any, *, loss: Loss, settings: Settings) -> list[Finding]:
    """Return why the loss (AL107) or the gradients (AL112) of a model are not finite on a batch."""
    _, context = _examined(model, inputs, targets, loss, settings, None)
    return [finding for finding in batch_findings(context) if finding.id in {"AL107", "AL112"}]


def _is_dtype_to_blame(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    loss: Loss | None,
    targets: Any,
    found: Recorded,
    backward: Backward | None,
) -> bool:
    """Return whether a 16-bit model whose loss or gradients are not finite is finite in 32 bits."""
    is_half = any(value.dtype in HALF for value in model.parameters())
    if not is_half or loss is None or found.loss is None:
        return False
    is_lost = backward is not None and "not finite" in backward.gradients.values()
    if not is_lost and bool(found.loss.isfinite().all()):
        return False
    with lenient(), StandIns(LENIENT):
        return is_finite_in_float32(model, args, kwargs, loss, targets)


NO_LOSS = "No loss was given, so findings about the output and the loss (AL2xx) were not checked."


def _first(batch: Any) -> Batch:
    """Return inputs and targets of the batch, or of a loader's first batch.

    Raises:
        BadInput: the loader is empty, or the batch is not a pair.
    """
    if not isinstance(batch, Sequence) and isinstance(batch, Iterable) and not isinstance(batch, Tensor):
        with torch.random.fork_rng(devices=[]):  # a loader draws a seed even if it does not shuffle
            batch = next(iter(batch), None)
        if batch is None:
            raise BadInput("the loader is empty; at least one batch is required.")
    if not isinstance(batch, Sequence) or len(batch) != 2:
        size = f" of {len(batch)}" if isinstance(batch, Sequence) else ""
        raise BadInput(f"the batch must be a pair of inputs and targets; got a {type(batch).__name__}{size}.")
    return batch[0], batch[1]


def _has_examples(inputs: Any) -> None:
    """Raise `BadInput` for a batch without examples, in which nothing could be found."""
    shapes = [shape_of(tensor) for tensor in tensors_within(inputs)]
    empty = [shape for shape in shapes if shape and shape[0] == 0]
    if empty:
        raise BadInput(f"the batch must hold at least one example; got inputs of shape {empty[0]}.")


def _same_device(model: nn.Module, inputs: Any, targets: Any) -> None:
    places = {str(value.device) for value in model.parameters()}
    given = {str(tensor.device) for tensor in tensors_within([inputs, targets])}
    if len(places) == 1 and given and given != places:
        raise BadInput(f"the model is on {places.pop()} and the batch on {', '.join(sorted(given))}; move one of them.")


def _has_gradient(model: nn.Module, found: Recorded) -> None:
    """Raise `BadInput` if all parameters are frozen; AL114 reports trainable ones without a gradient."""
    learns = any(value.requires_grad for value in model.parameters())
    if found.loss is not None and not found.loss.requires_grad and not learns:
        raise BadInput("the loss has no gradient: no parameter requires_grad.")


def _in_evaluation(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], trace: Trace) -> Trace | None:
    """Return the trace in evaluation mode; None if the model raises in it."""
    if not depends_on_mode(model, trace):
        return trace
    try:
        with in_mode(model, training=False), torch.no_grad():
            return traced(model, args, kwargs).trace
    except BadInput:
        return None
