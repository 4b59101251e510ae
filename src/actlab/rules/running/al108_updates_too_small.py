"""AL108: updates too small."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.updates import pace, pace_evidence


@rule(
    "AL108",
    title="updates too small",
    severity="information",
    remedies=("raise-learning-rate",),
    plateau_rank=9,
)
def updates_too_small(run: Run, *, updates_low: float = 1e-4) -> Iterator[Found]:
    """A step changes most weights by less than a ten-thousandth of their size.

    Why it matters:
        At this pace the weights stay near their initial values. About a thousandth is usual.

    How it is detected:
        From the RMS of a step over the RMS of the weights, for most parameters; biases do not count. It is a warning
        while the loss stalls.

    Thresholds:
        updates_low: the ratio is about a thousandth if training goes well (Bottou 2012); a tenth of that leaves the
            weights where they are.

    Example:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
        train_steps = 40

    Use instead:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        train_steps = 40

    References:
        Bottou 2012, Stochastic Gradient Descent Tricks; Karpathy 2016, CS231n (ratio of updates to weights)
    """
    usual = pace(run)
    if usual is not None and usual.share(below=updates_low) > run.settings.most:
        yield found(
            f"each step changes the weights by {usual.middle:.1e} of their size; at this pace they stay near their"
            " initial values",
            severity="warning" if run.loss.stalls else "information",
            **pace_evidence(run, usual),
            share_below=usual.share(below=updates_low),
        )
