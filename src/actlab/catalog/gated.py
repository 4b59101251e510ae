"""Gated units: the gate decides how much of the value passes."""

from __future__ import annotations

from actlab.catalog.rectifiers import relu
from actlab.catalog.self_gated import gelu, gelu_tanh, silu
from actlab.formula.activation import activation
from actlab.formula.atoms import sigmoid, where
from actlab.formula.param import Param

_VARIANTS = "Shazeer 2020, GLU Variants Improve Transformer, arXiv:2002.05202"


@activation(source="Dauphin, Fan, Auli, Grangier 2016, arXiv:1612.08083", reference="torch.nn.functional.glu")
def glu(value, gate):
    """The value times the sigmoid of the gate."""
    return value * sigmoid(gate)


@activation(source=_VARIANTS, known={(1.5, -0.5): 0, (-2, 0.75): -1.5, (0.5, 3): 1.5})
def reglu(value, gate):
    """The value times the relu of the gate."""
    return value * relu(gate)


@activation(
    source=_VARIANTS,
    known={(1.5, -0.5): -0.23140315404449016, (-2, 0.75): -1.1600589714346976, (0.5, 3): 1.497975152952555},
)
def geglu(value, gate):
    """The value times the gelu of the gate."""
    return value * gelu(gate)


@activation(
    source="Gemma Team 2024, arXiv:2403.08295; Transformers",
    known={(1.5, -0.5): -0.23142898526228411, (-2, 0.75): -1.1599211103312406, (0.5, 3): 1.4981813039591134},
)
def geglu_tanh(value, gate):
    """The value times the gelu_tanh of the gate, as in Gemma and T5 v1.1."""
    return value * gelu_tanh(gate)


@activation(
    source=_VARIANTS,
    known={(1.5, -0.5): -0.2831555015986091, (-2, 0.75): -1.0187680487630895, (0.5, 3): 1.4288611902336499},
)
def swiglu(value, gate):
    """The value times the silu of the gate."""
    return value * silu(gate)


@activation(
    source=_VARIANTS,
    known={(1.5, -0.5): -0.75, (-2, 0.75): -1.5, (0.5, 3): 1.5},
    note="The gated unit, not the bilinear layer of PyTorch.",
)
def bilinear(value, gate):
    """The value times the gate."""
    return value * gate


@activation(
    source="OpenAI 2025, gpt-oss, arXiv:2508.10925; Transformers",
    known={(1.5, -0.5): -0.3740289084840497, (-8, 2): -11.613951738865248, (9, 10): 55.999625026426536},
)
def clamped_swiglu(value, gate, alpha=Param(1.702), limit=Param(7.0, above=0)):
    """swiglu with both inputs clipped and 1 added to the value."""
    held = where(value > limit, limit, where(value < -limit, -limit, value))
    capped = where(gate > limit, limit, gate)
    return (held + 1) * (capped * sigmoid(alpha * capped))
