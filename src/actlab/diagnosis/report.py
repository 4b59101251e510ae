"""What a check or a watched run found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from actlab.errors import ActlabError, BadInput
from actlab.jsonable import plain
from actlab.rules.finding import SEVERITIES, Finding
from actlab.rules.finding_text import finding_lines
from actlab.rules.kinds import KINDS
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import unseen_text
from actlab.telemetry.quantities import Quantities


class FindingsFound(ActlabError, AssertionError):
    """Findings that a test does not accept."""


@final
class StoppedEarly(KeyboardInterrupt):
    """Ctrl-C in a trial run.

    Attributes:
        report: what was found until then.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__()


@final
@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        findings: the gravest first.
        unseen: what could not be looked into.
        sites: where the model applies activations.
        quantities: what was measured while it trained; None if it did not.
    """

    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...] = ()
    sites: tuple[Site, ...] = ()
    quantities: Quantities | None = None

    @property
    def is_well(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return all(finding.severity == "information" for finding in self.findings)

    def raise_if_found(self, *prefixes: str) -> None:
        """Nothing, where no error and no warning has an id that begins with one of the prefixes (any id, without).

        Raises:
            FindingsFound: there is one; the message tells all of them.
            BadInput: no kind of finding has an id that begins so: the test could never fail.
        """
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in KINDS):
                raise BadInput(f"no finding's id begins with '{prefix}'; `actlab explain` lists them all.")
        told = [
            finding
            for finding in self.findings
            if finding.severity != "information" and finding.id.startswith(prefixes or ("",))
        ]
        if told:
            raise FindingsFound("\n".join(line for finding in told for line in finding_lines(finding, root=Path.cwd())))

    def to_json(self) -> dict[str, Any]:
        """The findings, and what was not seen."""
        return {"findings": [finding.to_json() for finding in self.findings], "unseen": plain(self.unseen)}

    def lines(self) -> list[str]:
        """Return the findings for reading, then what could not be inspected."""
        lines = [line for finding in self.findings for line in finding_lines(finding, root=Path.cwd())]
        return [*(lines or [self._nothing()]), *(f"not inspected: {unseen_text(each)}" for each in self.unseen)]

    def _nothing(self) -> str:
        """Say that nothing was found, or that nothing was measured."""
        if self.quantities is not None and self.quantities.measured == 0:
            return "nothing was measured: no training step ran through the watched model."
        return f"nothing found at {len(self.sites)} site{'' if len(self.sites) == 1 else 's'}."


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings, the gravest first, each severity in the order of ids."""
    return tuple(sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.id)))
