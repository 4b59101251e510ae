"""Activations that act on all the values along one axis together."""

from __future__ import annotations

from actlab.formula.along_axis import (
    along_axis,
    count,
    entmax15_threshold,
    greatest,
    is_masked,
    peak,
    sparsemax_threshold,
    total,
)
from actlab.formula.atoms import exp, expm1, log, max, sigmoid, sqrt, where
from actlab.formula.expr import Expr
from actlab.formula.param import Param


def _softmax(x: Expr) -> Expr:
    shares = exp(x - greatest(x))
    return shares / total(shares)


@along_axis(
    source="Bridle 1990; PyTorch",
    reference="torch.nn.functional.softmax",
    jvp=lambda y, v: y * (v - total(y * v)),
    span=(0, 1),
    note="Its derivative is a matrix, diag(y) - y*transpose(y); y*(1 - y) is only its diagonal.",
)
def softmax(x):
    """Shares that sum to 1, proportional to the exponentials."""
    return _softmax(x)


@along_axis(
    source="PyTorch",
    reference="torch.nn.functional.log_softmax",
    jvp=lambda y, v: v - total(exp(y) * v),
    vjp=lambda y, v: v - exp(y) * total(v),
    span=(-float("inf"), 0),
)
def log_softmax(x):
    """The logarithm of softmax."""
    shifted = x - greatest(x)
    return shifted - log(total(exp(shifted)))


@along_axis(
    source="PyTorch",
    reference="torch.nn.functional.softmin",
    jvp=lambda y, v: -(y * (v - total(y * v))),
    span=(0, 1),
)
def softmin(x):
    """softmax of the negated input."""
    return _softmax(-x)


def _sparsemax_jvp(y: Expr, v: Expr) -> Expr:
    support = where(y <= 0, 0, 1)
    return support * (v - total(support * v) / total(support))


@along_axis(
    source="Martins, Astudillo 2016, arXiv:1602.02068",
    jvp=_sparsemax_jvp,
    span=(0, 1),
    known={
        (1, 0.5, -1): (0.75, 0.25, 0),
        (3, 1, 0.2): (1, 0, 0),
        (0.1, 0.2, 0.15): (0.2833333333333333, 0.38333333333333336, 0.3333333333333333),
    },
)
def sparsemax(x):
    """The nearest point of the probability simplex: shares that sum to 1, many of them exactly 0."""
    shifted = x - greatest(x)
    over = shifted - sparsemax_threshold(shifted)
    return where(over <= 0, 0, over)


def _entmax15_jvp(y: Expr, v: Expr) -> Expr:
    # the inner 1 keeps the derivative of sqrt at 0 out of second derivatives
    weight = where(y <= 0, 0, sqrt(where(y <= 0, 1, y)))
    return weight * (v - total(weight * v) / total(weight))


@along_axis(
    source="Peters, Niculae, Martins 2019, arXiv:1905.05702",
    jvp=_entmax15_jvp,
    span=(0, 1),
    aliases=("entmax",),
    known={
        (1, 0.5, -1): (0.6739926363384382, 0.3260073636615618, 0),
        (3, 1, 0.2): (1, 0, 0),
        (0.1, 0.2, 0.15): (0.3046922010448104, 0.36239113228852293, 0.33291666666666664),
    },
)
def entmax15(x):
    """Halfway between softmax and sparsemax: shares that sum to 1, some of them exactly 0."""
    shifted = (x - greatest(x)) / 2
    over = shifted - entmax15_threshold(shifted)
    return where(over <= 0, 0, over**2)


def _kept(x: Expr) -> Expr:
    """Return the input with 0 instead of masked entries, so that no product with one is NaN."""
    return is_masked(x, then=0, otherwise=x)


def _entries(x: Expr) -> Expr:
    """Return the number of entries that are not masked, at least 1."""
    return max(count(x), 1)


def _shares(weights: Expr) -> Expr:
    """Return the weights as shares of their sum; 0 where all are 0."""
    whole = total(weights)
    return weights / where(whole <= 0, 1, whole)


@along_axis(
    source="Miller 2023, Attention is off by one; OpenAI 2025, gpt-oss, arXiv:2508.10925; Transformers",
    aliases=("sink_softmax", "softmax_off_by_one"),
    span=(0, 1),
    known={
        (1, 0.5, -1): (0.473990846254078, 0.2874899806762353, 0.06414768542935739),
        (3, 1, 0.2): (0.8026117537188052, 0.10862168901856893, 0.04880687100737656),
        (0.1, 0.2, 0.15): (0.2462278246605346, 0.27212383103585264, 0.25885219518916364),
    },
    note="gpt-oss learns one sink for each head; 0 is the softmax that is off by one. A masked row gives 0.",
)
def softmax1(x, sink=Param(0.0, trainable=True)):
    """softmax with one more entry that takes its share and is dropped, so that a row may sum to less than 1."""
    top = max(peak(x), sink)
    shares = exp(x - top)
    return shares / (exp(sink - top) + total(shares))


