"""Faults that only show beside another training: found by short trials, where a check finds neither error nor warning.

The thresholds are such that the correct programs of `tests/corpus/trainings.py` stay far from them: their loss falls by
a quarter or more over the steps of a trial, and begins at that of a constant prediction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from actlab.diagnosis.report import Report
from actlab.errors import ActlabError
from actlab.remedy.choices import smooth
from actlab.remedy.facts import Facts, torch_spelling
from actlab.remedy.training import Training
from actlab.remedy.transforms import PutActivations
from actlab.remedy.trials import STEPS, fall, losses
from actlab.rules.finding import Finding
from actlab.train.evaluate import output
from actlab.train.kinds import kind_of_loss

SLOW, FAST = 0.1, 0.3
"""A loss that falls by less than the first share is slow if it falls by more than the second in another trial."""

FACTORS = (10.0, 100.0, 1000.0)

LARGE = 3.0
"""How many times the loss of a constant prediction the first loss may be; of squared errors, its square."""

_ALIKE = 1e-6


def symptoms(training: Training) -> tuple[Finding, ...]:
    """Return what is wrong with the start of a training: equal units, a large first loss, a loss that hardly falls."""
    try:
        return tuple(_symptoms(training))
    except ActlabError:  # a check of the same training reports it
        return ()


def _symptoms(training: Training) -> Iterator[Finding]:
    yield from _equal_units(training)
    own = losses(training)
    yield from _large_loss(training, own)
    yield from _slow(training, own)


def _equal_units(training: Training) -> Iterator[Finding]:
    """Find hidden layers all of whose units start with the same weights: they stay alike."""
    layers = [
        (path, each)
        for path, each in training.build(0).named_modules()
        if isinstance(each, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    alike = [path for path, each in layers[:-1] if len(each.weight) > 1 and _is_alike(each.weight)]
    if alike:
        yield _finding(
            "RE01",
            "units that start alike",
            f"all units of {', '.join(alike)} have the same initial weights: they get the same gradient, and the layer"
            " computes what one unit would.",
            ("init-with-gain",),
            layers=alike,
        )


def _is_alike(weight: Tensor) -> bool:
    first = weight[:1]
    return bool(((weight - first).abs() <= _ALIKE * first.abs().clamp(min=_ALIKE)).all())


def _large_loss(training: Training, own: Sequence[float]) -> Iterator[Finding]:
    """Find a first loss far above that of a constant prediction: the outputs are too large."""
    constant = _constant_loss(training)
    if constant is None or not own:
        return
    usual, most = constant
    if own[0] > most:
        yield _finding(
            "RE02",
            "large first loss",
            f"the first loss is {own[0]:.4g}, and a constant prediction has {usual:.4g}: the initial outputs are too"
            " large.",
            ("init-with-gain", "scale-inputs", "add-normalisation", "lower-learning-rate"),
            first_loss=own[0],
            constant_loss=usual,
        )


def _constant_loss(training: Training) -> tuple[float, float] | None:
    """Return the loss of the best constant prediction, and what is too much; None for losses other than the usual."""
    task = training.task
    targets = task.train.targets
    if not isinstance(targets, Tensor):
        return None
    with torch.no_grad():
        model = training.build(0).eval()
        few = task.train.first(8)
        found = kind_of_loss(task.loss, output(model, few.inputs), few.targets)
    if found is None:
        return None
    _, function = found
    if function == "cross_entropy" and not targets.is_floating_point():
        shares = targets.flatten().bincount().double() / targets.numel()
        usual = float(-(shares[shares > 0] * shares[shares > 0].log()).sum())
        return usual, LARGE * usual
    if function == "binary_cross_entropy_with_logits":
        share = float(targets.double().mean().clamp(1e-6, 1 - 1e-6))
        usual = -(share * math.log(share) + (1 - share) * math.log(1 - share))
        return usual, LARGE * usual
    if function == "mse_loss" and targets.is_floating_point():
        usual = float((targets.double() - targets.double().mean(0)).square().mean())
        return usual, LARGE**2 * usual
    return None


def _slow(training: Training, own: Sequence[float]) -> Iterator[Finding]:
    """Find a loss that hardly falls in the first steps, where a single change makes it fall."""
    mine = fall(own)
    if not mine < SLOW or len(own) < STEPS:
        return
    best, what = max(((fall(_tried(each)), name) for name, each in _others(training)), default=(-math.inf, ""))
    if best >= FAST:
        yield _finding(
            "RE03",
            "slow start",
            f"the loss falls by {100 * max(mine, 0):.0f} % over the first {STEPS} steps; with {what} it falls by"
            f" {100 * best:.0f} %.",
            ("raise-learning-rate", "init-with-gain", "use-non-saturating", "add-normalisation"),
            fall=mine,
            other_fall=best,
            other=what,
        )


def _tried(training: Training) -> list[float]:
    try:
        return losses(training)
    except ActlabError:
        return []


def _others(training: Training) -> Iterator[tuple[str, Training]]:
    """Yield the training with one thing changed."""
    from actlab.remedy.remedies.initialize import Drawn

    for factor in FACTORS:
        yield f"{factor:g} times the learning rate", replace(training, rate_factor=training.rate_factor * factor)
    if not training.fixed_start:
        yield "weights drawn by the gain", training.transformed(Drawn("gain", with_batch=False))
    places = tuple(each.name for each in Facts(training, Report(())).hidden)
    name = smooth()[0]
    if places:
        yield f"{name} as activation", training.transformed(PutActivations(places, torch_spelling(name, {})))


def _finding(id: str, title: str, message: str, remedies: tuple[str, ...], **evidence: object) -> Finding:
    return Finding(id, "warning", message, None, evidence, remedies, title)
