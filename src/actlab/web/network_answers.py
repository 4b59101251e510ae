"""What the page My network shows of a training, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any, final

from actlab.diagnosis.report import Report
from actlab.formula.activation import Activation
from actlab.rules.finding import Finding
from actlab.rules.finding_text import place_text, sentence_text, title_text
from actlab.rules.remedies import REMEDIES
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import activation_text, line_text, place_name, unseen_text
from actlab.telemetry.close_look import Curve, Distribution, Look, MeasuredStep, curve, key_of
from actlab.web.looking import range_drawn


def site_answer(site: Site, group: str, *, was: Site | None = None, note: str = "") -> dict[str, Any]:
    """Return a row of the table of activations.

    Args:
        site: the place with the activation that it applies now.
        group: its group.
        was: the place as the model defines it, if its activation was replaced.
        note: a remark on the replacement.
    """
    place = was or site
    return {
        "name": place_name(place),
        "activation": activation_text(site),
        "was": None if was is None else activation_text(was),
        "note": note,
        "spelling": place.spelling,
        "line": line_text(place.file, place.line, root=Path.cwd()) if place.file else "",
        "group": group,
        "shape": "×".join(map(str, site.shape)),
        "calls": site.calls,
    }


def network_answer(
    *,
    name: str,
    where: str,
    rows: Sequence[Mapping[str, Any]],
    sites: Sequence[Site],
    defined: Sequence[Site] = (),
    report: Report | None,
    unseen: Sequence[Unseen],
) -> dict[str, Any]:
    """Return the activations of a network, the findings about them, and what could not be inspected.

    Args:
        name: the name of the model.
        where: the line that defines it.
        rows: the table of activations.
        sites: the same places with the activations that are applied now.
        defined: the same places as the model defines them, if any activation was replaced.
        report: the findings so far.
        unseen: what could not be inspected.
    """
    hidden = dict.fromkeys(map(unseen_text, (*unseen, *(report.unseen if report is not None else ()))))
    return {
        "name": name,
        "where": where,
        "sites": list(rows),
        "findings": [_finding(each, sites, defined or sites) for each in report.findings] if report is not None else [],
        "notes": list(report.remarks) if report is not None else [],
        "unseen": list(hidden),
    }


def _finding(finding: Finding, sites: Sequence[Site], defined: Sequence[Site]) -> dict[str, Any]:
    keys = [key_of(site) for site in sites]
    key = key_of(finding.site) if isinstance(finding.site, Site) else None
    at = keys.index(key) if key in keys else None
    if at is not None and defined[at] is not sites[at]:
        finding = _where_defined(finding, sites[at], defined[at])
    return {
        "id": finding.id,
        "severity": finding.severity,
        "title": title_text(finding),
        "text": sentence_text(finding.message),
        "place": place_text(finding, root=Path.cwd()),
        "fixes": [REMEDIES.get(remedy, remedy) for remedy in finding.remedies],
        "site": at,
    }


def _where_defined(finding: Finding, site: Site, defined: Site) -> Finding:
    """Name the place of the user's code where the replaced activation stood, not our module that replaced it."""
    place = replace(
        site, path=defined.path, index=defined.index, spelling=defined.spelling, file=defined.file, line=defined.line
    )
    message = finding.message
    if key_of(place) != key_of(site):
        message = message.replace(site.name, place_name(defined)).replace(site.spelling, activation_text(site))
    return replace(finding, site=place, message=message)


@final
@dataclass(frozen=True)
class Measured:
    """A measured step as the page shows it; it computes what it is asked for."""

    measured: MeasuredStep

    @property
    def step(self) -> int:
        """The number of the training step."""
        return self.measured.step

    @property
    def loss(self) -> float | None:
        """Its loss."""
        return self.measured.loss

    @property
    def looks(self) -> Sequence[Look]:
        """The activations."""
        return self.measured.looks

    def numbers(self, at: int) -> tuple[float, ...]:
        """Return the `NUMBERS` of an activation."""
        return numbers_of(self.looks[at])

    def look(self, at: int) -> dict[str, Any]:
        """Return what the activation received, gave and got back, with its curve."""
        look = self.looks[at]
        return {**look_of(look), "curve": None if (drawn := drawn_range(look)) is None else curve_of(look, *drawn)}


def numbers_of(look: Look) -> tuple[float, ...]:
    """Return the `NUMBERS` of a look."""
    point = look.point
    return (
        nan if look.y is None else look.y.rms,
        nan if look.gradient is None else look.gradient.rms,
        *((nan,) * 3 if point is None else (point.dead_share, point.saturated_share, point.zero_share)),
    )


def look_of(look: Look) -> dict[str, Any]:
    """Return what an activation received, gave and got back."""
    return {
        "z": _distribution(look.z),
        "y": _distribution(look.y),
        "gradient": _distribution(look.gradient),
        "flat": look.flat_share,
        "dead": look.dead_share,
        "function": activation_text(look.site) if look.site.gate is None else look.site.gate.label,
        "gated": look.site.gate is not None,
    }


def drawn_range(look: Look) -> tuple[float, float] | None:
    """Return the range over which the function is drawn; None for one along an axis."""
    act = look.site.measured
    if look.z is None or not isinstance(act, Activation) or len(act.inputs) != 1:
        return None
    return range_drawn(look.z.low, look.z.high)


def curve_of(look: Look, low: float, high: float) -> Curve:
    """Return the function of an activation that `drawn_range` accepts."""
    act = look.site.measured
    assert isinstance(act, Activation)
    return curve(act, low=low, high=high)


def _distribution(found: Distribution | None) -> dict[str, Any] | None:
    if found is None:
        return None
    counted = sum(found.counts) + found.non_finite
    return {
        "low": found.low,
        "high": found.high,
        "counts": found.counts,
        "values": found.values,
        "counted": counted,
        "lost": found.non_finite,
        "mean": found.mean,
        "rms": found.rms,
    }
