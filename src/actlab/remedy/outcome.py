"""The result of a repair: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from actlab.diagnosis.report import Report
from actlab.remedy.change import Change, Refusal
from actlab.remedy.evidence import Difference
from actlab.remedy.training import Training
from actlab.rules.finding import Finding
from actlab.train.kinds import Metric

REPAIRED, PARTLY, NOT_REPAIRED = "repaired", "partly repaired", "not repaired"
NOTHING, UNDECIDED, NO_REMEDY = "nothing to repair", "undecided", "no remedy"


@final
@dataclass(frozen=True)
class State:
    """A training before or after its repair.

    Attributes:
        findings: about its model and its first steps.
        metric: the mean validation metric over the seeds that it was trained with; None if it was not trained.
        seeds: how many these are.
        curve: the same mean after each epoch that every one of these runs reached.
    """

    findings: tuple[Finding, ...]
    metric: float | None
    seeds: int
    curve: tuple[float, ...] = ()


@final
@dataclass(frozen=True)
class Tried:
    """A change that was tried.

    Attributes:
        changes: what was changed: one change, or several in combination.
        finding: the kind of finding that it was to remove.
        kept: whether it is kept.
        reason: why it is kept or not.
        difference: from the unrepaired training, positive if better; None if it was not trained.
    """

    changes: tuple[Change, ...]
    finding: str
    kept: bool
    reason: str
    difference: Difference | None = None

    @property
    def remedy(self) -> str:
        """The names of the remedies, and what they do."""
        return " + ".join(each.name for each in self.changes)


@final
@dataclass(frozen=True)
class Outcome:
    """What a repair found.

    Attributes:
        before, after: the training as it was, and with the changes that are kept.
        metric: the validation metric.
        tried: the changes, in the order in which they were tried.
        not_tried: changes for which the budget did not suffice.
        refused: remedies that do nothing in this model, with the reasons.
        kept: the changes that are kept, in their order.
        best: the most promising change that was not kept; empty if there is none.
        training: the training with the kept changes.
        start: the training without.
        verdict: in a word or two.
        notes: remarks, such as that the training is not repeatable.
        runs: the training runs that were done.
        seconds: how long everything took.
        was_stopped: whether Ctrl-C ended the repair early.
    """

    before: State
    after: State
    metric: Metric
    tried: tuple[Tried, ...]
    not_tried: tuple[str, ...]
    refused: tuple[Refusal, ...]
    kept: tuple[Change, ...]
    best: tuple[Change, ...]
    training: Training
    start: Training
    verdict: str
    notes: tuple[str, ...]
    runs: int
    seconds: float
    was_stopped: bool = False


def alarms(report: Report | tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the errors and warnings."""
    findings = report.findings if isinstance(report, Report) else report
    return tuple(each for each in findings if each.severity != "information")
