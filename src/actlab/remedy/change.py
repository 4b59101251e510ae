"""Remedies and the changes that they propose: plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import final

from actlab.remedy.edit import Edit
from actlab.remedy.facts import Facts
from actlab.remedy.training import Training, Transform
from actlab.rules.finding import Finding

Apply = Callable[[Training], Training]


def transforming(*transforms: Transform) -> Apply:
    """Return what adds transforms of the model to a training."""
    return lambda training: training.transformed(*transforms)


@final
@dataclass(frozen=True, eq=False)
class Change:
    """A change of a training that can be measured and handed over.

    Attributes:
        label: what it does, in a few words, such as "nn.Sigmoid -> gelu".
        apply: returns the changed training; raises `BadInput` if it does not fit. None if only the patched text can be
            trained, since no part of the model in memory corresponds to it.
        edits: the same as changes of the user's text; empty if the text cannot be changed.
        lines: what to write if the text cannot be changed literally.
        remedy: the id of the remedy.
        tier: from 0, the cheapest.
    """

    label: str
    apply: Apply | None
    edits: tuple[Edit, ...] = ()
    lines: tuple[str, ...] = ()
    remedy: str = ""
    tier: int = 0

    @property
    def name(self) -> str:
        """The remedy and what it does."""
        return f"{self.remedy}: {self.label}"


@final
@dataclass(frozen=True)
class Refusal:
    """Why a remedy does nothing in this model."""

    reason: str
    remedy: str = ""


@final
@dataclass(frozen=True)
class Remedy:
    """A kind of repair.

    Attributes:
        id: its name.
        tier: 0 without training anew, 1 the start, 2 the optimizer, 3 the function, 4 the structure, 5 while it runs.
        answers: the ids of `rules.remedies` and of findings that it answers.
        sentence: what it does, and to what.
        propose: returns changes for the findings of one kind, the most promising first, or the reason for none.
    """

    id: str
    tier: int
    answers: frozenset[str]
    sentence: str
    propose: Callable[[tuple[Finding, ...], Facts], Iterable[Change | Refusal]] = field(compare=False)

    def fits(self, findings: tuple[Finding, ...]) -> bool:
        """Return whether the remedy answers one of these findings."""
        asked = {name for each in findings for name in (each.id, *each.remedies)}
        return not asked.isdisjoint(self.answers)
