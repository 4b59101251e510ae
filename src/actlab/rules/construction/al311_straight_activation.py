"""AL311: an activation that is a straight line where it is used."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.formula.activation import Activation
from actlab.rules.construction.layers import LayerPair, layer_pairs, module_of
from actlab.rules.construction.straight import StraightLine, straight_everywhere
from actlab.rules.context import Context
from actlab.rules.rule import Found, found, rule
from actlab.sites.site import Site


@rule(
    "AL311",
    title="straight-line activation",
    severity="warning",
    remedies=("name-the-argument", "use-hidden-activation"),
)
def straight_activation(context: Context) -> Iterator[Found]:
    """An activation is a straight line wherever it is used, and adds no non-linearity.

    Why it matters:
        The layers around it collapse to a single linear layer, whatever their number. `nn.LeakyReLU(True)` sets the
        negative slope to 1; `inplace` has to be passed by name.

    How it is detected:
        By value: the activation is evaluated again on the batch's inputs and beyond them. It is reported if it is a
        straight line for every input up to 1e9; or if only affine steps separate it from the layers around it, and it
        is a straight line over a range four times as wide as the batch's inputs, and at least from -10 to 10.
        Activations with learned parameters are not reported, nor a normalized input that is small enough for the linear
        part of a tanh.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(True), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(inplace=True), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        the composition of affine maps is affine; PyTorch documentation of LeakyReLU: negative_slope
    """
    trace, reported = context.trace, set[Site]()
    for pair in layer_pairs(context):
        for line in pair.lines:
            for site in line.sites(trace)[:1]:
                if site not in reported:
                    reported.add(site)
                    yield _straight(context, site, line, pair)
    for site in trace.sites:
        if site in reported or site.trainable or not isinstance(site.formula, Activation) or site.gate is not None:
            continue
        straight = straight_everywhere(context, site)
        if straight is not None and any(step.place in context.matters for step in straight.steps):
            yield _straight(context, site, straight, None)


def _straight(context: Context, site: Site, line: StraightLine, pair: LayerPair | None) -> Found:
    names = [] if pair is None else [module_of(context, pair.first), module_of(context, pair.second)]
    function = _text(line)
    follows = (
        f"layers {names[0]} and {names[1]} collapse to one linear layer"
        if names
        else "it adds no non-linearity to the network"
    )
    return found(
        f"{site.activation} at {site.name} is {function} here: at {line.numbers} numbers of the batch and for inputs"
        f" from {line.lower:.3g} to {line.upper:.3g} it differs from a straight line by less than a thousandth;"
        f" {follows}.{_hint(line)}",
        site=site,
        slope=line.slope,
        intercept=round(line.intercept, 6),
        numbers=line.numbers,
        checked=[line.lower, line.upper],
        layers=names,
    )


def _text(line: StraightLine) -> str:
    """Return the line as a formula, without what is rounding."""
    rounding = 1e-6 * max(abs(line.lower), abs(line.upper), 1)
    is_through_zero = abs(line.intercept) < rounding
    if is_through_zero and abs(line.slope - 1) < 1e-6:
        return "the identity"
    return f"{line.slope:.4g}·x" if is_through_zero else f"{line.slope:.4g}·x + {line.intercept:.4g}"


def _hint(line: StraightLine) -> str:
    """Return a sentence about a True that was passed where a number belongs."""
    for step in line.steps:
        for name, value in step.arguments.items():
            if value is True and name not in {"inplace", "training"}:
                return f" {name}=True counts as {name}=1: pass inplace=True by name."
    return ""
