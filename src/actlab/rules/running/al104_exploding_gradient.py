"""AL104: exploding gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.depth import elementwise_sites, gradients, unless_learned


@rule(
    "AL104",
    title="exploding gradient",
    severity="warning",
    remedies=("init-with-gain", "clip-gradients", "add-normalisation"),
    plateau_rank=6,
)
def exploding_gradient(run: Run) -> Iterator[Found]:
    """The gradient of the loss grows from layer to layer on its way back.

    Why it matters:
        Early layers get gradients that are orders of magnitude larger than those of late ones: a single step can undo
        what was learned.

    How it is detected:
        A straight line is fitted to the logarithm of the gradient's norm over the activations. Its slope and the ratio
        of the first to the last must both pass a threshold. It is information if the loss halved all the same.

    Example:
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32), nn.LeakyReLU(0.5))]
        model = nn.Sequential(*layers, nn.Linear(32, 3))
        for layer in model[:-1:2]:
            nn.init.normal_(layer.weight, std=0.6)  # three times too large
        batch = torch.randn(64, 32), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 30

    Use instead:
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32), nn.LeakyReLU(0.5))]
        model = nn.Sequential(*layers, nn.Linear(32, 3))
        for layer in model[:-1:2]:
            nn.init.kaiming_normal_(layer.weight, a=0.5)
        batch = torch.randn(64, 32), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 30

    References:
        Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063
    """
    sizes, line = gradients(run.quantities, run.settings)
    if line is not None and line.slope < 0 and line.is_geometric(run.settings.vanishing_ratio, run.settings):
        yield found(
            f"the gradient grows by a factor of {math.exp(-line.slope):.2g} per layer on its way back: at the first of"
            f" {line.layers} activations it is {1 / line.ratio:.1e} times that at the last, and a single step can undo"
            " what was learned",
            site=elementwise_sites(run.quantities)[0].site,
            severity=unless_learned(run.loss),
            **line.evidence(),
            gradients=tuple(sizes.values()),
        )
