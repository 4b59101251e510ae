"""AL102: saturated units."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.rules.finding import Severity
from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.units import indices, is_dead, unit_sites
from actlab.telemetry.loss_trend import Progress
from actlab.telemetry.quantities import SiteQuantities
from actlab.telemetry.settings import Settings
from actlab.theory.properties import properties
from actlab.theory.record import Properties


@rule(
    "AL102",
    title="saturated units",
    severity="warning",
    remedies=("use-non-saturating", "add-normalisation", "init-with-gain"),
    plateau_rank=4,
)
def saturated_units(run: Run, *, confident_loss: float = 0.1) -> Iterator[Found]:
    """Units stay where the activation is flat, so that their derivative is close to zero on most examples.

    Why it matters:
        The gradient is multiplied by the derivative: layers before a saturated one learn as much more slowly. An
        output that is saturated and right is confident, not broken, and is information.

    How it is detected:
        The mean of |f'(z)| over the data is below 0.05 of its largest value, on a side where f tends to a finite limit
        without being exactly linear (sigmoid, tanh, erf, softsign). A ReLU is dead or sparse, never saturated.

    Thresholds:
        confident_loss: a saturated output that is right leaves a loss below this; at 0.1 a probability is 0.9 on
            average.

    Example:
        model = nn.Sequential(*[part for _ in range(4) for part in (nn.Linear(16, 16), nn.Tanh())], nn.Linear(16, 3))
        for layer in model[::2]:
            nn.init.normal_(layer.weight, std=8.0)  # pre-activations far out in the tails of tanh
        batch = torch.randn(64, 16), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 40

    Use instead:
        model = nn.Sequential(*[part for _ in range(4) for part in (nn.Linear(16, 16), nn.Tanh())], nn.Linear(16, 3))
        batch = torch.randn(64, 16), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 40

    References:
        Glorot, Bengio 2010 (AISTATS); LeCun et al. 1998, Efficient BackProp
    """
    for at in unit_sites(run.quantities):
        known = properties(at.site.measured)
        if not isinstance(known.saturates, tuple) or not known.saturates or not math.isfinite(at.slope_bound):
            continue
        flat = _is_saturated(at, known, run.settings)
        if len(known.saturates) == 1:
            flat = flat & ~is_dead(at.recent)  # a rectifier's silent units are dead, which AL101 reports
        if at.recent.looked_at < run.settings.fewest_examples or not bool(flat.any()):
            continue
        is_last = at is run.quantities.sites[-1]
        severity = _severity(at, flat, known, is_last, run.loss, run.settings, confident_loss)
        yield _found(at, flat, severity)


def _is_saturated(at: SiteQuantities, known: Properties, settings: Settings) -> Tensor:
    units = at.recent
    flat = (units.slope_mean < settings.saturated_floor * at.slope_bound) & (units.positions > units.non_finite)
    if known.monotone is True:
        return flat
    # It is flat at its extrema too, which is not saturation.
    turns = [turn.at for each in (known.minima, known.maxima) if isinstance(each, tuple) for turn in each]
    lowest, highest = min(turns, default=-math.inf), max(turns, default=math.inf)
    outside = torch.zeros_like(flat)
    if "left" in known.saturates:  # type: ignore[operator]  # not unknown: asked above
        outside |= units.mean < lowest
    if "right" in known.saturates:  # type: ignore[operator]  # likewise
        outside |= units.mean > highest
    return flat & outside


def _severity(
    at: SiteQuantities,
    flat: Tensor,
    known: Properties,
    is_last: bool,
    loss: Progress,
    settings: Settings,
    confident_loss: float,
) -> Severity:
    """Return the severity by the consequence: flat on one side only is sparse, and an output may be confident."""
    share = float(flat.double().mean())
    if share <= settings.most or len(known.saturates) < 2:  # type: ignore[arg-type]  # not unknown
        return "information"
    from_start = bool(at.points) and at.points[0].saturated_share > settings.most
    if share > settings.nearly_all and from_start and not is_last:
        return "warning"  # the layers after it may learn from its output: those before it cannot
    if loss.learned:
        return "information"
    if is_last:
        return "warning" if from_start and loss.first > confident_loss else "information"
    return "warning" if from_start or loss.stalls else "information"


def _found(at: SiteQuantities, flat: Tensor, severity: Severity) -> Found:
    count, width, units = int(flat.sum()), flat.numel(), at.recent
    slope = float(units.slope_mean[flat].mean()) / at.slope_bound
    return found(
        f"{at.site.activation} at {at.site.name}: {count} of {width} units are saturated: over {units.examples}"
        f" examples their mean derivative is {slope:.1%} of its maximum, and gradients to earlier layers shrink by the"
        " same factor",
        site=at.site,
        severity=severity,
        examples=units.examples,
        units=width,
        saturated=count,
        saturated_share=count / width,
        mean_slope=slope,
        at_start=at.points[0].saturated_share if at.points else None,
        saturated_units=indices(flat),
    )
