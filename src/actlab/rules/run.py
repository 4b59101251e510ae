"""A watched training run, as rules read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import final

from actlab.rules.finding import Finding
from actlab.telemetry.loss_trend import Progress, progress
from actlab.telemetry.quantities import Quantities
from actlab.telemetry.settings import Settings


@final
@dataclass(frozen=True, eq=False)
class Run:
    """What a rule reads of a training run.

    Attributes:
        quantities: what was measured; findings rest on nothing else.
        settings: the thresholds.
        findings: what the other rules found, those that explain a loss plateau first; for rules that read findings.
    """

    quantities: Quantities
    settings: Settings = field(default_factory=Settings)
    findings: tuple[Finding, ...] = ()

    @cached_property
    def loss(self) -> Progress:
        """Where the loss goes."""
        return progress(self.quantities.losses, self.settings)
