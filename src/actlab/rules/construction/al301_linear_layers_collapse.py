"""AL301: no non-linearity between two linear layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from actlab.rules.construction.layers import error_of_single_layer, layer_pairs, module_of, weight_of
from actlab.rules.context import Context
from actlab.rules.dataflow import spot_of
from actlab.rules.observed import Observed
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

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
        pooling and batch normalization. For linear layers, however they are written (`linear`, `addmm`, `x @ W + b`),
        the single layer is computed and must reproduce the output of both on the batch.

        Intentional patterns are not reported: low-rank factorizations, adapters, attention projections, depthwise
        separable convolutions, patch embeddings, shared and frozen weights.

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
    for first, second in pairs:
        error = error_of_single_layer(context, first, second)
        if error is None or error < _ROUNDING:
            yield _collapsed(context, first, second, error)
    if context.evaluated is None:
        return
    evaluated = replace(context, trace=context.evaluated, observed=Observed())
    known = {(module_of(context, first), module_of(context, second)) for first, second in pairs}
    for first, second in layer_pairs(evaluated):
        if (module_of(evaluated, first), module_of(evaluated, second)) not in known:
            yield _collapsed(evaluated, first, second, None, when=" in evaluation mode")


def _collapsed(context: Context, first: Step, second: Step, error: float | None, *, when: str = "") -> Found:
    one, two = weight_of(context, first), weight_of(context, second)
    assert one is not None
    assert two is not None
    names = [module_of(context, first), module_of(context, second)]
    on_batch = "" if error is None else f" On this batch one layer gives the same output (relative error {error:.0e})."
    return found(
        f"no non-linearity between {names[0]} and {names[1]}{when}: together they are equivalent to one layer from"
        f" {one.shape[1]} to {two.shape[0]} features.{_discarded(context, first)}{on_batch}",
        site=spot_of(second),
        layers=names,
        lines=[f"{step.file}:{step.line}" for step in (first, second) if step.file],
        equivalent=[int(one.shape[1]), int(two.shape[0])],
        weights=int(one.numel() + two.numel()),
        weights_of_one=int(one.shape[1] * two.shape[0]) if one.dim() == 2 == two.dim() else None,
        apart=error,
    )


def _discarded(context: Context, first: Step) -> str:
    """Return a sentence about an activation of the first layer's output whose result is not used."""
    readers = context.trace.readers(first.outputs[0])
    unused = [step for step in readers if step.place not in context.matters and context.trace.site_at(step) is not None]
    return f" The result of {unused[0].function} at line {unused[0].line} is discarded." if unused else ""
