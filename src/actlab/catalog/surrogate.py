"""Activations whose backward pass takes the derivative of another formula."""

from __future__ import annotations

from actlab.catalog.rectifiers import relu
from actlab.catalog.self_gated import b_silu
from actlab.formula.activation import activation
from actlab.formula.atoms import abs, where
from actlab.formula.expr import Expr
from actlab.formula.param import Param


@activation(
    source="Horuz et al. 2025, SUGAR, arXiv:2505.22074",
    aliases=("relu_b_silu",),
    known={-1.5: 0, 0.5: 0.5, 2: 2},
    surrogate=b_silu,
    note="Backward it is b_silu, which no input leaves without a gradient.",
)
def sugar_relu(x):
    """relu, whose backward pass takes the derivative of b_silu."""
    return relu(x)


def _jump_followed(x: Expr, threshold: Expr, bandwidth: Expr) -> Expr:
    """Return x above the threshold, and what has the paper's pseudo-derivative by the threshold near it."""
    window = where(abs(x - threshold) < bandwidth / 2, 1, 0)
    return where(x <= threshold, 0, x) - (threshold * threshold / (2 * bandwidth)) * window


@activation(
    source="Rajamanoharan et al. 2024, arXiv:2407.14435, eq. 4 and 11",
    known={-1: 0, 0.0005: 0, 0.5: 0.5, 2: 2},
    surrogate=_jump_followed,
    note="Within half a bandwidth of it the threshold gets the gradient -threshold/bandwidth; the formula has none.",
)
def jump_relu(x, threshold=Param(0.001, trainable=True, above=0), bandwidth=Param(0.001, above=0)):
    """The input where it is above a learned threshold, else 0."""
    return where(x <= threshold, 0, x)
