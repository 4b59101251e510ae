"""Draw the weights anew, so that the signal keeps its size through the depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import nn

from actlab.initialization.initialize import initialize
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.edit import BeforeReturn, Edit
from actlab.remedy.facts import Facts
from actlab.rules.finding import Finding
from actlab.train.task import Task

_WITHOUT_BATCH = ("gain", "orthogonal")
_WITH_BATCH = ("lsuv", "mean-variance")
"""They measure a batch, which a model's factory does not have; the second one also revives dead units."""

ROWS = 256
"""Rows that a data-dependent method measures."""


@final
@dataclass(frozen=True)
class Drawn:
    """Draw all weights anew by a method of `actlab.initialize`."""

    method: str
    with_batch: bool

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with new weights.

        Raises:
            BadInput: the method does not fit the model.
        """
        batch = (task.train.first(ROWS).inputs, None) if self.with_batch else None
        initialize(model, batch, self.method)
        return model


def line_of(method: str) -> str:
    """Return the statement that does it in a factory."""
    return "actlab.initialize(model)" if method == "gain" else f"actlab.initialize(model, method={method!r})"


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the gain of each activation, orthogonal matrices, and weights fitted to a batch."""
    if facts.training.fixed_start and facts.training.own_optimizer is not None and facts.training.own_optimizer.state:
        yield Refusal("the model is trained already: new weights would discard what it has learned")
        return
    dead = any(each.id == "AL101" for each in findings)
    methods = (*_WITH_BATCH[::-1], *_WITHOUT_BATCH) if dead else (*_WITHOUT_BATCH, *_WITH_BATCH)
    for method in methods:
        with_batch = method in _WITH_BATCH
        drawn = Drawn(method, with_batch)
        line = f"actlab.initialize(model, (inputs, targets), method={method!r})" if with_batch else line_of(method)
        yield Change(
            f"weights by {method}",
            transforming(drawn),
            () if with_batch else factory_edit(facts, (line,)),
            (line,),
        )


def factory_edit(facts: Facts, lines: tuple[str, ...]) -> tuple[Edit, ...]:
    """Return the edit that adds lines to the task's factory; none if its place is unknown."""
    place = facts.factory
    return () if place is None else (BeforeReturn(*place, lines, ("import actlab",)),)


REMEDY = Remedy(
    "initialize",
    1,
    frozenset({"init-with-gain", "lecun-init", "AL101", "AL110", "AL313"}),
    "Draw the weights anew: by the activation's gain, orthogonal, or fitted to a batch.",
    propose,
)
