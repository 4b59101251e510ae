"""AL301: no non-linearity between two linear layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from actlab.nn.modules import ActivationModule
from actlab.rules.construction.layers import (
    LayerPair,
    error_of_single_layer,
    is_shared,
    layer_pairs,
    module_of,
    weight_of,
)
from actlab.rules.construction.usual_pairs import is_usual
from actlab.rules.context import Context
from actlab.rules.dataflow import spot_of
from actlab.rules.observed import Observed
from actlab.rules.rule import Found, found, rule

_ROUNDING = 0.05
"""As a share of the largest output: more than rounding in 16 bits, less than any non-linearity in between."""


@rule(
    "AL301",
    title="no non-linearity between two linear layers",
    severity="warning",
    remedies=("add-activation",),
)
def linear_layers_collapse(context: Context) -> Iterator[Found]:
    """Two linear layers follow each other without a non-linearity in between.

    Why it matters:
        W₂(W₁x + b₁) + b₂ is a single linear layer with the weight W₂W₁. The second layer adds parameters and time, but
        no function that one layer cannot compute.

    How it is detected:
        By data flow, in training and in evaluation mode: between the layers are only affine steps, such as dropout,
        pooling, batch normalization and other straight lines, and the second layer sums over the axis that the first
        one computes. For linear layers, however they are written (`linear`, `addmm`, `x @ W + b`, `einsum`), the
        single layer is computed and must reproduce the output of both on the batch.

        Intentional patterns are not reported: low-rank factorizations, adapters, attention projections, depthwise
        separable convolutions, patch embeddings, shared and frozen weights. It is a warning if the same module calls
        both layers, or if they are the same part of two blocks of one class, or if an activation beside them is not
        used; else it is information: a linear end of one part before a linear start of the next, a projection of
        attention, and layers with a mean over all positions in between are common on purpose.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        the composition of affine maps is affine
    """
    pairs = list(layer_pairs(context))
    for pair in pairs:
        if any(line.sites(context.trace) for line in pair.lines):
            continue  # AL311 reports the activation that is a straight line
        error = error_of_single_layer(context, pair.first, pair.second)
        if error is None or error < _ROUNDING:
            yield _collapsed(context, pair, error)
    if context.evaluated is None or context.evaluated is context.trace:
        return
    evaluated = replace(context, trace=context.evaluated, observed=Observed())
    known = {(module_of(context, pair.first), module_of(context, pair.second)) for pair in pairs}
    for pair in layer_pairs(evaluated):
        names = module_of(evaluated, pair.first), module_of(evaluated, pair.second)
        if names not in known and not any(is_shared(context, each) for each in (pair.first, pair.second)):
            yield _collapsed(evaluated, pair, None, when=" in evaluation mode")


def _collapsed(context: Context, pair: LayerPair, error: float | None, *, when: str = "") -> Found:
    first, second = pair.first, pair.second
    one, two = weight_of(context, first), weight_of(context, second)
    assert one is not None
    assert two is not None
    names, unused = [module_of(context, first), module_of(context, second)], _unused(context, pair)
    discarded = _discarded(context, pair)
    on_batch = "" if error is None else f" On this batch one layer gives the same output (relative error {error:.0e})."
    never = "".join(f" {path} is never called." for path in unused)
    return found(
        f"no non-linearity between {names[0]} and {names[1]}{when}: together they are equivalent to one layer from"
        f" {one.shape[1]} to {two.shape[0]} features.{discarded}{never}{on_batch}",
        site=spot_of(second),
        severity=None if unused or discarded or not is_usual(context, pair) else "information",
        remedies=("call-activation", "add-activation") if unused else (),
        layers=names,
        lines=[f"{step.file}:{step.line}" for step in (first, second) if step.file],
        equivalent=[int(one.shape[1]), int(two.shape[0])],
        weights=int(one.numel() + two.numel()),
        weights_of_one=int(one.shape[1] * two.shape[0]) if one.dim() == 2 == two.dim() else None,
        apart=error,
        never_called=unused,
    )


def _discarded(context: Context, pair: LayerPair) -> str:
    """Return a sentence about an activation of a value between the layers whose result is not used."""
    readers = (reader for value in pair.values for reader in context.trace.readers(value))
    unused = [step for step in readers if step.place not in context.matters and context.trace.site_at(step) is not None]
    return f" The result of {unused[0].function} at line {unused[0].line} is discarded." if unused else ""


def _unused(context: Context, pair: LayerPair) -> list[str]:
    """Return the paths of the activation modules beside the first layer, or else the second, that are never called."""
    called = {step.path for step in context.trace.steps}
    for step in (pair.first, pair.second):
        owner = context.model
        for name in filter(None, module_of(context, step).rpartition(".")[0].split(".")):
            owner = getattr(owner, name, owner)
        beside = module_of(context, step).rpartition(".")[0]
        paths = [f"{beside}.{name}".lstrip(".") for name, child in owner.named_children() if _is_activation(child)]
        if found := [path for path in paths if path not in called]:
            return found
    return []


def _is_activation(module: nn.Module) -> bool:
    is_own = isinstance(module, ActivationModule)
    return is_own or (type(module).__module__ == nn.ReLU.__module__ and not any(module.children()))
