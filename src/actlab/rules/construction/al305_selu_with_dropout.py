"""AL305: selu with plain dropout."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.construction.layers import DROPOUTS
from actlab.rules.context import Context
from actlab.rules.dataflow import back, sole
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

_UNIFORM, _COMPARES = frozenset({"rand", "rand_like", "uniform"}), frozenset({"gt", "ge", "lt", "le"})
_OF_MASKS = _COMPARES | {"to", "float", "half", "type_as", "div", "mul", "unsqueeze", "expand", "bernoulli"}


@rule(
    "AL305",
    title="selu with plain dropout",
    severity="warning",
    remedies=("alpha-dropout",),
)
def selu_with_dropout(context: Context) -> Iterator[Found]:
    """Plain dropout is applied to the output of selu.

    Why it matters:
        Dropout sets units to 0, which moves the mean and variance away from the fixed point that selu relies on.
        Alpha dropout sets them to selu's lowest value instead and rescales.

    How it is detected:
        By data flow: the input of a dropout is the output of selu. A random mask multiplied by hand counts as dropout.

    Example:
        model = nn.Sequential(nn.Linear(4, 32), nn.SELU(), nn.Dropout(0.1), nn.Linear(32, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 32), nn.SELU(), nn.AlphaDropout(0.1), nn.Linear(32, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        Klambauer et al. 2017, arXiv:1706.02515, section 'New Dropout Technique'
    """
    reported: set[str] = set()
    for step in context.trace.steps:
        if step.function != "mul" and step.function not in DROPOUTS:
            continue
        dropped = _dropped(context, step)
        if dropped is None or step.arguments.get("p", 0.5) == 0:
            continue
        made = sole(context.trace, dropped)
        if made.name == "selu" and made.site is not None and made.site.name not in reported:
            reported.add(made.site.name)
            yield found(
                "plain dropout sets outputs of selu to 0, which moves their mean and variance away from the fixed point"
                " that selu relies on; alpha dropout preserves both.",
                site=made.site,
                p=step.arguments.get("p", 0.5),
            )


def _dropped(context: Context, step: Step) -> int | None:
    """Return the value of which the step sets randomly chosen entries to 0."""
    if step.function in DROPOUTS and step.inputs:
        return step.inputs[0]
    if step.function == "mul" and len(step.inputs) == 2:
        for value, mask in (step.inputs, step.inputs[::-1]):
            functions = [each.function for each in back(context.trace, mask, _OF_MASKS)]
            is_compared = functions and functions[-1] in _UNIFORM and not _COMPARES.isdisjoint(functions)
            if "bernoulli" in functions or is_compared:
                return value
    return None
