"""Units that are dead, and units that never vary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from actlab.formula.activation import Activation
from actlab.rules.finding import Finding, Severity
from actlab.rules.kinds import KINDS
from actlab.telemetry.loss_trend import Progress, was_at_rest
from actlab.telemetry.quantities import Point, Quantities, SiteQuantities, UnitStatistics
from actlab.telemetry.settings import Settings
from actlab.theory.properties import properties


def dead_units(quantities: Quantities, course: Progress, settings: Settings) -> Iterator[Finding]:
    """AL101, site by site."""
    for at in unit_sites(quantities):
        units = at.recent
        dead = is_dead(units)
        count, width = int(dead.sum()), dead.numel()
        if not count:
            continue
        if units.looked_at < settings.fewest_examples:
            if count == width and units.examples:
                yield _too_few(at, count)
            continue
        is_output = at is quantities.sites[-1] and _can_be_confident(at)
        # What is left of a layer still learns: there it takes less to see that the loss does not wait for the rest.
        fewest = settings.fewest_losses if count == width else settings.fewest_steps
        is_late = was_at_rest(quantities.losses, _died(at.points, settings), settings, fewest=fewest)
        severity = "information" if is_output or is_late else _severity(at, count / width, course, settings)
        if severity == "error" and course.falls and _is_passed_by(at, quantities):
            severity = "warning"
        yield _dead(at, dead, severity, course, is_late=is_late)


def constant_units(quantities: Quantities, course: Progress, settings: Settings) -> Iterator[Finding]:
    """AL110, site by site; dead units are told as such and not again."""
    for at in unit_sites(quantities):
        units = at.recent
        if units.examples < settings.fewest_examples or units.variance.numel() < 1:
            continue
        size = float((units.variance + units.mean.square()).nanmean().sqrt())
        still = _never_vary(units, size, settings) & ~is_dead(units) & _is_finite(units)
        count, width = int(still.sum()), still.numel()
        if count:
            evidence = {
                "examples": units.examples,
                "units": width,
                "constant": count,
                "constant_units": indices(still),
                "layer_size": size,
            }
            message = (
                f"{at.site.activation} at {at.site.name}: {count} of {width} units got the same input for each of"
                f" {units.examples} examples; they are biases to what follows"
            )
            yield found("AL110", "information", message, at, evidence)


def _never_vary(units: UnitStatistics, size: float, settings: Settings) -> Tensor:
    """Of every unit, whether its input is the same for every example; training may move that one number."""
    spread = units.variance.sqrt()
    same = spread <= settings.constant_share * size
    if units.within is None:
        return same
    # A number that is drawn anew at every step, such as one time for a whole batch, moves by more than training does.
    drifts = spread <= settings.drift_share * size
    return same | ((units.within.sqrt() <= settings.constant_share * size) & drifts)


def unit_sites(quantities: Quantities) -> Iterator[SiteQuantities]:
    """The sites whose units can be dead or saturated: neither a softmax nor the gate of a gated unit."""
    for at in quantities.sites:
        if isinstance(at.site.formula, Activation) and at.site.gate is None:
            yield at


def is_dead(units: UnitStatistics) -> Tensor:
    """Of every unit, whether it never fired."""
    return (units.fired == 0) & (units.positions > 0) & _is_finite(units)


def indices(units: Tensor) -> tuple[int, ...]:
    """The places of the units that are marked."""
    return tuple(int(place) for place in units.flatten().nonzero().flatten())


def found(id: str, severity: Severity, message: str, at: SiteQuantities | None, evidence: dict[str, Any]) -> Finding:
    """A finding of a kind, with the remedies of its kind."""
    return Finding(id, severity, message, None if at is None else at.site, evidence, KINDS[id].remedies)


def _is_finite(units: UnitStatistics) -> Tensor:
    # What is not finite has no slope; it is told as non-finite.
    return units.non_finite == 0


def _can_be_confident(at: SiteQuantities) -> bool:
    """Whether a flat stretch of it may be what training aims at, in an output: a probability near 0 or 1."""
    limits = properties(at.site.measured).limits
    return all(isinstance(limit, float) and abs(limit) < float("inf") for limit in (limits.left, limits.right))


def _severity(at: SiteQuantities, share: float, course: Progress, settings: Settings) -> Severity:
    if share == 1:
        # A branch beside the main path, such as a gate: the rest learns, and what it could add is lost.
        return "warning" if course.learned else "error"
    # Half of a layer passes seven tenths of the gradient: a loss that only stays where it is has another reason.
    dies_as_it_rises = share > settings.most and course.rises and growth(at.points) > settings.growth
    is_choked = share > settings.nearly_all and course.stalls
    return "warning" if is_choked or dies_as_it_rises else "information"


def _died(points: Sequence[Point], settings: Settings) -> int:
    """The step from which on nearly all units were dead; the first, where they always were."""
    alive = [point.step for point in points if point.dead_share <= settings.nearly_all]
    return alive[-1] + 1 if alive else 0


def growth(points: Sequence[Point]) -> float:
    """By how much the share of dead units rose from the first third of the points to the last."""
    third = len(points) // 3
    if not third:
        return 0.0
    first, last = points[:third], points[-third:]
    return sum(point.dead_share for point in last) / third - sum(point.dead_share for point in first) / third


def _is_passed_by(dead: SiteQuantities, quantities: Quantities) -> bool:
    """Whether a gradient still reaches an activation before the dead one: there is a way around it."""
    before = quantities.sites[: quantities.sites.index(dead)]
    return any(at.points and at.points[-1].gradient_rms > 0 for at in before)


def _dead(at: SiteQuantities, dead: Tensor, severity: Severity, course: Progress, *, is_late: bool) -> Finding:
    count, width, examples = int(dead.sum()), dead.numel(), at.recent.examples
    evidence = {
        "examples": examples,
        "units": width,
        "dead": count,
        "dead_share": count / width,
        "rate_bound": min(1.0, 3 / examples),
        "growth": growth(at.points),
        "dead_units": indices(dead),
        **course.evidence(),
    }
    follows = {
        "error": "the whole layer is dead, and no gradient passes it",
        "warning": "most of the layer is dead, and the loss does not fall",
        "information": "they do not learn",
    }[severity]
    if severity == "information" and count == width and is_late:
        follows = "the whole layer is dead, and was not when the loss came to rest"
    if severity == "warning" and count == width:
        follows = "the whole layer is dead; the loss falls without it, and it adds nothing"
    message = (
        f"{at.site.activation} at {at.site.name}: {count} of {width} units had no slope on any of {examples} examples"
        f" (they fire on at most {min(1.0, 3 / examples):.2g} of all, at 95 %); {follows}"
    )
    return found("AL101", severity, message, at, evidence)


def _too_few(at: SiteQuantities, count: int) -> Finding:
    examples = at.recent.examples
    message = (
        f"{at.site.activation} at {at.site.name}: no unit had a slope on {examples} examples, which are too few to call"
        " a unit dead"
    )
    evidence = {"examples": examples, "units": count, "silent": count, "rate_bound": min(1.0, 3 / examples)}
    return found("AL101", "information", message, at, evidence)
