"""AL313: inputs so large that the first activation is saturated."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.formula.activation import Activation
from actlab.rules.context import Context
from actlab.rules.dataflow import behind, biased, data_of, is_layer
from actlab.rules.rule import Found, found, rule
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.trace.trace import Step
from actlab.telemetry.observed_activation import measured
from actlab.theory.predicates import saturated_sides

_FEWEST = 64


@rule(
    "AL313",
    title="inputs too large for the first activation",
    severity="warning",
    remedies=("scale-inputs", "use-non-saturating"),
)
def inputs_saturate(context: Context, *, large: float = 10.0, saturated_share: float = 0.9) -> Iterator[Found]:
    """The inputs are so large that nearly all units of the first layer are saturated.

    Why it matters:
        Where a sigmoid or tanh is flat its derivative is close to 0: the first layer hardly learns, and its output says
        little more than the signs of its units.

    How it is detected:
        By value: a layer reads the input itself, the numbers of the input are large, and nearly all numbers that the
        activation after this layer reads lie where its derivative is below 5 % of its largest value. Activations that
        level off on both sides count, except at the output, which may be confident.

    Thresholds:
        large: the root mean square of the input; standardized data have 1.
        saturated_share: the share of saturated numbers.

    Example:
        model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 3))
        batch = torch.randint(256, (32, 64)).float(), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 3))
        batch = torch.randint(256, (32, 64)).float() / 255, torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        LeCun et al. 1998, Efficient BackProp
    """
    trace, reported, matters = context.trace, set[int](), context.matters
    before = dict[int, int | None]()  # by the place of what computes an activation's input
    for place, source in sorted(trace.source_of.items()):
        at, step, maker = trace.site_of.get(place), trace.steps[place], trace.maker(source)
        if at is None or at in reported or maker is None or place not in matters:
            continue
        if maker.place not in before:
            before[maker.place] = _input_before(context, source)
        data, site = before[maker.place], trace.sites[at]
        act = site.formula
        if data is None or site.gate is not None or not isinstance(act, Activation) or len(act.inputs) != 1:
            continue
        if len(saturated_sides(act)) < 2 or not set(step.outputs).isdisjoint(trace.outputs):
            continue
        numbers, z = context.observed.samples.get(data), context.observed.samples.get(source)
        if numbers is None or z is None or len(z) < _FEWEST or not bool(z.isfinite().all()):
            continue
        size = math.sqrt(float(numbers.double().square().mean()))
        known = measured(act)
        flat = known.pair(z.double())[1].abs() < context.settings.saturated_floor * known.bound
        share = float(flat.double().mean())
        if size > large and share > saturated_share:
            reported.add(at)
            yield found(
                f"{site.activation} at {site.name} is saturated on {share:.0%} of {len(z)} numbers: the layer before it"
                f" reads the input, whose numbers lie between {float(numbers.min()):.3g} and"
                f" {float(numbers.max()):.3g}, and hardly any gradient reaches this layer",
                site=site,
                share=share,
                numbers=len(z),
                input_size=size,
            )


def _input_before(context: Context, value: int) -> int | None:
    """Return the model's input if a layer alone stands between it and the value."""
    trace = context.trace
    layer: Step | None = trace.maker(behind(trace, value, MOVES))
    product = None if layer is None else biased(trace, layer)
    layer = layer if product is None else trace.maker(product)
    data = data_of(trace, layer) if layer is not None and is_layer(trace, layer) else None
    start = None if data is None else behind(trace, data, MOVES)
    return data if start is not None and trace.values[start].origin.startswith("input") else None
