"""AL107: NaN or infinity."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.formula.activation import Activation
from actlab.rules.finding import Severity
from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.finite_on_batch import loss_not_finite


@rule(
    "AL107",
    title="NaN or infinity",
    severity="error",
    remedies=("check-data", "lower-learning-rate", "clip-gradients"),
    plateau_rank=1,
    on_batch=loss_not_finite,
)
def non_finite(run: Run) -> Iterator[Found]:
    """An activation, the loss or a weight is NaN or infinite.

    Why it matters:
        One NaN in the loss makes every gradient NaN, and after the next step every weight.

    How it is detected:
        In training, at the first site and the first measured step, or else from the weights after the last step; what
        follows in the same step is a consequence. On a single batch, and in the first step of a trial run whose loss is
        not finite, at the operation that produces the first NaN, or the infinity that leads to it: the logarithm of 0,
        the softmax of a row with only -inf. Negative infinity that a mask writes is not reported.

    Example:
        class Scores(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(4, 3)

            def forward(self, x):
                return torch.log(torch.relu(self.layer(x)))  # log(0) is -inf

        model = Scores()
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.NLLLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.NLLLoss()

    References:
        IEEE 754
    """
    quantities = run.quantities
    first = quantities.first_non_finite
    lost = next((step for step, loss in quantities.losses if not math.isfinite(loss)), None)
    if first is not None and (lost is None or first.step <= lost):
        is_masked = not isinstance(first.site.formula, Activation) and lost is None  # -inf before a softmax is a mask
        severity: Severity = "information" if is_masked else "error"
        yield found(
            f"{first.site.activation} at {first.site.name}: NaN or infinity in its input or output, first at step"
            f" {first.step}",
            site=first.site,
            severity=severity,
            step=first.step,
        )
    elif lost is not None:
        measured = [point.step for at in quantities.sites for point in at.points]
        if lost < min(measured, default=lost + 1):
            why = "before any activation was measured"
        else:
            why = "and all activations measured before were finite"
        yield found(
            f"the loss is NaN or infinite, first at step {lost}, {why}",
            step=lost,
            first_activation_step=None if first is None else first.step,
        )
    elif quantities.broken:
        names = quantities.broken
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        yield found(
            f"{names[0]}{more} hold NaN or infinity after the last of {quantities.steps} steps; what was measured"
            " before was finite",
            parameters=names,
            steps=quantities.steps,
        )
