"""The mean squares that an initialization aims at, from the sums and layers of a pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from actlab.errors import ActlabError
from actlab.initialization.layers import Layer
from actlab.initialization.passes import KEEPS, NORMS, Pass, Sum, elementwise
from actlab.rules.dataflow import biased, is_layer
from actlab.sites.trace.trace import Step
from actlab.theory.gains import moments

Rule = Literal["whole", "fill", "branch", "match"]

# What a sum may already have, of its aim, if a branch is to fill it up.
_FULL = 0.9


@final
@dataclass(frozen=True)
class Aim:
    """The mean square that the output of a layer is set to.

    Attributes:
        base: the aim at an activation.
        rule: `whole`: the layer is one of `among` that compute what an activation reads, in equal parts. `fill`: it is
            one of `among` that make up what the rest of a sum lacks. `branch`: it ends one of `among` residual
            branches, which together double a stream. `match`: it adds as much as the rest of a sum.
        rest: the numbers of the values that a sum adds to the layer, or where a stream begins.
        among: the number of layers.
    """

    base: float
    rule: Rule = "whole"
    rest: tuple[int, ...] = ()
    among: int = 1

    def value(self, measured: Mapping[int, float]) -> float:
        """Return the mean square, with the measured ones of the rest; what is unknown counts as half the base."""
        rest = sum(measured.get(each, self.base / 2) for each in self.rest)
        if self.rule == "whole":
            return self.base / self.among
        if self.rule == "fill" and rest < _FULL * self.base:
            return (self.base - rest) / self.among
        found = rest if self.rule == "match" else rest / self.among
        return found if found > 0 else self.base / self.among


def aims_of(of: Pass, layers: Sequence[Layer], base: Mapping[int, float]) -> dict[int, Aim]:
    """Return the aim of each layer, by the place of its step.

    Args:
        of: the pass.
        layers: its layers.
        base: by the place of a layer, the aim at the activation that follows it.
    """
    aims = {layer.step.place: Aim(base[layer.step.place]) for layer in layers}
    by_output = {layer.output: layer for layer in layers}
    streams: dict[int, list[int]] = {}  # by where it begins, the places of the layers that end its branches
    begins: dict[int, int] = {}  # by the number of a sum, where its stream begins
    for each in of.sums():
        own, rest = _divided(of, each, by_output)
        if not own:
            continue
        if not rest:
            for layer in own:
                aims[layer.step.place] = Aim(base[layer.step.place], "whole", among=len(own))
        elif all(layer.role == "embedding" for layer in own):
            for layer in own:
                aims[layer.step.place] = Aim(base[layer.step.place], "match", rest)
        elif _feeds_activation(of, each.output) and not _is_full(of, rest, base[own[0].step.place]):
            for layer in own:
                aims[layer.step.place] = Aim(base[layer.step.place], "fill", rest, len(own))
            begins[each.output] = each.output
        else:
            start = next((begins[at] for value in rest if (at := of.before(value)[0]) in begins), rest[0])
            begins[each.output] = start
            streams.setdefault(start, []).extend(layer.step.place for layer in own)
    for start, places in streams.items():
        for place in places:
            aims[place] = Aim(base[place], "branch", (start,), len(places))
    return aims


def _divided(of: Pass, each: Sum, by_output: Mapping[int, Layer]) -> tuple[list[Layer], tuple[int, ...]]:
    """Return the layers whose output the sum adds and which can be scaled for it, and the values of its other terms."""
    own, rest = list[Layer](), list[int]()
    for term in each.terms:
        layer = by_output.get(of.before(term)[0])
        can_scale = layer is not None and not layer.embeds and layer.role != "recurrent" and _ends_in(of, layer, each)
        if layer is not None and can_scale and layer not in own:
            own.append(layer)
        else:
            rest.append(term)
    return own, tuple(rest)


def _ends_in(of: Pass, layer: Layer, each: Sum) -> bool:
    """Return whether nothing but the sum reads the layer's output: a stream that branches off is not a branch."""
    waiting = [layer.output]
    while waiting:
        value = waiting.pop()
        if len(of.trace.readers(value)) != 1 or value in of.trace.outputs:
            return False
        reader = of.trace.readers(value)[0]
        if reader.place != each.place and not of.is_sum(reader):
            waiting += reader.outputs
    return True


def _is_full(of: Pass, rest: Sequence[int], base: float) -> bool:
    """Return whether the terms without a layer to scale have the aim already, as a stream of layers and sums has."""
    found = 0.0
    for value in rest:
        at, step = of.before(value)
        if at in of.application:
            found += second_moment(elementwise(of.application[at].site), base) or 0.0
        elif step is not None and (is_layer(of.trace, step) or step.function in NORMS or of.is_sum(step)):
            return True
    return found >= _FULL * base


def _feeds_activation(of: Pass, value: int) -> bool:
    """Return whether an activation reads the value, apart from moves."""
    waiting = [value]
    while waiting:
        for reader in of.trace.readers(waiting.pop()):
            if reader.place in of.application_at:
                return True
            if reader.function in KEEPS:
                waiting += reader.outputs
    return False


def needed(aims: Mapping[int, Aim]) -> frozenset[int]:
    """Return the numbers of the values whose mean square the aims depend on."""
    return frozenset(value for aim in aims.values() for value in aim.rest)


def expected(of: Pass, outputs: Mapping[int, float], measured: Mapping[int, float]) -> dict[int, float]:
    """Return the mean squares that follow from those of the layers, by the number of the value.

    The input of an activation counts as normal with mean 0, the terms of a sum as uncorrelated.

    Args:
        of: the pass.
        outputs: by the number of a layer's output, its mean square.
        measured: those of other values, which are taken as they are.
    """
    found = {**measured, **outputs}
    for step in of.trace.steps:
        for value in step.outputs:
            if value not in found and (mean_square := _expected(of, step, value, found)) is not None:
                found[value] = mean_square
    return found


def _expected(of: Pass, step: Step, value: int, found: Mapping[int, float]) -> float | None:
    application = of.application.get(value)
    if application is not None:
        act = elementwise(application.site)
        return None if act is None else second_moment(act, found.get(application.source))
    if step.place in of.application_at:
        return None
    product = biased(of.trace, step)
    if product is not None:
        return found.get(product) if len(step.inputs) == 2 else None
    inputs = [found.get(each) for each in step.inputs]
    if of.is_sum(step):
        return None if None in inputs else sum(each or 0.0 for each in inputs)
    if step.function in NORMS:
        return 1.0 if of.setting(step, "training", 5, True) or step.function != "batch_norm" else inputs[0]
    if step.function in KEEPS and step.inputs:
        share = float(step.arguments.get("p", 0.0)) if step.arguments.get("training") is True else 0.0
        return None if inputs[0] is None or share >= 1 else inputs[0] / (1 - share)
    if step.function in {"mul", "div"} and len(step.inputs) == 1 and inputs[0] is not None:
        numbers = [each for each in step.arguments.values() if isinstance(each, int | float) and each]
        factor = float(numbers[0]) if len(numbers) == 1 else math.nan
        found_square = inputs[0] * (factor**2 if step.function == "mul" else factor**-2)
        return found_square if math.isfinite(found_square) else None
    return None


def second_moment(act: object, q: float | None) -> float | None:
    """Return E f(√q z)²; None if it does not exist or cannot be computed."""
    if act is None or q is None or not 0 < q < math.inf:
        return None
    try:
        return moments(act, q).second  # type: ignore[arg-type]  # an activation
    except ActlabError:
        return None
