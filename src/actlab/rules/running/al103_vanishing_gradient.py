"""AL103: vanishing gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.depth import (
    elementwise_sites,
    gradients,
    median_gradient,
    numbers_per_example,
    unless_learned,
)
from actlab.telemetry.loss_trend import was_at_rest
from actlab.telemetry.quantities import Quantities
from actlab.telemetry.settings import Settings


@rule(
    "AL103",
    title="vanishing gradient",
    severity="warning",
    remedies=("use-non-saturating", "init-with-gain", "add-normalisation", "residual"),
    plateau_rank=3,
)
def vanishing_gradient(run: Run) -> Iterator[Found]:
    """The gradient of the loss shrinks from layer to layer on its way back.

    Why it matters:
        The first layers get updates that are orders of magnitude smaller than those of the last ones: they hardly
        learn, and no single learning rate suits both.

    How it is detected:
        A straight line is fitted to the logarithm of the gradient's norm over the activations. Its slope and the ratio
        of the first to the last must both pass a threshold. A gradient that is small everywhere is normal in a
        trained network and is not reported. It is information if the loss halved, or had converged before the gradient
        shrank, and in the first steps, which do not show where the loss goes, unless hardly any gradient is left.

    Example:
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32), nn.Sigmoid())]
        model = nn.Sequential(*layers, nn.Linear(32, 3))
        batch = torch.randn(64, 32), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 30

    Use instead:
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(32, 3))
        for layer in model[:-1:2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        batch = torch.randn(64, 32), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 30

    References:
        Hochreiter 1991; Glorot, Bengio 2010 (AISTATS)
    """
    quantities, settings = run.quantities, run.settings
    if silent := _silent_front(quantities, settings):
        yield _silent(run, silent)
        return
    sizes, line = gradients(quantities, settings)
    if line is not None and line.slope > 0 and line.is_geometric(settings.vanishing_ratio, settings):
        is_late = was_at_rest(
            quantities.losses, _vanished(quantities, settings), settings, fewest=settings.fewest_losses
        )
        yield found(
            f"the gradient shrinks by a factor of {math.exp(line.slope):.2g} per layer on its way back: at the first of"
            f" {line.layers} activations it is {1 / line.ratio:.1e} times that at the last, so the early layers hardly"
            " learn",
            site=elementwise_sites(quantities)[0].site,
            severity="information"
            if is_late or _is_early(run, next(iter(sizes.values())))
            else unless_learned(run.loss),
            **line.evidence(),
            gradients=tuple(sizes.values()),
        )


def _is_early(run: Run, first: float) -> bool:
    """Return whether the run is too short to tell whether the loss falls all the same, and some gradient is left."""
    return run.quantities.steps < run.settings.fewest_losses and first > run.settings.gradient_floor


def _vanished(quantities: Quantities, settings: Settings) -> int:
    """Return the step from which on the first site's gradient was that much smaller than the last one's."""
    sites = [at for at in elementwise_sites(quantities) if at.points]
    first, last = (
        {point.step: point.gradient_rms * math.sqrt(numbers_per_example(at)) for point in at.points}
        for at in (sites[0], sites[-1])
    )
    there = [step for step in first if step in last and first[step] * settings.vanishing_ratio >= last[step] > 0]
    return there[-1] + 1 if there else 0


def _silent_front(quantities: Quantities, settings: Settings) -> int:
    """Return how many of the first sites never got a gradient though the last did; 0 if that may be initialization."""
    sites = [at for at in elementwise_sites(quantities) if at.points]
    if len(sites) < settings.fewest_layers or min(len(at.points) for at in sites) < settings.fewest_steps:
        return 0
    sizes = [median_gradient(at.points) for at in sites]
    front = next((place for place, size in enumerate(sizes) if size != 0), 0)
    reaches = all(size > 0 for size in sizes[front:]) and front > 0
    return front if reaches and max(sizes[front:]) > settings.gradient_floor else 0


def _silent(run: Run, silent: int) -> Found:
    sites = elementwise_sites(run.quantities)
    return found(
        f"no gradient reaches the first {silent} of {len(sites)} activations: it is exactly 0 there",
        site=sites[0].site,
        severity=unless_learned(run.loss),
        layers=len(sites),
        silent=silent,
        gradients=tuple(median_gradient(at.points) for at in sites),
        points=min(len(at.points) for at in sites),
    )
