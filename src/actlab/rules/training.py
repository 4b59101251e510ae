"""How training goes: numbers that are not finite, and steps that are too small or too large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from actlab.formula.activation import Activation
from actlab.rules.dead_units import found
from actlab.rules.finding import Finding, Severity
from actlab.rules.kinds import KINDS
from actlab.telemetry.loss_trend import Progress
from actlab.telemetry.quantities import Quantities
from actlab.telemetry.settings import Settings


def non_finite(quantities: Quantities, course: Progress, settings: Settings) -> Iterator[Finding]:
    """AL107: the first site and step, or the loss if that came before."""
    first = quantities.first_non_finite
    lost = next((step for step, loss in quantities.losses if not math.isfinite(loss)), None)
    if first is not None and (lost is None or first.step <= lost):
        is_masked = not isinstance(first.site.formula, Activation) and lost is None  # -inf before a softmax is a mask
        severity: Severity = "information" if is_masked else "error"
        message = (
            f"{first.site.activation} at {first.site.name} got or gave numbers that are not finite, first at step"
            f" {first.step}"
        )
        yield Finding("AL107", severity, message, first.site, {"step": first.step}, KINDS["AL107"].remedies)
    elif lost is not None:
        measured = [point.step for at in quantities.sites for point in at.points]
        if lost < min(measured, default=lost + 1):
            why = "before any activation was measured"
        else:
            why = "and no activation that was measured before it was at fault"
        message = f"the loss is not finite, first at step {lost}, {why}"
        evidence = {"step": lost, "first_activation_step": None if first is None else first.step}
        yield found("AL107", "error", message, None, evidence)


def updates(quantities: Quantities, course: Progress, settings: Settings) -> Iterator[Finding]:
    """AL108 and AL109, of most parameters at once: biases and what begins at 0 have any ratio for a while."""
    yield from _thrown(quantities, course, settings)
    paces = [_usual(each.updates) for each in quantities.parameters if _has_size(each.name, each.updates, settings)]
    usual = [pace for pace in paces if pace is not None]
    if not usual:
        return
    middle = median(usual)
    small = sum(ratio < settings.updates_low for ratio in usual) / len(usual)
    large = sum(ratio > settings.updates_high for ratio in usual) / len(usual)
    evidence = {"parameters": len(usual), "median_ratio": middle, "steps": quantities.measured, **course.evidence()}
    if small > settings.most:
        message = f"weights change by {middle:.1e} of their size a step; at this pace they stay what they were"
        severity: Severity = "warning" if course.stalls else "information"
        yield found("AL108", severity, message, None, {**evidence, "share_below": small})
    if large > settings.most and not _overwriting(quantities, settings):
        message = f"weights change by {middle:.1e} of their size a step; each overwrites what the last ones learned"
        diverges = course.stalls or any(not math.isfinite(loss) for _, loss in quantities.losses)
        severity = "warning" if diverges else "information"
        yield found("AL109", severity, message, None, {**evidence, "share_above": large})


def _thrown(quantities: Quantities, course: Progress, settings: Settings) -> Iterator[Finding]:
    """AL109 of a few steps: afterwards the weights are so large that the same step is small beside them."""
    largest = _overwriting(quantities, settings)
    if largest:
        peak = max(loss for _, loss in quantities.losses if math.isfinite(loss))
        message = (
            f"single steps changed most weights by {median(largest):.2g} of their size, and threw the loss up to"
            f" {peak:.3g}: what the weights were at the start is lost"
        )
        evidence = {
            "parameters": len(largest),
            "median_largest_ratio": median(largest),
            "peak_loss": peak,
            "steps": quantities.measured,
            **course.evidence(),
        }
        yield found("AL109", "warning", message, None, evidence)


def _overwriting(quantities: Quantities, settings: Settings) -> list[float]:
    """The largest ratio of every weight, where most were overwritten and the loss was thrown up; else nothing."""
    losses = [loss for _, loss in quantities.losses if math.isfinite(loss)]
    if not losses or max(losses) <= settings.overshoot * abs(losses[0]):
        return []
    largest = [
        max(ratios)
        for each in quantities.parameters
        if _has_size(each.name, each.updates, settings)
        and (ratios := [ratio for _, ratio in each.updates if math.isfinite(ratio)])
    ]
    over = sum(ratio > settings.update_overwrites for ratio in largest)
    return largest if over > settings.most * len(largest) else []


def _has_size(name: str, pairs: Sequence[tuple[int, float]], settings: Settings) -> bool:
    return len(pairs) >= settings.fewest_steps and name.rpartition(".")[2] != "bias"


def _usual(pairs: Sequence[tuple[int, float]]) -> float | None:
    """The usual ratio once training runs; None of one that still rises or falls, as under a schedule or from 0 on."""
    late = [ratio for _, ratio in pairs[len(pairs) // 3 :] if not math.isnan(ratio)]
    half = len(late) // 2
    if not half:
        return None
    before, after = median(late[:half]), median(late[half:])
    if before == after == 0:
        return 0.0  # every step rounds to nothing
    # A factor of 2 within the last two thirds: a weight that began at 0, a warm-up or a decay, not the usual pace.
    if not (before > 0 and after > 0 and 0.5 <= after / before <= 2):
        return None
    return median(late)
