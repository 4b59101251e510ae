"""What a model's activations did over depth and time, as plain values: the numbers behind the charts of a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from actlab.jsonable import plain
from actlab.report.moments import drawn_steps
from actlab.report.sections import charts
from actlab.telemetry.quantities import Quantities


@final
@dataclass(frozen=True)
class Health:
    """What the activations did over depth and time.

    Attributes:
        sites: their places in the model, in the order of the forward pass.
        steps: how many training steps there were.
        facts: the numbers of every chart, by its name.
    """

    sites: tuple[str, ...]
    steps: int
    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"sites": list(self.sites), "steps": self.steps, **plain(self.facts)}


def health(quantities: Quantities | None) -> Health | None:
    """Return the numbers of the charts; None if no step was measured."""
    if quantities is None or not drawn_steps(quantities):
        return None
    return Health(
        sites=tuple(site.site.name for site in quantities.sites),
        steps=quantities.steps,
        facts={chart.name: chart.facts(quantities) for chart in charts("diagnosis")},
    )
