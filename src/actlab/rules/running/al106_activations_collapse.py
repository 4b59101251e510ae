"""AL106: collapsing activations."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.rule import Found, rule
from actlab.rules.run import Run
from actlab.rules.running.depth import variance_trend


@rule(
    "AL106",
    title="collapsing activations",
    severity="warning",
    remedies=("init-with-gain", "add-normalisation", "use-non-saturating"),
    plateau_rank=5,
)
def activations_collapse(run: Run) -> Iterator[Found]:
    """The variance of the activations shrinks geometrically from layer to layer.

    Why it matters:
        The last layers see nearly the same input for every example, so the network can learn little more than a
        constant.

    How it is detected:
        From the variance of the inputs of successive activations over the examples of a step while the model trains;
        biases that training moves from step to step do not count. It is information if the loss
        halved all the same.

    Example:
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32, bias=False), nn.Tanh())]
        model = nn.Sequential(*layers, nn.Linear(32, 3))
        for layer in model[:-1:2]:
            nn.init.normal_(layer.weight, std=0.05)  # a third of 1/sqrt(32)
        batch = torch.randn(64, 32), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        train_steps = 30

    Use instead:
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32, bias=False), nn.Tanh())]
        model = nn.Sequential(*layers, nn.Linear(32, 3))
        for layer in model[:-1:2]:
            nn.init.xavier_normal_(layer.weight, gain=actlab.gain("tanh"))
        batch = torch.randn(64, 32), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        train_steps = 30

    References:
        Schoenholz et al. 2017, arXiv:1611.01232
    """
    trend = variance_trend(run, grows=False)
    if trend is not None:
        yield trend
