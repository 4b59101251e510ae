"""AL109: updates too large."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.updates import has_size, pace, pace_evidence


@rule(
    "AL109",
    title="updates too large",
    severity="warning",
    remedies=("lower-learning-rate",),
    plateau_rank=8,
)
def updates_too_large(
    run: Run, *, updates_high: float = 1e-1, update_overwrites: float = 0.5, overshoot: float = 3.0
) -> Iterator[Found]:
    """A step changes most weights by more than a tenth of their size.

    Why it matters:
        Every step overwrites what the previous ones learned, and the loss may diverge.

    How it is detected:
        From the RMS of a step over the RMS of the weights, for most parameters; biases do not count. Also reported if
        most weights once moved by half their size while the loss rose above three times its first value: afterwards the
        weights are so large that the same step is small beside them.

    Thresholds:
        updates_high: the ratio is about a thousandth if training goes well (Bottou 2012); a hundred times that
            overwrites the weights.
        update_overwrites: a step of more than this share of the weights' size is of their own order: after two of them
            the initial weights are lost.
        overshoot: a loss that rose above this many times its first value diverged; noise does not do that.

    Example:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=50.0)
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
    largest = _overwriting(run, update_overwrites=update_overwrites, overshoot=overshoot)
    if largest:
        peak = max(loss for _, loss in run.quantities.losses if math.isfinite(loss))
        yield found(
            f"single steps changed most weights by {median(largest):.2g} times their size, and the loss rose to"
            f" {peak:.3g}: the initial weights are lost",
            parameters=len(largest),
            median_largest_ratio=median(largest),
            peak_loss=peak,
            steps=run.quantities.measured,
            **run.loss.evidence(),
        )
        return
    usual = pace(run)
    if usual is not None and usual.share(above=updates_high) > run.settings.most:
        diverges = run.loss.stalls or any(not math.isfinite(loss) for _, loss in run.quantities.losses)
        yield found(
            f"each step changes the weights by {usual.middle:.1e} of their size and overwrites what the previous ones"
            " learned",
            severity="warning" if diverges else "information",
            **pace_evidence(run, usual),
            share_above=usual.share(above=updates_high),
        )


def _overwriting(run: Run, *, update_overwrites: float, overshoot: float) -> list[float]:
    """Return the largest ratio of every weight if most were overwritten and the loss rose; else nothing."""
    losses = [loss for _, loss in run.quantities.losses if math.isfinite(loss)]
    if not losses or max(losses) <= overshoot * abs(losses[0]):
        return []
    largest = [
        max(ratios)
        for each in run.quantities.parameters
        if has_size(each, run.settings) and (ratios := [ratio for _, ratio in each.updates if math.isfinite(ratio)])
    ]
    over = sum(ratio > update_overwrites for ratio in largest)
    return largest if over > run.settings.most * len(largest) else []
