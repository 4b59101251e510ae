"""AL307: weight decay on parameters of activations."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.construction.learned_parameters import activation_parameters
from actlab.rules.context import Context
from actlab.rules.rule import Found, found, rule


@rule(
    "AL307",
    title="weight decay on parameters of activations",
    severity="warning",
    remedies=("no-decay",),
)
def decay_on_activation_parameters(context: Context, *, weak_decay: float = 1e-3) -> Iterator[Found]:
    """Weight decay of the optimizer acts on parameters of activations.

    Why it matters:
        Weight decay pulls the negative slope of a PReLU towards 0, that is towards ReLU, and the beta of a swish
        towards a linear function. That selects another function; it does not regularize. The papers train these
        parameters without decay.

    How it is detected:
        From the parameter groups of the optimizer that was passed: a group with weight decay holds a parameter that an
        activation of the model reads.

    Thresholds:
        weak_decay: with less weight decay the finding is information: at a learning rate of 0.1 it takes more than ten
            thousand steps to shrink a parameter by a factor of e, and the gradient outweighs it. The usual decay of
            image classifiers, 5e-4, is below.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.PReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.PReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()
        layers = [*model[0].parameters(), *model[2].parameters()]
        groups = [{"params": layers}, {"params": model[1].parameters(), "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.01)

    References:
        He et al. 2015, arXiv:1502.01852, section 2.1
    """
    if context.optimizer is None:
        return
    names = {id(value): name for name, value in context.model.named_parameters()}
    known = activation_parameters(context.trace)
    decayed = {
        names[id(value)]: float(group.get("weight_decay") or 0.0)
        for group in context.optimizer.param_groups
        for value in group["params"]
        if group.get("weight_decay") and names.get(id(value)) in known
    }
    if decayed:
        first = next(iter(decayed))
        yield found(
            f"weight decay of {max(decayed.values()):g} pulls {len(decayed)} parameters of activations towards 0 (the"
            f" first is {first}), which changes the function that the activation computes.",
            site=known[first][0],
            severity="warning" if max(decayed.values()) >= weak_decay else "information",
            parameters=sorted(decayed),
            weight_decay=max(decayed.values()),
        )
