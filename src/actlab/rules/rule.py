"""Rules: one decorated function each, whose docstring is its documentation and whose examples are its first tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from actlab.rules.finding import Finding, Severity
from actlab.rules.kind import FindingKind, kind_from
from actlab.sites.site import Site, Spot

Stage = Literal["batch", "training"]
Check = Callable[..., Iterator["Found"]]


@final
@dataclass(frozen=True)
class Found:
    """What a check reports; its rule adds id, title, severity and remedies.

    Attributes:
        message: the evidence in numbers, and the consequence.
        site: where; None if it concerns the model or the loss as a whole.
        severity: other than the rule's usual one; None for the usual one.
        remedies: other than the rule's; empty for the rule's.
        evidence: the numbers behind the message.
    """

    message: str
    site: Site | Spot | None
    severity: Severity | None
    remedies: tuple[str, ...]
    evidence: Mapping[str, Any]


def found(
    message: str,
    *,
    site: Site | Spot | None = None,
    severity: Severity | None = None,
    remedies: tuple[str, ...] = (),
    **evidence: Any,
) -> Found:
    """Return what a check reports, with its evidence as keywords."""
    return Found(message, site, severity, remedies, evidence)


@final
@dataclass(frozen=True)
class Rule:
    """One kind of finding and the checks that report it.

    Attributes:
        kind: its id, name, title, documentation and examples.
        on_batch: the check of one forward pass, given a `Context`; None if there is none.
        in_training: the check of a watched training run, given a `Run`; None if there is none.
        plateau_rank: how certainly it stops learning, 1 for most; 0 if it does not explain a loss plateau.
        reads_findings: whether its check of a run reads the findings of the other rules, and therefore comes last.
    """

    kind: FindingKind
    on_batch: Check | None
    in_training: Check | None
    plateau_rank: int = 0
    reads_findings: bool = False

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The thresholds that the rule declares, with their defaults."""
        return self.kind.defaults

    def findings(self, check: Check, subject: Any) -> Iterator[Finding]:
        """Run one of the rule's checks on a context or a run, with the thresholds that its settings hold."""
        own = {name: subject.settings.of_rules.get(name, default) for name, default in thresholds_of(check).items()}
        for each in check(subject, **own):
            yield self.finding(each)

    def finding(self, each: Found) -> Finding:
        """Complete what a check reports."""
        severity, remedies = each.severity or self.kind.severity, each.remedies or self.kind.remedies
        return Finding(self.kind.id, severity, each.message, each.site, each.evidence, remedies, self.kind.title)


def rule(
    id: str,
    *,
    title: str,
    severity: Severity,
    remedies: tuple[str, ...],
    on_batch: Check | None = None,
    plateau_rank: int = 0,
    reads_findings: bool = False,
) -> Callable[[Check], Rule]:
    """Make the decorated check a rule; the function's name, in words, becomes the rule's name.

    The check reads a `Context` if its first parameter is named `context`, a training `Run` if it is named `run`. Its
    other parameters are keyword-only thresholds with their defaults. All arguments are literals: `actlab explain` reads
    them, and the docstring, from the file's text without importing PyTorch.

    Args:
        id: such as `AL101`; never used for anything else again.
        title: a noun phrase, such as "dead units".
        severity: the usual one.
        remedies: ids of `remedies.REMEDIES`, best first.
        on_batch: for a rule whose decorated check reads a `Run`: the check of a single batch.
        plateau_rank: how certainly it stops learning, 1 for most; 0 if it does not explain a loss plateau.
        reads_findings: whether the check reads `run.findings`, and therefore comes last.
    """

    def decorated(check: Check) -> Rule:
        first = next(iter(inspect.signature(check).parameters))
        assert first in {"context", "run"}, f"{id}: the first parameter must be 'context' or 'run'; got '{first}'"
        batch, training = (check, None) if first == "context" else (on_batch, check)
        every = {name: value for each in (batch, training) if each for name, value in thresholds_of(each).items()}
        kind = kind_from(
            id,
            function=check.__name__,
            doc=check.__doc__ or "",
            defaults=every,
            title=title,
            severity=severity,
            remedies=remedies,
        )
        return Rule(kind, batch, training, plateau_rank, reads_findings)

    return decorated


def thresholds_of(check: Check) -> Mapping[str, float]:
    """Return the keyword-only parameters of a check with their defaults."""
    parameters = inspect.signature(check).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
