"""What a rule looks at: one pass of a model, the numbers in its loss, the optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actlab.nn.torch_modules import saturating_functions
from actlab.rules.composite_losses import written_losses
from actlab.rules.dataflow import PRODUCTS, upstream
from actlab.rules.finding import Finding, Severity
from actlab.rules.kinds import KINDS
from actlab.sites.recognize.torch_ops import LAYERS
from actlab.sites.site import Site, Spot
from actlab.sites.trace.trace import Step, Trace
from actlab.telemetry.settings import Settings

REGRESSIONS = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
LOSSES = REGRESSIONS | frozenset(
    {
        "cross_entropy",
        "nll_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "multilabel_soft_margin_loss",
        "kl_div",
        "ctc_loss",
        "poisson_nll_loss",
    }
)
_DIFFERENCES = frozenset({"sub", "rsub"})
_HALF = frozenset({torch.float16, torch.bfloat16})


@final
@dataclass(frozen=True)
class ZeroGradient:
    """Of one call in 16 bits: its inputs, and at how many PyTorch's gradient is 0 though the true one is not."""

    numbers: int
    zeros: int
    dtype: str


@final
class Observed:
    """Looks at the numbers while a pass runs.

    Attributes:
        tensors: by the place of a step that compares with targets, what it read.
        numbers: by value, what the loss computed with.
        zeros: by the place of a smooth activation in 16 bits, where its gradient is 0.
        size: by the place of a layer, the mean square of what it was applied to.
        not_finite: the places of the steps that gave a number that is not finite.
        broken: those of them that read none, in order.
        rows: by the place of a layer of single numbers, a few rows of what it was applied to, and of what it gave.
    """

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[Tensor, ...]] = {}
        self.numbers: dict[int, Tensor] = {}
        self.zeros: dict[int, ZeroGradient] = {}
        self.size: dict[int, float] = {}
        self.not_finite: set[int] = set()
        self.broken: list[int] = []
        self.rows: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        if step.function in LOSSES or (step.part == "loss" and step.function in _DIFFERENCES):
            self.tensors[step.place] = tuple(tensor.detach() for tensor in inputs)
        if not _are_finite(outputs):
            self.not_finite.add(step.place)
            self.broken += [step.place] if _are_finite(inputs) else []
        if step.part == "loss":
            self.numbers.update({number: tensor.detach() for number, tensor in zip(step.inputs, inputs, strict=True)})
        if step.function in LAYERS | PRODUCTS:
            self._keep_layer(step, inputs, outputs)
        if step.function in saturating_functions() and inputs and inputs[0].dtype in _HALF:
            self.zeros[step.place] = _zero_gradient(step, inputs[0].detach())

    def _keep_layer(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        place = 1 if step.function == "addmm" else 0  # input + mat1 @ mat2
        if len(inputs) <= place or not inputs[place].is_floating_point():
            return
        given = inputs[place].detach()
        self.size[step.place] = float(given.float().square().mean())
        if step.function in {"linear", "addmm", *PRODUCTS} and given.dim() and outputs[0].dim():
            self.rows[step.place] = (_few_rows(given), _few_rows(outputs[0].detach()))


def _are_finite(tensors: tuple[Tensor, ...]) -> bool:
    floats = (each.detach() for each in tensors if each.is_floating_point() and not each.is_meta)
    return all(bool(each.isfinite().all()) for each in floats)


def _few_rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])[:_ROWS].double().clone()


_ROWS = 16
"""Enough to tell a straight line from anything else."""


def _zero_gradient(step: Step, z: Tensor) -> ZeroGradient:
    function = saturating_functions()[step.function]
    with torch.enable_grad():
        found = _slope(function, z)
        true = _slope(function, z.double())
    least = torch.finfo(z.dtype).tiny * torch.finfo(z.dtype).eps  # the smallest that the dtype can hold
    lost = (found == 0) & (true.abs() > least)
    return ZeroGradient(z.numel(), int(lost.sum()), str(z.dtype).removeprefix("torch."))


def _slope(function: Any, z: Tensor) -> Tensor:
    z = z.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(z).sum(), z)
    return slope


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """What a rule looks at.

    Attributes:
        trace: the pass as in training, with the loss.
        observed: the numbers in it.
        model: its parameters and settings are read, nothing is called.
        settings: the thresholds.
        optimiser: None where none was given.
        evaluated: the pass as in evaluation; None where it could not be run.
        is_fresh: whether the weights are as they were started.
    """

    trace: Trace
    observed: Observed
    model: nn.Module
    settings: Settings = field(default_factory=Settings)
    optimiser: Optimizer | None = None
    evaluated: Trace | None = None
    is_fresh: bool = True

    @cached_property
    def to_loss(self) -> frozenset[int]:
        """The places of the steps that the loss depends on."""
        return upstream(self.trace, self.trace.loss)

    @cached_property
    def matters(self) -> frozenset[int]:
        """The places of the steps that an output or the loss depends on."""
        ends = [value for value in (*self.trace.outputs, self.trace.loss) if value is not None]
        return frozenset[int]().union(*(upstream(self.trace, value) for value in ends))

    def losses(self, *functions: str) -> list[Step]:
        """The steps with these losses on the way to the loss, in order; then those that are written out."""
        steps = (*self.trace.steps, *self.written)
        return [step for step in steps if step.function in functions and step.place in self.to_loss]

    def called(self, step: Step) -> str:
        """What the loss is called in a sentence: by its name, or by the call that it is written out with."""
        is_written = any(step is each for each in self.written)
        return f"the loss's {step.spelling}" if is_written else step.function

    @cached_property
    def written(self) -> tuple[Step, ...]:
        """The losses that the program writes out itself."""
        return written_losses(self.trace, self.observed.numbers)

    def tensor(self, step: Step, at: int) -> Tensor | None:
        """The tensor that a loss read at this place of its arguments."""
        if any(step is each for each in self.written):
            return self.observed.numbers.get(step.inputs[at]) if at < len(step.inputs) else None
        held = self.observed.tensors.get(step.place, ())
        return held[at] if at < len(held) else None


def finding(
    kind: str,
    message: str,
    *,
    site: Site | Spot | None = None,
    severity: Severity | None = None,
    remedies: tuple[str, ...] = (),
    **evidence: Any,
) -> Finding:
    """A finding of this kind, with the kind's severity and remedies unless others are given."""
    known = KINDS[kind]
    return Finding(kind, severity or known.severity, message, site, evidence, remedies or known.remedies)
