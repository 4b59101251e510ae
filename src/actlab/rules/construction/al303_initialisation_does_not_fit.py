"""AL303: weight initialization that does not match the activation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.rules.axes import CONTRACTIONS
from actlab.rules.construction.layers import module_of
from actlab.rules.construction.stages import Stage, chains
from actlab.rules.context import Context
from actlab.rules.dataflow import downstream, is_layer
from actlab.rules.finding import Severity
from actlab.rules.rule import Found, found, rule
from actlab.theory.gains import gain, moments
from actlab.theory.properties import properties

_DEFAULT = (0.25, 0.42)
"""fan_in times the variance of PyTorch's default initialization is 1/3; small layers scatter around it."""
_SATURATED = 0.18
"""A mean square derivative below this share of the largest derivative squared is saturation: for normal inputs of tanh
and sigmoid, more than half of them then have less than a tenth of the largest derivative."""
_LARGE = 10.0
"""fan_in times the variance of the weights: even the largest gain of an activation is below 3, its square below 10."""


_JOINS = CONTRACTIONS | {"add", "cat", "mul", "einsum", "baddbmm"}


@rule(
    "AL303",
    title="weight initialization does not match the activation",
    severity="warning",
    remedies=("init-with-gain", "add-normalisation"),
)
def initialisation_does_not_fit(context: Context, *, depth_factor: float = 100.0) -> Iterator[Found]:
    """Weight initialization makes the signal or its gradient grow or shrink over many layers.

    Why it matters:
        Each layer multiplies the mean square q of the signal by fan_in · E w² · E f(√q z)²/q for standard normal z. If
        that is far from 1, the signal, and with it the gradient, explodes or vanishes with depth.

    How it is detected:
        From the weights and the formula of the activation, before any training: along at least three layers without
        normalization in between, the factors of all layers but the most extreme one are multiplied. Bounded activations
        that large weights saturate in half of the layers are reported too. It is information if the signal also flows
        around these layers, as along a residual connection.

    Thresholds:
        depth_factor: by how much the signal or its gradient may grow or shrink over all layers. Adam and biases correct
            two orders of magnitude; under PyTorch's default initialization biases correct twice as many.

    Example:
        layers = [nn.Linear(32, 32) for _ in range(8)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.02)
        hidden = [part for layer in layers for part in (layer, nn.ReLU())]
        model = nn.Sequential(*hidden, nn.Linear(32, 3))
        batch = torch.randn(32, 32), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        layers = [nn.Linear(32, 32) for _ in range(8)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=actlab.gain("relu") / 32**0.5)
        hidden = [part for layer in layers for part in (layer, nn.ReLU())]
        model = nn.Sequential(*hidden, nn.Linear(32, 3))
        batch = torch.randn(32, 32), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        He et al. 2015, arXiv:1502.01852; Schoenholz et al. 2017, arXiv:1611.01232
    """
    if not context.is_fresh:
        return
    for chain in (_hidden(context, chain) for chain in chains(context) if len(chain) >= 3):
        if len(chain) < 3 or any(stage.site.activation == "selu" for stage in chain):
            continue
        change = _change_over(context, chain)
        if _is_misfit(chain, change, depth_factor):
            way = _before_bypass(context, chain)
            is_alone = len(way) >= 3 and _is_misfit(way, _change_over(context, way), depth_factor)
            yield _misfit(context, chain, change, severity=None if is_alone else "information")


def _is_misfit(chain: list[Stage], change: Change, depth_factor: float) -> bool:
    """Return whether the layers together change the signal or its gradient too much."""
    limit = 2 * math.log(depth_factor)  # of squares
    if all(_DEFAULT[0] < stage.scale < _DEFAULT[1] for stage in chain):
        limit *= 2
    is_off = abs(change.steady(change.forward)) > limit or abs(change.steady(change.backward)) > limit
    return is_off or change.saturated >= max(3, len(chain) / 2)


def _hidden(context: Context, chain: list[Stage]) -> list[Stage]:
    """Return the chain without an output activation, whose layer may start small on purpose."""
    waiting, visited = deque([chain[-1].output]), {chain[-1].output}
    while waiting:  # the nearest first: the way through the state of a recurrent network is long
        for reader in context.trace.readers(waiting.popleft()):
            if reader.part == "model" and is_layer(context.trace, reader):
                return chain
            new = [value for value in reader.outputs if value not in visited]
            visited.update(new)
            waiting += new
    return chain[:-1]


