"""AL308: a random activation in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.rule import Found, found, rule

_RANDOM = frozenset({"rrelu", "activation"})  # actlab's own activations have the argument only if they are random


@rule(
    "AL308",
    title="random activation in evaluation mode",
    severity="warning",
    remedies=("call-eval",),
)
def random_in_eval(context: Context) -> Iterator[Found]:
    """Rrelu or another random activation stays random in evaluation mode.

    Why it matters:
        rrelu draws its negative slope at every call while training and uses the mean in evaluation mode. Called as a
        function with `training=True` it stays random: the same input gives different outputs at every call.

    How it is detected:
        The model is run once in evaluation mode, and a call of a random activation still has `training=True`.

    Example:
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 3)

            def forward(self, x):
                return self.head(F.rrelu(self.hidden(x), training=True))

        model = Net()
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 3)

            def forward(self, x):
                return self.head(F.rrelu(self.hidden(x), training=self.training))

        model = Net()
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        Xu et al. 2015, arXiv:1505.00853
    """
    trace = context.evaluated
    for step in () if trace is None else trace.steps:
        if step.function in _RANDOM and step.arguments.get("training") is True and trace is not None:
            site = trace.site_at(step)
            yield found(
                f"{step.function if site is None else site.activation} is random although the model is in evaluation"
                " mode: the same input gives different outputs at every call.",
                site=site,
            )
