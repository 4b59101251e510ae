"""Vector code respelled for GPUs: every instruction, run by Triton's interpreter, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actlab.errors import CannotLower
from actlab.kernels.gpu.program import loaded
from actlab.lower.to_triton import TYPES, Spelled
from actlab.lower.vector import Block, Value
from gpu_checks import needs_the_interpreter

X, Y = Value("%x", "float"), Value("%y", "float")
NUMBERS = np.array([0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 3.25, 1e-42, np.inf, -np.inf, np.nan, 1e9], np.float32)

KERNEL = """
import triton
import triton.language as tl


@triton.jit
def kernel(first, second, out):
    at = tl.arange(0, 16)
    x, y = tl.load(first + at), tl.load(second + at)
    {lines}
    tl.store(out + at, {result}.to({to}))
"""


def spelled(write):
    """What is written into a block, as Triton's lines, and the name and type of its result."""
    block = Block(lanes=1, label="body")
    result = write(block)
    lines = Spelled(block.lines)
    return lines, lines.name(result.name), result.kind


def run(write, x, y):
    lines, name, kind = spelled(write)
    to = {"i1": "i32"}.get(kind, kind)
    text = KERNEL.format(lines="\n    ".join([*lines.constants, *lines.lines]), result=name, to=TYPES[to])
    dtype = {"float": torch.float32, "double": torch.float64, "half": torch.float16, "i32": torch.int32}[to]
    out = torch.empty(16, dtype=dtype)
    padded = [torch.from_numpy(np.resize(each, 16)) for each in (x, y)]
    with np.errstate(all="ignore"):
        loaded(text, interpreted=True)[(1,)](*padded, out)
    return out.numpy()[: len(x)]


OPERATIONS = {
    "add": (lambda b: b.add(X, Y), np.add),
    "sub": (lambda b: b.sub(X, Y), np.subtract),
    "mul": (lambda b: b.mul(X, Y), np.multiply),
    "div": (lambda b: b.div(X, Y), np.divide),
    "neg": (lambda b: b.neg(X), lambda x, y: -x),
    "abs": (lambda b: b.abs(X), lambda x, y: np.abs(x)),
    "sqrt": (lambda b: b.sqrt(X), lambda x, y: np.sqrt(x)),
    "fma": (lambda b: b.fma(X, Y, X), lambda x, y: (x.astype(float) * y + x).astype(np.float32)),
    "copysign": (lambda b: b.copysign(X, Y), np.copysign),
    "minimum": (lambda b: b.minimum(X, Y), np.minimum),
    "maximum": (lambda b: b.maximum(X, Y), np.maximum),
    "half": (lambda b: b.convert("fptrunc", X, "half"), lambda x, y: x.astype(np.float16)),
    "double": (lambda b: b.convert("fpext", X, "double"), lambda x, y: x.astype(float)),
    "olt": (lambda b: b.compare("olt", X, Y), np.less),
    "ole": (lambda b: b.compare("ole", X, Y), np.less_equal),
    "ogt": (lambda b: b.compare("ogt", X, Y), np.greater),
    "oge": (lambda b: b.compare("oge", X, Y), np.greater_equal),
    "oeq": (lambda b: b.compare("oeq", X, Y), np.equal),
    "one": (lambda b: b.compare("one", X, Y), lambda x, y: (x < y) | (x > y)),
    "uno": (lambda b: b.compare("uno", X, Y), lambda x, y: np.isnan(x) | np.isnan(y)),
    "ord": (lambda b: b.compare("ord", X, Y), lambda x, y: ~(np.isnan(x) | np.isnan(y))),
    "select": (lambda b: b.select(b.compare("olt", X, Y), X, Y), lambda x, y: np.where(x < y, x, y)),
    "bits": (lambda b: b.bits(X), lambda x, y: x.view(np.int32)),
    "lshr": (lambda b: b.binary("lshr", b.bits(X), b.whole(3, "i32")), lambda x, y: (x.view("u4") >> 3).view("i4")),
    "ashr": (lambda b: b.binary("ashr", b.bits(X), b.whole(3, "i32")), lambda x, y: x.view(np.int32) >> 3),
    "shl": (lambda b: b.binary("shl", b.bits(X), b.whole(3, "i32")), lambda x, y: x.view(np.int32) << 3),
    "and": (lambda b: b.binary("and", b.bits(X), b.bits(Y)), lambda x, y: x.view("i4") & y.view("i4")),
    "or": (lambda b: b.binary("or", b.bits(X), b.bits(Y)), lambda x, y: x.view("i4") | y.view("i4")),
    "constant": (lambda b: b.mul(X, b.real(0.1, "float")), lambda x, y: x * np.float32(0.1)),
    "tiny constant": (lambda b: b.add(X, b.real(1e-42, "float")), lambda x, y: x + np.float32(1e-42)),
    "infinite constant": (lambda b: b.select(b.compare("olt", X, Y), b.real(float("-inf"), "float"), X),
                          lambda x, y: np.where(x < y, np.float32("-inf"), x)),
    "sine where far": (
        lambda b: b.guarded(b.compare("ogt", X, b.real(100.0, "float")), "sin", X, otherwise=Y),
        lambda x, y: np.where(x > 100, np.sin(x), y),
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    needs_the_interpreter(monkeypatch)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_numpys(name):
    write, expected = OPERATIONS[name]
    x, y = (each.ravel() for each in np.meshgrid(NUMBERS, NUMBERS))
    for start in range(0, len(x), 16):
        one, other = x[start : start + 16], y[start : start + 16]
        with np.errstate(all="ignore"):
            wanted = np.asarray(expected(one, other))
        found = run(write, one, other)
        np.testing.assert_array_equal(found, wanted.astype(found.dtype))
        if found.dtype.kind == "f":  # NumPy holds 0 and −0 for equal; the sign of a NaN says nothing
            number = ~np.isnan(found)
            np.testing.assert_array_equal(np.signbit(found)[number], np.signbit(wanted)[number])


def test_whole_numbers_a_tie_to_the_even_one():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 2.4999, 1e6 + 0.5, 0.0], np.float32)
    np.testing.assert_array_equal(run(lambda b: b.rounded(X), x, x), np.rint(x))


def test_division_and_root_of_float32_are_those_that_round_once():
    lines, _, _ = spelled(lambda b: b.sqrt(b.div(X, Y)))
    assert lines.lines == ["v0 = tl.div_rn(x, y)", "v1 = tl.sqrt_rn(v0)"]


def test_an_operation_without_a_row_is_an_error():
    with pytest.raises(CannotLower, match="'canonicalize', which target 'triton' cannot spell"):
        spelled(lambda b: b.intrinsic("canonicalize", X))
