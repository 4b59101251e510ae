"""Findings about the weights' size at the start, and about what selu needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.rules.context import Context, finding
from actlab.rules.dataflow import back, behind, data_of, is_layer, sole
from actlab.rules.finding import Finding
from actlab.rules.layer_rules import DROPOUTS, place, weight_of
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.site import Site
from actlab.sites.trace.trace import Step
from actlab.theory.gains import gain, moments

_KEEPS_SIZE = MOVES | DROPOUTS | {"max_pool1d", "max_pool2d", "max_pool3d", "alpha_dropout"}
_DEFAULT = (0.25, 0.42)
"""fan_in times the variance of PyTorch's own start is 1/3; small layers scatter around it."""


@final
@dataclass(frozen=True)
class Stage:
    """A layer and the activation right behind it.

    Attributes:
        layer: its step.
        site: of the activation.
        scale: fan_in times the mean square of the weights.
        before: the number of the value that the layer reads.
        answer: the number of the value that the activation makes.
    """

    layer: Step
    site: Site
    scale: float
    before: int
    answer: int


def stages(context: Context) -> list[Stage]:
    """Every layer with an activation right behind it, in order."""
    found = []
    for step in context.trace.steps:
        site = context.trace.site_at(step)
        if site is None or step.part == "loss" or not step.inputs or site.gate is not None:
            continue
        made = _layer_before(context, step.inputs[0])
        weight = None if made is None else weight_of(context, made)
        before = None if made is None else data_of(context.trace, made)
        if made is not None and weight is not None and before is not None and isinstance(site.formula, Activation):
            fan_in = weight.numel() / weight.shape[0]
            scale = fan_in * float(weight.detach().float().square().mean())
            found.append(Stage(made, site, scale, before, _answer(context, step)))
    return found


def _layer_before(context: Context, value: int) -> Step | None:
    for step in back(context.trace, value, MOVES):
        if is_layer(context.trace, step) and "transpose" not in step.function:
            return step
    return None


def _answer(context: Context, step: Step) -> int:
    """What the whole activation gives, of which the step is the first part."""
    at = context.trace.site_of[step.place]
    value = step.outputs[0]
    for reader in context.trace.steps[step.place + 1 :]:
        if context.trace.site_of.get(reader.place) == at and value in reader.inputs:
            value = reader.outputs[0]
    return value


def chains(context: Context) -> list[list[Stage]]:
    """Stages that follow each other with nothing between that changes the signal's size."""
    found: list[list[Stage]] = []
    for stage in stages(context):
        value = sole(context.trace, behind(context.trace, stage.before, _KEEPS_SIZE)).value
        chain = next((chain for chain in found if chain[-1].answer == value), None)
        if chain is None:
            found.append([stage])
        else:
            chain.append(stage)
    return found


def does_not_fit(context: Context) -> Iterator[Finding]:
    """AL303: over a chain of layers the signal, or its gradient, grows or shrinks out of bounds."""
    if not context.is_fresh:
        return
    for chain in (_hidden(context, chain) for chain in chains(context)):
        if len(chain) < 3 or any(stage.site.activation == "selu" for stage in chain):
            continue
        change = _carried(context, chain)
        limit = 2 * math.log(context.settings.depth_factor)  # of squares
        if all(_DEFAULT[0] < stage.scale < _DEFAULT[1] for stage in chain):
            limit *= 2  # biases of the same start hold the signal up
        grows = abs(change.steady(change.forward)) > limit or abs(change.steady(change.backward)) > limit
        if grows or change.saturated >= max(3, len(chain) / 2):
            yield _misfit(context, chain, change)


def _hidden(context: Context, chain: list[Stage]) -> list[Stage]:
    """The chain without an output activation, whose layer may start small on purpose."""
    waiting, looked = [chain[-1].answer], {chain[-1].answer}
    while waiting:
        for reader in context.trace.readers(waiting.pop()):
            if reader.part == "model" and is_layer(context.trace, reader):
                return chain
            new = [value for value in reader.outputs if value not in looked]
            looked.update(new)
            waiting += new
    return chain[:-1]


@final
@dataclass(frozen=True)
class Change:
    """What a chain of layers does to the signal's second moment, and to the gradient's on its way back.

    Attributes:
        forward, backward: the logarithm of the factor, layer by layer.
        saturated: behind how many layers a bounded activation is driven flat by large weights.
    """

    forward: tuple[float, ...]
    backward: tuple[float, ...]
    saturated: int

    def steady(self, factors: tuple[float, ...]) -> float:
        """Over all layers but the most extreme: depth is to blame only where it adds up."""
        return sum(factors) - max(factors, key=abs, default=0.0)


