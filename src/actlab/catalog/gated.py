"""Gated units: the gate decides how much of the value passes."""

from __future__ import annotations

from actlab.catalog.rectifiers import relu, relu2
from actlab.catalog.self_gated import gelu, gelu_tanh, silu, situ
from actlab.catalog.sigmoidal import softcap
from actlab.formula.activation import activation
from actlab.formula.atoms import exp, log, sigmoid, sqrt, tanh, where
from actlab.formula.expr import Expr
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
    source="OpenAI 2025, gpt-oss, arXiv:2508.10925; MiniMax-M3; Transformers",
    note="gpt-oss interleaves gate and value in one tensor; MiniMax-M3 does not.",
    known={(1.5, -0.5): -0.3740289084840497, (-8, 2): -11.613951738865248, (9, 10): 55.999625026426536},
)
def clamped_swiglu(value, gate, alpha=Param(1.702), limit=Param(7.0, above=0)):
    """swiglu with both inputs clipped and 1 added to the value."""
    held = where(value > limit, limit, where(value < -limit, -limit, value))
    capped = where(gate > limit, limit, gate)
    return (held + 1) * (capped * sigmoid(alpha * capped))


def _clipped(x: Expr, limit: Expr) -> Expr:
    return where(x > limit, limit, where(x < -limit, -limit, x))


def _capped(x: Expr, limit: Expr) -> Expr:
    return where(x > limit, limit, x)


@activation(
    source="DeepSeek-V4; Transformers",
    known={(1.5, -0.5): -0.2831555015986091, (-8, 2): -14.092753247646119, (12, 11): 99.99546021312976},
    note="The gate is clipped before its silu. step_swiglu clips it afterwards; clamped_swiglu adds 1 to the value.",
)
def limited_swiglu(value, gate, limit=Param(10.0, above=0)):
    """swiglu with both inputs clipped, the gate from above only."""
    return _clipped(value, limit) * silu(_capped(gate, limit))


@activation(
    source="StepFun 2026, Step-3.7; Ling-3-Flash; sglang-jax, pull request 1358",
    known={(1.5, -0.5): -0.2831555015986091, (-8, 2): -12.331159091690354, (12, 11): 49},
    note="The limit is 7 or 16, layer by layer. limited_swiglu clips the gate before its silu.",
)
def step_swiglu(value, gate, limit=Param(7.0, above=0)):
    """swiglu with the value clipped, and the silu of the gate clipped from above."""
    return _clipped(value, limit) * _capped(silu(gate), limit)


@activation(
    source="Moonshot AI 2026, Kimi K3; Transformer Engine, pull request 3402",
    aliases=("softcapped_swiglu",),
    known={(1.5, -0.5): -0.28135235091603866, (-8, 2): -12.597904838765947, (12, 11): 44.26036721175769},
)
def situ_glu(value, gate, beta=Param(4.0, above=0), value_cap=Param(25.0, above=0)):
    """The softcapped value times the situ of the gate: swiglu with smooth limits."""
    return softcap(value, cap=value_cap) * situ(gate, beta=beta)


@activation(
    source="arXiv:2605.25704",
    known={(1.5, -0.5): -0.2831555015986091, (-8, 2): -16.67392995891331, (12, 11): 63.5226819586765},
    note="As an activation of one input, value and gate are the same.",
)
def powlu(value, gate, m=Param(3.0, above=0)):
    """The value times a gate that grows as gate**3 near 0 and falls to 1 far out."""
    root = sqrt(gate)
    # below 1 without the rounding of the exponent, which a large logarithm would magnify; near 0 the root is nothing
    near = gate**m * where(gate <= 1e-36, 1, exp(-m * (root / (root + 1)) * log(gate)))
    grown = where(gate < 1, near, exp(m * log(gate) / (root + 1)))
    return value * (where(gate <= 0, gate, grown) * sigmoid(gate))


@activation(
    source="Song et al. 2024, Turbo Sparse, arXiv:2406.05955, eq. 2",
    known={(1.5, -0.5): 0, (-2, 0.75): 0, (0.5, 3): 1.5},
)
def drelu_glu(value, gate):
    """The relu of the value times the relu of the gate."""
    return where(value <= 0, 0, where(gate <= 0, 0, value * gate))


@activation(
    source="So et al. 2021, Primer, arXiv:2109.08668; " + _VARIANTS,
    known={(1.5, -0.5): 0, (-2, 0.75): -1.125, (0.5, 3): 4.5},
)
def relu2_glu(value, gate):
    """The value times the relu2 of the gate."""
    return value * relu2(gate)


@activation(
    source="Dauphin, Fan, Auli, Grangier 2016, arXiv:1612.08083, section 3",
    aliases=("gated_tanh_unit",),
    known={(1.5, -0.5): 0.34173027704255626, (-8, 2): -0.8807968797365986, (12, 11): 0.9999832985026504},
)
def gtu(value, gate):
    """The hyperbolic tangent of the value times the sigmoid of the gate."""
    return tanh(value) * sigmoid(gate)
