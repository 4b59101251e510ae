"""A loss that does not move, and what is likely to hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actlab.rules.dead_units import found
from actlab.rules.finding import Finding
from actlab.rules.kinds import KINDS
from actlab.telemetry.loss_trend import Progress

# The nearer to certain that it stops learning altogether, the earlier.
CAUSES = ("AL107", "AL101", "AL103", "AL102", "AL106", "AL104", "AL105", "AL109", "AL108", "AL110")

_NOBODY = "nothing that was measured says why"


def loss_does_not_move(others: Sequence[Finding], course: Progress) -> Iterator[Finding]:
    """AL111: information, unless another finding says why.

    A loss at its best, and the losses of adversarial and of reinforcement learning, do not fall either.
    """
    if not course.stalls:
        return
    grave = [finding for finding in others if finding.severity != "information" and finding.id in CAUSES]
    cause = min(grave, key=lambda finding: CAUSES.index(finding.id), default=None)
    went = f"the loss went from {course.first:.4g} to {course.last:.4g} over {course.losses} losses"
    unexplained = found("AL111", "information", f"{went}; {_NOBODY}", None, {**course.evidence(), "likely_cause": None})
    yield unexplained if cause is None else blamed(unexplained, cause)


def blamed(unexplained: Finding, cause: Finding) -> Finding:
    """A loss that does not move and of which nothing said why, now that a cause is known."""
    place = "" if cause.site is None else f" at {cause.site.name}"
    message = unexplained.message.replace(_NOBODY, f"the likely cause is {cause.id} ({KINDS[cause.id].title}){place}")
    evidence = {**unexplained.evidence, "likely_cause": cause.id}
    return Finding("AL111", "warning", message, cause.site, evidence, cause.remedies)
