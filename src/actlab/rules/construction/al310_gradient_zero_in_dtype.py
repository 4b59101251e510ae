"""AL310: an activation's gradient that is zero only because of the dtype."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.rule import Found, found, rule


@rule(
    "AL310",
    title="gradient underflow in 16 bits",
    severity="warning",
    remedies=("wider-dtype", "add-normalisation"),
)
def gradient_zero_in_dtype(context: Context, *, zero_gradient_share: float = 0.2) -> Iterator[Found]:
    """PyTorch rounds the gradient of a smooth activation to zero over much of its input.

    Why it matters:
        PyTorch computes the derivative of tanh as 1 - y² and that of sigmoid as y(1 - y). In bfloat16 these are exactly
        0 from 3.47 and 6.25 on, although the true derivatives are not: units there stop learning.

    How it is detected:
        For activations in float16 and bfloat16, PyTorch's gradient on the batch is compared with the gradient in
        float64. Only zeros whose true value the dtype can represent count.

    Thresholds:
        zero_gradient_share: the share of the inputs whose gradient may be lost: with one in five, training succeeds.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)).bfloat16()
        batch = 30 * torch.randn(32, 4).bfloat16(), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 3)).bfloat16()
        batch = 30 * torch.randn(32, 4).bfloat16(), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        measured: `actlab certify tanh --dtype bfloat16 --against torch`
    """
    for place, zeros in context.observed.zeros.items():
        site = context.trace.site_at(context.trace.steps[place])
        share = zeros.zeros / max(zeros.numbers, 1)
        if site is not None and share > zero_gradient_share:
            yield found(
                f"in {zeros.dtype} PyTorch's gradient of {site.activation} is exactly 0 at {zeros.zeros} of"
                f" {zeros.numbers} inputs where the true gradient is not: units receive no updates there.",
                site=site,
                share=share,
                numbers=zeros.numbers,
                dtype=zeros.dtype,
            )
