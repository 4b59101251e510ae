"""Every tolerance, by quantity, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EPSILON = 2.0**-52

# A program may be as far off as its answer would be for an input this many rounding errors away, and as many
# rounding errors of the answer: a composite of a few atoms, each good to about one.
ROUNDINGS = 24

# Formulas that subtract nearly equal numbers, which no input close by explains: roundings of the largest term.
CANCELS: Mapping[str, str] = MappingProxyType(
    {
        "tanh_shrink": "x - tanh(x) near 0; no atom keeps that difference",
    }
)

# A published value has 17 digits.
KNOWN = 4e-16

# Another implementation in float64: its own rounding, and for 1 + erf its cancellation, which grows with |x|.
TWIN_RELATIVE = 1e-13
TWIN_ABSOLUTE = 2e-15

# Twins whose slope is worse than that.
TWIN_SLOPES: Mapping[str, tuple[float, str]] = MappingProxyType(
    {"hard_sigmoid": (1e-7, "PyTorch 2.13 multiplies by 1/6 in single precision")}
)

# Numerical differentiation with 50 digits keeps half of them, less what the conditioning takes.
DIFFERENTIATED = 1e-18

# Below this, doubles lose digits by underflow alone.
UNDERFLOW = 1e-290

# The same formula of the same numbers, computed in another order: batched, strided, compiled or in a loop.
SAME_NUMBERS: Mapping[str, float] = MappingProxyType({"rtol": 2e-6, "atol": 2e-7})
SAME_DOUBLES: Mapping[str, float] = MappingProxyType({"rtol": 1e-12, "atol": 1e-14})

# What lies below is flushed to 0 by PyTorch's vectorised kernels.
SMALLEST_FLOAT32 = 2.0**-126

# Results in 16 bits that inherit more than that from their computation in float32.
SIXTEEN_BITS: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "tanh_shrink": (2.0**-22, "x - tanh(x) near 0; no atom keeps that difference"),
        "mish": (2.0**-23, "beside the root of its slope two terms of size 1 cancel"),
    }
)

# Activations whose slope is infinity times 0 beyond this: PyTorch's own, too.
OVERFLOWS: Mapping[str, tuple[float, str]] = MappingProxyType(
    {"gelu_tanh": (1e18, "its slope has x**3, which overflows, beside a sigmoid that is 0")}
)

# A compiled graph fuses and reorders. Its gradient is the sum of a whole family's, some of size 100: hence the second.
COMPILED: Mapping[str, float] = MappingProxyType({"rtol": 5e-6, "atol": 1e-5})

# onnxruntime's sigmoid, tanh and erf are good to a few roundings of 1, not of themselves.
ONNX_ABSOLUTE = 5e-7
ONNX_RELATIVE = 2e-6

# So these lose their tail: what lies below the bound there has no digit that is right. All others keep four.
ONNX_TAIL = 1e-4
_SIGMOID = "onnxruntime's sigmoid is constant beyond 18"
_NORMAL = "ONNX has no erfc: 1 - erf cancels"
ONNX_LOSES_TAIL: Mapping[str, str] = MappingProxyType(
    {
        "sigmoid": _SIGMOID,
        "elish": _SIGMOID,
        "silu": _SIGMOID,
        "swish": _SIGMOID,
        "e_swish": _SIGMOID,
        "quick_gelu": _SIGMOID,
        "gelu_tanh": _SIGMOID,
        "geglu_tanh": _SIGMOID,
        "phish": _SIGMOID,
        "glu": _SIGMOID,
        "swiglu": _SIGMOID,
        "clamped_swiglu": _SIGMOID,
        "gelu": _NORMAL,
        "clipped_gelu": _NORMAL,
        "gelu_sinc": _NORMAL,
        "geglu": _NORMAL,
        "laplace": _NORMAL,
        "logish": "ONNX has no log1p: log(1 + s) rounds s away",
        "smish": "ONNX has no log1p: log(1 + s) rounds s away",
        "log_softmax": "beside the largest, all other shares round away: 0 where it is -exp(-30)",
    }
)
