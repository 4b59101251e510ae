"""AL211: targets that the loss cannot take."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.rules.context import Context
from actlab.rules.finding import Severity
from actlab.rules.output.losses import called_at, class_axis, place_of
from actlab.rules.output.masks import is_masked
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss")
# The place of the targets among the inputs of losses that take -1 and 1.
_SIGNED = {"soft_margin_loss": 1, "hinge_embedding_loss": 1, "cosine_embedding_loss": 2, "margin_ranking_loss": 2}
_ROUNDING = 1e-3
_SLIGHT = 0.05
"""Targets outside by less than this are information: the loss falls without bound, but hardly."""
_SUM = 0.01


@rule(
    "AL211",
    title="targets that the loss cannot take",
    severity="error",
    remedies=("targets-in-range",),
)
def targets_the_loss_cannot_take(context: Context, *, label_noise: float = 0.5) -> Iterator[Found]:
    """The targets lie outside the values for which the loss is defined.

    Why it matters:
        Binary cross-entropy is bounded below only for targets from 0 to 1: with targets of -1, 2 or 255 it falls
        without bound while the logits grow. A Poisson loss takes counts (0, 1, 2, …), a margin loss the targets -1 and
        1: a target of 0 leaves it constant. The Kullback-Leibler divergence takes probabilities, or their logarithms
        with `log_target=True`.

    How it is detected:
        By value: the targets of the batch are compared with what the loss takes, also if the loss is written out.
        Targets that a mask may leave out afterwards are not reported.

    Thresholds:
        label_noise: targets of a binary loss that leave the range from 0 to 1 by less than this are a warning, and by
            less than 0.05 information: some people add noise to labels on purpose.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        x = torch.randn(32, 4)
        batch = x, x[:, :1].sign()
        loss = nn.BCEWithLogitsLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        x = torch.randn(32, 4)
        batch = x, (x[:, :1] > 0).float()
        loss = nn.BCEWithLogitsLoss()

    References:
        PyTorch documentation of BCEWithLogitsLoss, SoftMarginLoss, PoissonNLLLoss, KLDivLoss
    """
    yield from _binary(context, label_noise)
    yield from _counts(context)
    yield from _signs(context)
    yield from _shares(context)


def _binary(context: Context, noise: float) -> Iterator[Found]:
    for step in context.losses(*_BINARY):
        targets = _targets(context, step, 1)
        if targets is None or is_masked(context, step):
            continue
        outside = (targets < -_ROUNDING) | (targets > 1 + _ROUNDING)
        furthest = max(-float(targets.min()), float(targets.max()) - 1)
        if bool(outside.any()):
            effect = "the loss has no lower bound for them and falls while the logits grow"
            what = "targets from 0 to 1"
            severity: Severity = "error" if furthest >= noise else "warning" if furthest >= _SLIGHT else "information"
            yield _found(context, step, targets, outside, what, effect, severity)


def _counts(context: Context) -> Iterator[Found]:
    for step in context.losses("poisson_nll_loss"):
        targets = _targets(context, step, 1)
        if targets is not None and bool((targets < 0).any()) and not is_masked(context, step):
            effect = "for a negative count the loss has no lower bound"
            yield _found(context, step, targets, targets < 0, "counts from 0", effect)


def _signs(context: Context) -> Iterator[Found]:
    """Report targets of 0 and 1 for a loss that takes -1 and 1."""
    for step in context.losses(*_SIGNED):
        yield from _zeros(context, step, _targets(context, step, _SIGNED[step.function]))
    for step, targets in _written_hinges(context):
        yield from _zeros(context, step, targets)


def _zeros(context: Context, step: Step, targets: Tensor | None) -> Iterator[Found]:
    if targets is None or not bool(((targets == 0) | (targets == 1)).all()) or is_masked(context, step):
        return
    if bool((targets == 0).any()):
        effect = "with a target of 0 the loss of an example does not depend on its score, so nothing is learned from it"
        yield _found(context, step, targets, targets == 0, "the targets -1 and 1", effect)


def _written_hinges(context: Context) -> Iterator[tuple[Step, Tensor]]:
    """Yield `relu(1 - t * z)` in the loss, with the targets."""
    trace = context.trace
    for step in trace.steps:
        is_hinge = step.function == "relu" or (step.function == "clamp" and step.arguments.get("min") == 0)
        if step.part != "loss" or not is_hinge or step.place not in context.to_loss:
            continue
        rest = trace.maker(step.inputs[0])
        product = trace.maker(rest.inputs[0]) if rest is not None and rest.function == "rsub" else None
        if product is None or product.function != "mul" or len(product.inputs) != 2:
            continue
        for value, other in (product.inputs, product.inputs[::-1]):
            held = context.observed.numbers.get(value)
            learns = trace.values[other].requires_grad and not trace.values[value].requires_grad
            if learns and held is not None and held.numel() > 1:
                yield step, held


def _shares(context: Context) -> Iterator[Found]:
    """Report targets of `kl_div` and `cross_entropy` that are not probabilities."""
    for step in context.losses("kl_div"):
        targets = _targets(context, step, 1)
        if targets is None or targets.dim() == 0 or targets.shape[-1] < 2 or is_masked(context, step):
            continue
        if step.arguments.get("log_target") is True:
            sums = targets.double().sum(-1)
            if bool((targets >= 0).all()) and bool(((sums - 1).abs() < _SUM).all()):
                effect = "the loss takes their exponential, so the targets are nearly uniform"
                yield _found(context, step, targets, targets >= 0, "logarithms with log_target=True", effect)
        elif bool((targets < -_ROUNDING).any()):
            effect = "the loss is not defined for negative probabilities; log_target=True takes logarithms"
            yield _found(context, step, targets, targets < 0, "probabilities", effect)
    for step in context.losses("cross_entropy"):
        targets = _targets(context, step, 1)
        is_soft = targets is not None and targets.is_floating_point() and targets.dim() > class_axis(step)
        if targets is not None and is_soft and bool((targets < -_ROUNDING).any()) and not is_masked(context, step):
            if bool(((targets != 0).sum(class_axis(step)) <= 1).all()):
                continue  # an action times its advantage, as a policy gradient writes it
            effect = "for negative ones the loss has no lower bound"
            yield _found(context, step, targets, targets < 0, "class indices or probabilities", effect)


def _targets(context: Context, step: Step, at: int) -> Tensor | None:
    """Return the fixed targets; None if there are none, or if a gradient goes into them."""
    held = context.tensor(step, at)
    if held is None or held.numel() == 0 or context.trace.values[step.inputs[at]].requires_grad:
        return None
    return None if held.is_complex() or bool(torch.isnan(held).any()) else held


def _found(
    context: Context,
    step: Step,
    targets: Tensor,
    outside: Tensor,
    takes: str,
    effect: str,
    severity: Severity | None = None,
) -> Found:
    low, high, count = float(targets.min()), float(targets.max()), int(outside.sum())
    return found(
        f"{context.called(step)} takes {takes}, but {count} of {targets.numel()} targets are not (targets range from"
        f" {low:.3g} to {high:.3g}): {effect}.{called_at(step)}",
        site=place_of(context, step),
        severity=severity,
        outside=count,
        numbers=targets.numel(),
        targets=[low, high],
        loss=step.function,
    )
