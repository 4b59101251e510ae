"""AL105: exploding activations."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.rule import Found, rule
from actlab.rules.run import Run
from actlab.rules.running.depth import variance_trend
from actlab.rules.running.growing_state import growing_state


@rule(
    "AL105",
    title="exploding activations",
    severity="warning",
    remedies=("init-with-gain", "add-normalisation"),
    plateau_rank=7,
    on_batch=growing_state,
)
def activations_explode(run: Run) -> Iterator[Found]:
    """The variance of the activations grows geometrically from layer to layer.

    Why it matters:
        The last layers see inputs that are orders of magnitude larger than those of the first ones. In 16 bits they
        may overflow, and the gradient grows in the same way.

    How it is detected:
        From the variance of the inputs of successive activations while the model trains. If one layer is applied to its
        own output again and again, as in a recurrent network, the size of its state is followed from call to call in a
        single forward pass. It is information if the loss halved all the same.

    Example:
        class Recurrent(nn.Module):
            def __init__(self):
                super().__init__()
                self.step, self.out = nn.Linear(16, 16, bias=False), nn.Linear(16, 3)
                nn.init.orthogonal_(self.step.weight, gain=2.0)

            def forward(self, x):
                for _ in range(20):
                    x = self.step(x)
                return self.out(x)

        model = Recurrent()
        batch = torch.randn(32, 16), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Recurrent(nn.Module):
            def __init__(self):
                super().__init__()
                self.step, self.out = nn.Linear(16, 16, bias=False), nn.Linear(16, 3)
                nn.init.orthogonal_(self.step.weight)

            def forward(self, x):
                for _ in range(20):
                    x = torch.tanh(self.step(x))
                return self.out(x)

        model = Recurrent()
        batch = torch.randn(32, 16), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        He et al. 2015, arXiv:1502.01852
    """
    trend = variance_trend(run, grows=True)
    if trend is not None:
        yield trend