@final
@dataclass(frozen=True)
class Change:
    """What a chain of layers does to the mean squares of the signal and of its gradient.

    Attributes:
        forward, backward: the logarithm of the factor, layer by layer.
        saturated: the number of layers whose bounded activation is saturated by large weights.
    """

    forward: tuple[float, ...]
    backward: tuple[float, ...]
    saturated: int

    def steady(self, factors: tuple[float, ...]) -> float:
        """Sum all factors but the most extreme: depth is the cause only where they add up."""
        return sum(factors) - max(factors, key=abs, default=0.0)


def _change_over(context: Context, chain: list[Stage]) -> Change:
    signal = context.observed.mean_square(chain[0].layer) or 1.0
    forward, backward, saturated = [], [], 0
    for stage in chain:
        variance = min(max(stage.scale * signal, 1e-24), 1e12)
        output, derivative = _second_moments(stage.site.formula, variance)
        if output is None or derivative is None:
            return Change((), (), 0)
        forward.append(math.log(max(output, 1e-30) / max(signal, 1e-30)))
        backward.append(math.log(max(derivative * stage.scale, 1e-30)))
        largest = _largest_derivative(stage.site.formula)
        saturated += largest is not None and stage.scale > _LARGE and derivative < _SATURATED * largest**2
        signal = max(output, 1e-30)
    return Change(tuple(forward), tuple(backward), saturated)


def _largest_derivative(formula: object) -> float | None:
    """Return the largest derivative of a bounded activation; None for any other."""
    if not isinstance(formula, Activation):
        return None
    known = properties(formula)
    ends = (known.range.lower, known.range.upper)
    is_bounded = all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
    return float(known.lipschitz) if is_bounded and isinstance(known.lipschitz, int | float) else None


def _second_moments(formula: object, variance: float) -> tuple[float | None, float | None]:
    """Return E f(z)² and E f'(z)² for normal z of this variance; None if unknown."""
    if not isinstance(formula, Activation):
        return None, None
    try:
        known = moments(formula, variance)
    except ActlabError:
        return None, None
    return known.second, known.slope_second


def _misfit(context: Context, chain: list[Stage], change: Change, *, severity: Severity | None) -> Found:
    first, names = chain[0], ", ".join(sorted({stage.site.activation for stage in chain}))
    right = _gain(first)
    actual = math.sqrt(math.exp(sum(math.log(max(stage.scale, 1e-30)) for stage in chain) / len(chain)))
    forward, backward = math.exp(sum(change.forward)), math.exp(sum(change.backward))
    count = change.saturated
    flat = f", and saturate the activations of {count} layers from the start" if count else ""
    return found(
        f"over {len(chain)} layers with {names} the initial weights scale the mean square of the signal by"
        f" {forward:.2g} and that of the gradient by {backward:.2g}{flat}: their gain is {actual:.3g};"
        f" {right:.4g} would preserve the signal.",
        site=first.site,
        severity=severity,
        layers=[module_of(context, stage.layer) for stage in chain],
        gain=actual,
        right_gain=right,
        signal_factor=forward,
        gradient_factor=backward,
        saturated=change.saturated,
        depth=len(chain),
    )


def _before_bypass(context: Context, chain: list[Stage]) -> list[Stage]:
    """Return the stages before the first one from which on the signal also flows around the chain."""
    start = next((at for at in range(len(chain)) if _is_bypassed(context, chain[at:])), len(chain))
    return chain[:start]


def _is_bypassed(context: Context, chain: list[Stage]) -> bool:
    """Return whether what the chain computes joins values that reach the same step on a way around it."""
    trace, inside = context.trace, {stage.layer.place for stage in chain}
    around = {value.number for value in trace.values if value.origin.startswith("input")}
    for step in trace.steps:
        if step.place not in inside and not around.isdisjoint(step.inputs):
            around.update(step.outputs)
    after = downstream(trace, [chain[-1].output])
    made = {chain[-1].output, *(value for place in after for value in trace.steps[place].outputs)}
    return any(
        step.part == "model" and step.function in _JOINS and _joins(step.inputs, made, around)
        for step in (trace.steps[place] for place in after)
    )


def _joins(values: tuple[int, ...], made: set[int], around: set[int]) -> bool:
    """Return whether some of the values come from the chain, and others from around it."""
    passed = [value in made for value in values]
    return any(passed) and any(value in around and value not in made for value in values)


def _gain(stage: Stage) -> float:
    assert isinstance(stage.site.formula, Activation)
    try:
        return gain(stage.site.formula)
    except ActlabError:
        return 1.0