def _carried(context: Context, chain: list[Stage]) -> Change:
    signal = context.observed.size.get(chain[0].layer.place) or 1.0
    forward, backward, saturated = [], [], 0
    for stage in chain:
        variance = min(max(stage.scale * signal, 1e-24), 1e12)
        grown, steepness = _second_moments(stage.site.formula, variance)
        if grown is None or steepness is None:
            return Change((), (), 0)
        forward.append(math.log(max(grown, 1e-30) / max(signal, 1e-30)))
        backward.append(math.log(max(steepness * stage.scale, 1e-30)))
        bound = _BOUNDED.get(stage.site.activation)
        saturated += bound is not None and stage.scale > _LARGE and steepness < _FLAT * bound**2
        signal = max(grown, 1e-30)
    return Change(tuple(forward), tuple(backward), saturated)


# The largest slopes of bounded activations. Flat is a mean square slope below .18 of that one's square: for normal
# inputs of tanh and sigmoid it is where more than half of them have less than a tenth of the largest slope.
_BOUNDED = {"tanh": 1.0, "sigmoid": 0.25, "softsign": 1.0, "erf": 1.1284, "hard_tanh": 1.0}
_FLAT = 0.18
_LARGE = 10.0
"""fan_in times the variance of the weights: even a gain for the steepest need is below 3, its square below 10."""


def _second_moments(formula: object, variance: float) -> tuple[float | None, float | None]:
    """E f(z)² for normal z of this variance, and E f'(z)²; None where unknown."""
    if not isinstance(formula, Activation):
        return None, None
    try:
        found = moments(formula, variance)
    except ActlabError:
        return None, None
    return found.second, found.slope_second


def _misfit(context: Context, chain: list[Stage], change: Change) -> Finding:
    first, names = chain[0], ", ".join(sorted({stage.site.activation for stage in chain}))
    wanted = _gain(first.site)
    has = math.sqrt(math.exp(sum(math.log(max(stage.scale, 1e-30)) for stage in chain) / len(chain)))
    forward, backward = math.exp(sum(change.forward)), math.exp(sum(change.backward))
    flat = f", and saturate the activations of {change.saturated} from the first step on" if change.saturated else ""
    return finding(
        "AL303",
        f"over {len(chain)} layers with {names} the weights at the start change the signal's mean square by a factor"
        f" of {forward:.2g} and the gradient's by {backward:.2g}{flat}: their gain is {has:.3g} where {wanted:.4g}"
        " keeps the size.",
        site=first.site,
        layers=[place(context, stage.layer) for stage in chain],
        gain=has,
        right_gain=wanted,
        signal_factor=forward,
        gradient_factor=backward,
        saturated=change.saturated,
        depth=len(chain),
    )


def _gain(site: Site) -> float:
    assert isinstance(site.formula, Activation)
    try:
        return gain(site.formula)
    except ActlabError:
        return 1.0


def selu_start(context: Context) -> Iterator[Finding]:
    """AL304: selu behind weights whose variance is not 1/fan_in."""
    found = [stage for stage in stages(context) if stage.site.activation == "selu"]
    off = [stage for stage in found if not _is_lecun(stage.scale, context.settings.lecun_factor)]
    if off and context.is_fresh:
        few = len(found) < context.settings.fewest_layers
        yield finding(
            "AL304",
            f"selu keeps mean 0 and variance 1 only behind weights of variance 1/fan_in; at {len(off)} of {len(found)}"
            f" places it is not, at the first {off[0].scale:.2f}/fan_in.",
            site=off[0].site,
            severity="information" if few else "warning",
            variance_times_fan_in=[round(stage.scale, 4) for stage in off],
            layers=[place(context, stage.layer) for stage in off],
            places=len(found),
        )


def _is_lecun(scale: float, factor: float) -> bool:
    return 1 / factor <= scale <= factor


def selu_dropout(context: Context) -> Iterator[Finding]:
    """AL305: plain dropout of what selu gives."""
    told: set[str] = set()
    for step in context.trace.steps:
        dropped = _dropped(context, step)
        if dropped is None or step.arguments.get("p", 0.5) == 0:
            continue
        made = sole(context.trace, dropped)
        if made.name == "selu" and made.site is not None and made.site.name not in told:
            told.add(made.site.name)
            yield finding(
                "AL305",
                "plain dropout sets what selu gives to 0, which moves mean and variance off the fixed point that selu"
                " relies on; alpha dropout keeps them.",
                site=made.site,
                p=step.arguments.get("p", 0.5),
            )


def _dropped(context: Context, step: Step) -> int | None:
    """The value of which the step sets numbers drawn at random to 0."""
    if step.function in DROPOUTS and step.inputs:
        return step.inputs[0]
    if step.function == "mul" and len(step.inputs) == 2:
        for value, mask in (step.inputs, step.inputs[::-1]):
            made = [each.function for each in back(context.trace, mask, _OF_MASKS)]
            if "bernoulli" in made or (made and made[-1] in _UNIFORM and not _COMPARES.isdisjoint(made)):
                return value
    return None


_UNIFORM, _COMPARES = frozenset({"rand", "rand_like", "uniform"}), frozenset({"gt", "ge", "lt", "le"})
_OF_MASKS = _COMPARES | {"to", "float", "half", "type_as", "div", "mul", "unsqueeze", "expand", "bernoulli"}


RULES = (does_not_fit, selu_start, selu_dropout)
