"""AL306: one learnable activation shared by several layers."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.construction.learned_parameters import activation_parameters
from actlab.rules.context import Context
from actlab.rules.rule import Found, found, rule


@rule(
    "AL306",
    title="learnable activation shared by several layers",
    severity="warning",
    remedies=("one-each",),
)
def learnable_activation_shared(context: Context) -> Iterator[Found]:
    """One activation with a learnable parameter is applied after several layers.

    Why it matters:
        The module learns one value for all of these places, although the gradient of each asks for another. Usually it
        was created once for convenience, which is right for `nn.ReLU` but not for `nn.PReLU`.

    How it is detected:
        By data flow: the same parameter of an activation is read after the weights of different layers. A layer that is
        itself shared does not count twice.

    Example:
        act = nn.PReLU()
        model = nn.Sequential(nn.Linear(4, 16), act, nn.Linear(16, 16), act, nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.PReLU(), nn.Linear(16, 16), nn.PReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        He et al. 2015, arXiv:1502.01852 (one parameter per layer, or per channel)
    """
    for name, (site, layers) in activation_parameters(context.trace).items():
        if len(layers) > 1:
            yield found(
                f"the activation is applied after {len(layers)} layers, so all of them train the same {name}.",
                site=site,
                parameter=name,
                places=len(layers),
                layers=sorted(weights[0] for weights in layers),
            )
