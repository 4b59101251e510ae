"""What the page My network shows of a training, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from actlab.diagnosis.report import Report
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.rules.finding import Finding
from actlab.rules.finding_text import place_text, sentence_text, title_text
from actlab.rules.remedies import REMEDIES
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import activation_text, line_text, place_name, unseen_text
from actlab.telemetry.close_look import Curve, Distribution, Look, curve, key_of
from actlab.telemetry.history import History


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
    report: Report | None,
    unseen: Sequence[Unseen],
) -> dict[str, Any]:
    """Return the activations of a network, the findings about them, and what could not be inspected."""
    hidden = dict.fromkeys(map(unseen_text, (*unseen, *(report.unseen if report is not None else ()))))
    return {
        "name": name,
        "where": where,
        "sites": list(rows),
        "findings": [_finding(each, sites) for each in report.findings] if report is not None else [],
        "notes": list(report.remarks) if report is not None else [],
        "unseen": list(hidden),
    }


def _finding(finding: Finding, sites: Sequence[Site]) -> dict[str, Any]:
    keys = [key_of(site) for site in sites]
    key = key_of(finding.site) if isinstance(finding.site, Site) else None
    return {
        "id": finding.id,
        "severity": finding.severity,
        "title": title_text(finding),
        "text": sentence_text(finding.message),
        "place": place_text(finding, root=Path.cwd()),
        "fixes": [REMEDIES.get(remedy, remedy) for remedy in finding.remedies],
        "site": keys.index(key) if key in keys else None,
    }


def look_answer(history: History, *, at: int, step: int | None) -> dict[str, Any]:
    """Return what is known of one measured step, and closely of one activation in it.

    Args:
        history: the measured steps.
        at: the index of the activation.
        step: the number of the step; None for the latest.
    """
    kept, measured = history.steps(), history.at(step)
    if measured is None:
        return {"step": None, "steps": [], "losses": [], "depth": None, "site": None, "points": None}
    look = measured.looks[at] if at < len(measured.looks) else None
    own = [each.looks[at] if at < len(each.looks) else None for each in kept]
    return {
        "step": measured.step,
        "loss": measured.loss,
        "steps": [each.step for each in kept],
        "losses": [each.loss for each in kept],
        "depth": {name: [number(each) for each in measured.looks] for name, number in NUMBERS.items()},
        "points": {name: [nan if each is None else number(each) for each in own] for name, number in NUMBERS.items()},
        "site": None if look is None else _look(look),
    }


def _of_point(name: str) -> Callable[[Look], float]:
    return lambda look: nan if look.point is None else float(getattr(look.point, name))


# What is drawn over the depth of a network and over the steps, each from 0 to 1 or a root mean square.
NUMBERS: Mapping[str, Callable[[Look], float]] = {
    "signal": lambda look: nan if look.y is None else look.y.rms,
    "gradient": lambda look: nan if look.gradient is None else look.gradient.rms,
    "dead": _of_point("dead_share"),
    "saturated": _of_point("saturated_share"),
    "zero": _of_point("zero_share"),
}


def _look(look: Look) -> dict[str, Any]:
    return {
        "z": _distribution(look.z),
        "y": _distribution(look.y),
        "gradient": _distribution(look.gradient),
        "flat": look.flat_share,
        "dead": look.dead_share,
        "function": activation_text(look.site) if look.site.gate is None else look.site.gate.label,
        "gated": look.site.gate is not None,
        "curve": _curve(look),
    }


def _curve(look: Look) -> Curve | None:
    """Return the function under which the inputs are drawn; None for one along an axis."""
    act = look.site.measured
    if look.z is None or not isinstance(act, Activation) or len(act.inputs) != 1:
        return None
    low, high = min(look.z.low, -_AROUND), max(look.z.high, _AROUND)
    if look.z.high - look.z.low < _NARROWEST * (high - low):
        low, high = look.z.low, look.z.high
    return curve(act, low=low, high=high)


# The curve is drawn at least from -3 to 3, unless the inputs would then be less than a tenth of the width.
_AROUND, _NARROWEST = 3.0, 0.1


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


def whole(value: object, *, name: str) -> int:
    """Return a number that a page sent.

    Raises:
        BadInput: it is not a whole number from 0.
    """
    try:
        found = int(str(value))
    except ValueError:
        found = -1
    if found < 0:
        raise BadInput(f"{name} must be a whole number from 0; got {value!r}.")
    return found
