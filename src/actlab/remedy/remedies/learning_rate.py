"""Another learning rate, found by short trials at rates around the present one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf, isfinite
from statistics import mean

from actlab.errors import ActlabError
from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.edit import ChangeArgument, Edit
from actlab.remedy.facts import Facts, only_call
from actlab.remedy.training import Training
from actlab.remedy.trials import losses
from actlab.rules.finding import Finding

FACTORS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Half a decade apart: the range of good rates of a healthy network is wider."""


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the rates with the lowest loss after a short trial, in the direction that the findings ask for."""
    asked = {name for each in findings for name in each.remedies}
    lower, higher = "lower-learning-rate" in asked, "raise-learning-rate" in asked
    both = lower == higher
    tried = [factor for factor in FACTORS if both or (factor < 1) == lower]
    at = {factor: loss_at(facts.training, factor) for factor in tried}
    best = sorted((loss, factor) for factor, loss in at.items() if loss < inf)
    own = loss_at(facts.training, 1.0)
    if not best:
        yield Refusal("the training diverges in its first steps at every learning rate that was tried")
        return
    useful = [factor for loss, factor in best if loss < own or own == inf][:2]
    for factor in useful or [best[0][1]]:
        yield Change(
            f"learning rate times {factor:g}",
            lambda training, factor=factor: replace(training, rate_factor=training.rate_factor * factor),
            _edits(facts, factor),
            (f"lr = {facts.training.rate * factor:.3g}",),
        )


def loss_at(training: Training, factor: float) -> float:
    """Return the loss after a few steps at a multiple of the learning rate; infinite if it is not finite."""
    try:
        found = losses(replace(training, rate_factor=training.rate_factor * factor))
    except ActlabError:
        return inf
    return mean(found[-(len(found) // 4 or 1) :]) if found and isfinite(found[-1]) else inf


def _edits(facts: Facts, factor: float) -> tuple[Edit, ...]:
    origin = facts.training.origin
    if origin is None or facts.training.own_optimizer is not None:
        return ()
    at = only_call(origin.file, "Task")
    line = facts.line(origin.file, at) if at else 0
    low, high = (rate * facts.training.rate_factor * factor for rate in facts.training.task.rates)
    return (ChangeArgument(origin.file, line, "Task", "rates", f"({low!r}, {high!r})"),) if line else ()


REMEDY = Remedy(
    "learning-rate",
    2,
    frozenset({"lower-learning-rate", "raise-learning-rate", "AL104", "AL105", "AL107", "AL109", "AL112"}),
    "Multiply the learning rate by what gives the lowest loss in short trials.",
    propose,
)
