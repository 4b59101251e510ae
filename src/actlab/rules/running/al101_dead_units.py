"""AL101: dead units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from actlab.rules.finding import Severity
from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.units import indices, is_dead, unit_sites
from actlab.telemetry.loss_trend import Progress, was_at_rest
from actlab.telemetry.quantities import Point, Quantities, SiteQuantities
from actlab.telemetry.settings import Settings
from actlab.theory.properties import properties


@rule(
    "AL101",
    title="dead units",
    severity="information",
    remedies=("use-leaky", "lower-learning-rate", "init-with-gain"),
    plateau_rank=2,
)
def dead_units(run: Run, *, growth: float = 0.1) -> Iterator[Found]:
    """Units have zero gradient on every example.

    A unit is a channel of a convolution or a feature of the last axis. Zeros in one batch are sparsity, not death.

    Why it matters:
        No gradient reaches the weights of a dead unit, so it stays dead. A layer of dead units stops all layers before
        it from learning. Healthy small ReLU networks have 9 to 30 % dead units, so the severity follows the
        consequence.

        Error: a whole layer is dead.

        Warning: the same, but the loss halved or another path carries the gradient; or 90 % are dead while the loss
        stalls; or half of them, and growing, while it rises.

        Information: anything else, including units that died after the loss had converged.

    How it is detected:
        A unit is dead if |f'(z)| is 0 in the dtype, or below a thousandth of its largest value where f levels off, on
        every one of n examples. Of a function with one steep spot, such as sqrt(|x| + 1e-12), the typical derivative
        takes the place of the largest. The finding names n, in which a repeated example counts once, and 3/n, the 95 %
        upper bound on the rate at which the unit may still activate.

    Thresholds:
        growth: the share of dead units counts as growing if it rises by more than this over a run; from batch to
            batch it varies by a few hundredths.

    Example:
        first = nn.Linear(8, 32)
        nn.init.constant_(first.bias, -10.0)  # every pre-activation is negative
        model = nn.Sequential(first, nn.ReLU(), nn.Linear(32, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 40

    Use instead:
        model = nn.Sequential(nn.Linear(8, 32), nn.LeakyReLU(0.1), nn.Linear(32, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 40

    References:
        Lu et al. 2019, arXiv:1903.06733; the rule of three: Hanley, Lippman-Hand 1983
    """
    quantities, settings = run.quantities, run.settings
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
        # The rest of a layer still learns: fewer losses show that the loss does not depend on its dead units.
        fewest = settings.fewest_losses if count == width else settings.fewest_steps
        is_late = was_at_rest(quantities.losses, _died(at.points, settings), settings, fewest=fewest)
        severity = severity_of(at, count / width, run.loss, settings, growth=growth)
        if is_output or is_late:
            severity = "information"
        if severity == "error" and run.loss.falls and _is_bypassed(at, quantities):
            severity = "warning"
        yield _found(at, dead, severity, run.loss, is_late=is_late)


def severity_of(at: SiteQuantities, share: float, loss: Progress, settings: Settings, *, growth: float) -> Severity:
    """Return the severity of this share of dead units, by what the loss does."""
    if share == 1:
        # A branch beside the main path, such as a gate: the rest learns without it.
        return "warning" if loss.learned else "error"
    # Half of a layer passes seven tenths of the gradient: a loss that merely stalls has another cause.
    dies_as_it_rises = share > settings.most and loss.rises and growth_of(at.points) > growth
    is_choked = share > settings.nearly_all and loss.stalls
    return "warning" if is_choked or dies_as_it_rises else "information"


def growth_of(points: Sequence[Point]) -> float:
    """Return by how much the share of dead units rose from the first third of the points to the last."""
    third = len(points) // 3
    if not third:
        return 0.0
    first, last = points[:third], points[-third:]
    return sum(point.dead_share for point in last) / third - sum(point.dead_share for point in first) / third


def _can_be_confident(at: SiteQuantities) -> bool:
    """Whether training may aim at a flat part of it, as in an output: a probability near 0 or 1."""
    limits = properties(at.site.measured).limits
    return all(isinstance(limit, float) and abs(limit) < float("inf") for limit in (limits.left, limits.right))


def _died(points: Sequence[Point], settings: Settings) -> int:
    """Return the step from which on nearly all units were dead; 0 if they always were."""
    alive = [point.step for point in points if point.dead_share <= settings.nearly_all]
    return alive[-1] + 1 if alive else 0


def _is_bypassed(dead: SiteQuantities, quantities: Quantities) -> bool:
    """Whether a gradient still reaches an activation before the dead one, on another path."""
    before = quantities.sites[: quantities.sites.index(dead)]
    return any(at.points and at.points[-1].gradient_rms > 0 for at in before)


def _found(at: SiteQuantities, dead: Tensor, severity: Severity, loss: Progress, *, is_late: bool) -> Found:
    count, width, examples = int(dead.sum()), dead.numel(), at.recent.examples
    follows = {
        "error": "the whole layer is dead, and no gradient passes through it",
        "warning": "most of the layer is dead, and the loss does not fall",
        "information": "they receive no updates",
    }[severity]
    if severity == "information" and count == width and is_late:
        follows = "the whole layer is dead, but was not when the loss converged"
    if severity == "warning" and count == width:
        follows = "the whole layer is dead; the loss falls without it, so it contributes nothing"
    bound = min(1.0, 3 / examples)
    return found(
        f"{at.site.activation} at {at.site.name}: {count} of {width} units are dead: zero gradient on all {examples}"
        f" examples (95 % upper bound on the activation rate: {100 * bound:.2g} %); {follows}",
        site=at.site,
        severity=severity,
        examples=examples,
        units=width,
        dead=count,
        dead_share=count / width,
        rate_bound=bound,
        growth=growth_of(at.points),
        dead_units=indices(dead),
        **loss.evidence(),
    )


def _too_few(at: SiteQuantities, count: int) -> Found:
    examples = at.recent.examples
    return found(
        f"{at.site.activation} at {at.site.name}: all {count} units have zero gradient on the {examples} examples seen,"
        " too few to call a unit dead",
        site=at.site,
        examples=examples,
        units=count,
        silent=count,
        rate_bound=min(1.0, 3 / examples),
    )