@along_axis(
    source="Zuhri, Fuadi, Aji 2025, arXiv:2504.20966",
    span=(0, 1),
    known={
        (1, 0.5, -1): (0.5729279678593349, 0.21630360815877564, 0),
        (3, 1, 0.2): (0.9077448675253229, 0.0817247907157759, 0.010530341283281919),
        (0.1, 0.2, 0.15): (0.2153341742397839, 0.45331524127742734, 0.3313505640081007),
    },
    note="Its shares are exactly 0 where the input is not positive, and a row may sum to 0.",
)
def softpick(x, eps=Param(1e-8, above=0)):
    """Rectified softmax: relu(exp(x) - 1) as a share of the sum of |exp(x) - 1|."""
    top = max(peak(x), 0)
    # exp(x) - 1 times exp(-top), without cancellation near 0 and without overflow
    above, below = -exp(x - top) * expm1(-x), -exp(-top) * expm1(x)
    size = is_masked(x, then=0, otherwise=where(x <= 0, below, above))
    return where(x <= 0, 0, above) / (total(size) + eps * exp(-top))


@along_axis(
    source="Nakanishi 2025, Scalable-Softmax, arXiv:2501.19399",
    aliases=("scalable_softmax",),
    span=(0, 1),
    known={
        (1, 0.5, -1): (0.459057531413107, 0.3624816676122211, 0.17846080097467187),
        (3, 1, 0.2): (0.6041704706057465, 0.2348741469890357, 0.1609553824052178),
        (0.1, 0.2, 0.15): (0.32549166808314345, 0.34123698017805326, 0.33327135173880323),
    },
    note="n counts the entries that are not masked. A masked row gives 0.",
)
def ssmax(x, s=Param(0.43, trainable=True)):
    """softmax of the input times s*log(n) for n entries, which does not fade as rows grow."""
    weights = exp(s * log(_entries(x)) * (_kept(x) - peak(x)))
    return _shares(is_masked(x, then=0, otherwise=weights))


@along_axis(
    source="Ramapuram et al. 2024, arXiv:2409.04431",
    span=(0, 1),
    known={
        (1, 0.5, -1): (0.4753668864186717, 0.3546612443924434, 0.10923177257303593),
        (3, 1, 0.2): (0.8700485065614078, 0.4753668864186717, 0.2893357559401649),
        (0.1, 0.2, 0.15): (0.26921434944631023, 0.2893357559401649, 0.27916398755147076),
    },
    note="n counts the entries that are not masked.",
)
def sigmoid_attention(x):
    """The sigmoid of the input less log(n) for n entries: attention whose rows need not sum to 1."""
    return sigmoid(x - log(_entries(x)))


@along_axis(
    source="Gemma 3n; Transformers; Spark Transformer, arXiv:2506.06644",
    span=(0, float("inf")),
    known={
        (1, 0.5, -1): (0, 0, 0),
        (3, 1, 0.2, 0.1, 0, 0, 0, 0): (0.844726668945056, 0, 0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 0, 1, 7): (0, 0, 0, 0, 0, 0, 0, 2.2311668736861114),
    },
    note="The multiplier is the normal quantile of the share of zeros wanted: 1.6449 for 95 %.",
)
def gaussian_topk(x, multiplier=Param(1.6448536269514722)):
    """What lies above the mean plus a multiple of the standard deviation of the row, else 0."""
    entries = _entries(x)
    mean = total(_kept(x)) / entries
    apart = is_masked(x, then=0, otherwise=_kept(x) - mean)
    variance = total(apart * apart) / entries
    # the inner 1 keeps the derivative of sqrt at 0 out of a row of equal entries
    spread = where(variance <= 0, 0, sqrt(where(variance <= 0, 1, variance)))
    over = x - (mean + multiplier * spread)
    return where(over <= 0, 0, over)


@along_axis(
    source="Elhage et al. 2022, Softmax Linear Units, Transformer Circuits Thread",
    aliases=("softmax_linear_unit",),
    span=(-float("inf"), float("inf")),
    known={
        (1, 0.5, -1): (0.5740969929676946, 0.17410371394186744, -0.07769557914857059),
        (3, 1, 0.2): (2.508056408344322, 0.11314284146556013, 0.010167671150599833),
        (0.1, 0.2, 0.15): (0.03168124094855952, 0.07002637228979065, 0.04995835935981773),
    },
    note="The paper applies layer normalization afterwards.",
)
def solu(x):
    """The input times its softmax."""
    weights = is_masked(x, then=0, otherwise=exp(_kept(x) - peak(x)))
    return _kept(x) * _shares(weights)


def _normed(power: Expr, entries: Expr, eps: Expr) -> Expr:
    return power / sqrt(total(power * power) / entries + eps)


@along_axis(
    source="Zhuo et al. 2024, PolyCom, arXiv:2411.03884",
    aliases=("polynomial_norm",),
    span=(-float("inf"), float("inf")),
    known={
        (1, 0.5, -1): (1.193577308177049, 0.34378648881075974, -0.389547640718316),
        (3, 1, 0.2): (1.69739840105312, 0.2673358413481548, 0.03916325186377337),
        (0.1, 0.2, 0.15): (0.402048582596539, 1.4385461070679304, 0.8166923597631799),
    },
)
def polynorm(
    x,
    a1=Param(1 / 3, trainable=True),
    a2=Param(1 / 3, trainable=True),
    a3=Param(1 / 3, trainable=True),
    bias=Param(0.0, trainable=True),
    eps=Param(1e-6, above=0),
):
    """A learned mixture of the input, its square and its cube, each divided by its root mean square."""
    kept, entries = _kept(x), _entries(x)
    first, second = a1 * _normed(kept, entries, eps), a2 * _normed(kept * kept, entries, eps)
    return first + second + a3 * _normed(kept * kept * kept, entries, eps) + bias
