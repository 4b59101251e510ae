"""PyTorch: an eager composite of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from actlab.formula.expr import Expr
from actlab.lower.straight_line import Leaf, Program, Spelling
from actlab.lower.straight_line import program as straight_line

_SPHERICAL_BESSEL = '''
def spherical_bessel(n, x):
    """The spherical Bessel function j_n: a power series near 0, the upward recurrence elsewhere."""
    near = torch.abs(x) < 2 + n
    small, large = torch.where(near, x, 0.0), torch.where(near, 1.0, x)
    term = torch.ones_like(small)
    for k in range(1, n + 1):
        term = term * small / (2 * k + 1)
    series = term
    for k in range(1, 24):
        term = -term * small * small / (2 * k * (2 * k + 2 * n + 1))
        series = series + term
    below, here = torch.cos(large) / large, torch.sin(large) / large
    for k in range(n):
        below, here = here, (2 * k + 1) / large * here - below
    return torch.where(near, series, here)
'''

_SPARSEMAX = '''
def sparsemax_threshold(x, axis):
    """The t for which max(x - t, 0) sums to 1 along the axis (Martins, Astudillo 2016, arXiv:1602.02068)."""
    z = torch.sort(x, dim=axis, descending=True).values
    shape = [1] * x.dim()
    shape[axis] = -1
    count = torch.arange(1, x.shape[axis] + 1, dtype=x.dtype, device=x.device).reshape(shape)
    sums = torch.cumsum(z, dim=axis) - 1
    size = torch.sum(count * z > sums, dim=axis, keepdim=True)
    return torch.gather(sums, axis, size - 1) / size.to(x.dtype)
'''

_ENTMAX15 = '''
def entmax15_threshold(x, axis):
    """The t for which max(x - t, 0)**2 sums to 1 along the axis (Peters et al. 2019, arXiv:1905.05702)."""
    z = torch.sort(x, dim=axis, descending=True).values
    shape = [1] * x.dim()
    shape[axis] = -1
    count = torch.arange(1, x.shape[axis] + 1, dtype=x.dtype, device=x.device).reshape(shape)
    mean = torch.cumsum(z, dim=axis) / count
    spread = torch.cumsum(z * z, dim=axis) / count - mean * mean
    t = mean - torch.sqrt(torch.clamp(1 / count - spread, min=0))
    size = torch.sum(t <= z, dim=axis, keepdim=True)
    return torch.gather(t, axis, size - 1)
'''

SPELLING = Spelling(
    target="torch",
    imports="import torch\nfrom torch.nn import functional",
    number=None,
    atoms={
        "exp": "torch.exp({0})",
        "expm1": "torch.expm1({0})",
        "log": "torch.log({0})",
        "log1p": "torch.log1p({0})",
        "sigmoid": "torch.sigmoid({0})",
        "log_sigmoid": "functional.logsigmoid({0})",
        "softplus": "-functional.logsigmoid(-{whole})",
        "tanh": "torch.tanh({0})",
        "erf": "torch.erf({0})",
        "erfc": "torch.erfc({0})",
        "normal_cdf": "0.5 * torch.erfc(-0.7071067811865476 * {whole})",
        "normal_pdf": "0.3989422804014327 * torch.exp(-0.5 * {whole} ** 2)",
        "sin": "torch.sin({0})",
        "cos": "torch.cos({0})",
        "spherical_bessel": "spherical_bessel({0}, {1})",
        "atan": "torch.atan({0})",
        "sqrt": "torch.sqrt({0})",
        "abs": "torch.abs({0})",
        "sign": "torch.sign({0})",
        "min": "torch.minimum({0}, {1})",
        "max": "torch.maximum({0}, {1})",
    },
    where="torch.where({0}, {1}, {2})",
    filled="torch.full_like({0}, {1})",
    reductions={
        "total": "torch.sum({0}, dim=axis, keepdim=True)",
        "greatest": "torch.amax({0}, dim=axis, keepdim=True)",
        "sparsemax_threshold": "sparsemax_threshold({0}, axis)",
        "entmax15_threshold": "entmax15_threshold({0}, axis)",
    },
    preambles={
        "spherical_bessel": _SPHERICAL_BESSEL,
        "sparsemax_threshold": _SPARSEMAX,
        "entmax15_threshold": _ENTMAX15,
    },
)


# Other spellings for a graph that leaves PyTorch. ONNX has no log-sigmoid, and the logarithm of its sigmoid is wrong
# from x = -10 and infinite from -90; its softplus is right everywhere.
_EXPORTED = replace(
    SPELLING,
    atoms={**SPELLING.atoms, "log_sigmoid": "-functional.softplus(-{whole})", "softplus": "functional.softplus({0})"},
)


def program(outputs: Sequence[Expr], args: Sequence[Leaf], *, entry: str = "f", summary: str = "") -> Program:
    """Return the formulas as one PyTorch function of floating-point tensors."""
    return straight_line(outputs, args, spelling=SPELLING, entry=entry, summary=summary)


def exported_program(outputs: Sequence[Expr], args: Sequence[Leaf]) -> Program:
    """Return the formulas as one PyTorch function whose operations other runtimes compute accurately after export."""
    return straight_line(outputs, args, spelling=_EXPORTED, entry="f")
