"""What must hold of GPU kernels, on a GPU and in Triton's interpreter alike: each check takes the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation
from actlab.formula.atoms import log
from actlab.formula.expr import Add, Call, Expr, Input, Mul, Neg, ParamRef, Sub, Where, walk
from actlab.kernels.elementwise import kernels as elementwise
from actlab.kernels.elementwise.kernels import Kernels
from actlab.kernels.elementwise.strategies import here, portable_recipe
from actlab.kernels.gpu import kernels as gpu
from actlab.lower.to_torch import program
from actlab.nn.modules import split
from actlab.nn.operator import Pointwise, pointwise_of, ready

ACTIVATIONS: tuple[Activation, ...] = tuple(act for act in CATALOG.values() if isinstance(act, Activation))
DTYPES = tuple(gpu.MEMORY)

# Units in the last place in float32, of the value or of the larger operand of the formula's outermost sum.
FORWARD, BACKWARD, OPERAND = 2.0, 4.0, 2.0

SPECIAL = (0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-42, -1e-42, 1e-30, 3e38, -3e38)


def covering() -> list[Activation]:
    """Choose a few activations that together have every atom, one and two inputs, and a trainable parameter."""
    chosen: list[Activation] = []
    missing = set().union(*map(_features, ACTIVATIONS))
    while missing:
        best = max(ACTIVATIONS, key=lambda act: (len(_features(act) & missing), -act.formula.size))
        chosen.append(best)
        missing -= _features(best)
    return chosen


@lru_cache(maxsize=1024)
def _features(act: Activation) -> frozenset[str]:
    names = [
        node.atom
        for node in walk(act.formula, *(act.derivative(name) for name in act.inputs))
        if isinstance(node, Call)
    ]
    learned = ["learned"] if any(param.trainable for param in act.params) else []
    return frozenset([*names, *learned, f"{len(act.inputs)} inputs"])


def learned(act: Activation | str) -> tuple[Pointwise, list[float]]:
    """Return the activation with its trainable parameters as arguments, and their values."""
    act = get(act) if isinstance(act, str) else act
    params = [param for param in act.params if param.trainable]
    return pointwise_of(act, tuple(param.name for param in params)), [param.value for param in params]


def arguments(
    made: Pointwise, params: Sequence[float], *, dtype: torch.dtype, device: str, special: Sequence[float] = ()
) -> list[Tensor]:
    """Make dense points, then special ones; the second input is the first one shuffled."""
    x = torch.cat([torch.linspace(-12, 12, 1501), torch.tensor(special)]).to(dtype)
    gate = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    inputs = [x, gate][: len(made.args) - len(params)]
    return [tensor.to(device) for tensor in (*inputs, *(torch.tensor([each], dtype=dtype) for each in params))]


def needs_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch Triton's interpreter on, or skip where its arithmetic differs from a GPU's."""
    pytest.importorskip("triton", reason="the extra 'gpu' is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    reason = gpu.lacks([torch.ones(1)])
    if reason is not None:
        pytest.skip(reason)


def check_bounds(act: Activation, *, device: str) -> None:
    """Compare forward and backward with float64: within `FORWARD` and `BACKWARD`, or `OPERAND` of the operands of a
    sum.
    """
    made, params = learned(act)
    tensors = arguments(made, params, dtype=torch.float32, device=device)
    doubles = [tensor.double() for tensor in tensors]
    _within(gpu.value(made, tensors), made.value(*doubles), made.expression, made, doubles, bound=FORWARD)
    slopes = gpu.pull_back(made, torch.ones_like(tensors[0]), tensors, [True] * len(tensors))
    for at, (found, exact) in enumerate(zip(slopes, made.slopes(*doubles), strict=True)):
        assert found is not None
        if found.shape == tensors[0].shape:
            _within(found, exact, made.slope(at).expression, made, doubles, bound=BACKWARD)
        else:
            terms = exact.expand(tensors[0].shape)
            assert abs(float(found) - float(terms.sum())) <= 2 * OPERAND * 2.0**-24 * float(terms.abs().sum()), act.name


def _within(found: Tensor, exact: Tensor, formula: Expr, made: Pointwise, at: list[Tensor], *, bound: float) -> None:
    exact = exact.expand(found.shape)
    largest = _largest_operand(formula, made, at).expand(found.shape)
    allowed = torch.maximum(bound * ulp(exact), OPERAND * ulp(largest))
    error = (found.double() - exact).abs()
    worst = int((error / allowed).argmax())
    text = [float(each.expand(found.shape)[worst]) for each in at]
    assert bool((error <= allowed).all()), f"{formula} at {text}: {float(found[worst])} for {float(exact[worst])}"


def _largest_operand(root: Expr, made: Pointwise, at: list[Tensor]) -> Tensor:
    def value(part: Expr) -> Tensor:
        found = program((part,), made.args).function(*at)
        assert isinstance(found, Tensor)
        return found.abs()

    match root:
        case Neg(operand):
            return _largest_operand(operand, made, at)
        case Add(left, right) | Sub(left, right):
            return torch.maximum(value(left), value(right))
        case Mul(left, right) if isinstance(right, Add | Sub):
            return value(left) * _largest_operand(right, made, at)
        case Mul(left, right) if isinstance(left, Add | Sub):
            return value(right) * _largest_operand(left, made, at)
        case Where(condition, then, otherwise):
            chosen = program((Where(condition, root.then, root.otherwise),), made.args).function(*at)
            parts = [_largest_operand(part, made, at).nan_to_num(0, posinf=0) for part in (then, otherwise)]
            assert isinstance(chosen, Tensor)
            return torch.where(chosen == value(then), parts[0], torch.maximum(*torch.broadcast_tensors(*parts)))
    return value(root)


def ulp(value: Tensor) -> Tensor:
    """Return the distance from one float32 to the next, at the value."""
    return torch.ldexp(torch.ones_like(value), (torch.frexp(value.abs())[1] - 24).clamp(min=-149))


@contextmanager
def portable_kernels() -> Iterator[None]:
    """Build the processor's kernels within the block as if it had no AVX-512."""
    elementwise._code.cache_clear()
    try:
        with patch.object(elementwise, "recipe", lambda *args, **kept: here(portable_recipe(*args, **kept))):
            yield
    finally:
        elementwise._code.cache_clear()


def check_bits(act: Activation, *, dtype: torch.dtype, device: str) -> None:
    """Compare the bits with a processor's kernels without its tables, forward and backward, special points too."""
    made = pointwise_of(act)
    tensors = arguments(made, [], dtype=dtype, device="cpu", special=SPECIAL)
    dy = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    there = [tensor.to(device) for tensor in tensors]
    every = [True] * len(tensors)
    with portable_kernels():
        ours = Kernels(made.expression, made.args, made.mode)
        expected = [ours.forward(tensors), *ours.pull_back(dy, tensors, every)]
    found = [gpu.value(made, there), *gpu.pull_back(made, dy.to(device), there, every)]
    for which, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one is not None
        assert other is not None
        one = one.cpu()
        differs = ~((one == other) | (one.isnan() & other.isnan()))
        assert not differs.any(), (
            f"{act.name}, output {which}: {one[differs][:3]} for {other[differs][:3]} at {tensors[0][differs][:3]}"
        )


def check_sixteen_bits(dtype: torch.dtype, *, device: str) -> None:
    """Check that all 65,536 values give the float32 result of the value, rounded once."""
    made = pointwise_of(get("gelu"))
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype).to(device)
    expected = gpu.value(made, [x.float()]).to(dtype)
    assert_same(gpu.value(made, [x]), expected)


def check_layouts(layout_of: str, *, device: str) -> None:
    """Check that a tensor's memory layout does not change the results."""
    made = pointwise_of(get("silu"))
    x, dy = (
        LAYOUTS[layout_of](torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(2))),
        torch.randn(2, 5, 6, 7),
    )
    x, dy = x.to(device), dy.reshape(-1)[: x.numel()].reshape(x.shape).to(device)
    plain = x.clone(memory_format=torch.contiguous_format)
    assert_same(gpu.value(made, [x]), gpu.value(made, [plain]))
    (slope,) = gpu.pull_back(made, dy, [x], [True])
    (expected,) = gpu.pull_back(made, dy, [plain], [True])
    assert slope is not None
    assert expected is not None
    assert_same(slope, expected)


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(1, 3),
    "every second column": lambda x: x[..., ::2],
    "every second row": lambda x: x[:, :, ::2],
    "part of a row": lambda x: x[..., 1:4],
    "every third column": lambda x: x[..., ::3],
    "one column": lambda x: x[..., 2:3],
    "repeated": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "repeated all over": lambda x: x[:1, :1, :1, :1].expand(2, 5, 6, 7),
    "one element": lambda x: x[:1, :1, :1, :1],
    "no dimension": lambda x: x[0, 0, 0, 0],
    "empty": lambda x: x[:, :0],
}


def check_sizes(count: int, *, device: str) -> None:
    """Check that every element is written, and nothing past the end."""
    made = pointwise_of(get("silu"))
    x = torch.linspace(-3, 3, count + 2, device=device)
    room = torch.full((count + 2,), 7.0, device=device)
    gpu.value(made, [x[1:-1]], out=room[1:-1])
    assert room[0] == room[-1] == 7
    torch.testing.assert_close(room[1:-1], torch.nn.functional.silu(x[1:-1]), rtol=1e-6, atol=1e-7)


def check_ends(count: int, *, device: str) -> None:
    """Check that a huge tensor is computed in place, to its last element."""
    made = pointwise_of(get("relu"))
    x = torch.full((count,), -1.0, dtype=torch.bfloat16, device=device)
    x[-1] = x[0] = 3.0
    gpu.value(made, [x], out=x)
    assert int((x != 0).sum()) == 2
    assert float(x[-1]) == 3.0


def check_gated(layout: str, *, device: str) -> None:
    """Check that value and gate are read from the packed tensor, and both gradients written into one like it."""
    made = pointwise_of(get("swiglu"))
    generator = torch.Generator().manual_seed(3)
    packed, dy = torch.randn(9, 40, generator=generator).to(device), torch.randn(9, 20, generator=generator).to(device)
    value, gate = split(packed, layout=layout, dim=-1)
    apart = [value.contiguous(), gate.contiguous()]
    assert_same(gpu.value(made, [value, gate], out=torch.empty_like(dy)), gpu.value(made, apart))
    gradient = torch.full_like(packed, torch.nan)
    parts = split(gradient, layout=layout, dim=-1)
    given = gpu.pull_back(made, dy, [value, gate], [True, True], into=parts)
    for part, found, expected in zip(parts, given, gpu.pull_back(made, dy, apart, [True, True]), strict=True):
        assert found is not None
        assert expected is not None
        assert found.data_ptr() == part.data_ptr()
        assert_same(part, expected)


def check_parameters(shape: tuple[int, ...], param: tuple[int, ...], *, device: str) -> None:
    """Check that a parameter's gradient is the sum over its broadcast, with the same bits each time."""
    made, _ = learned("swish")
    generator = torch.Generator().manual_seed(4)
    x, dy = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    beta = torch.rand(param, generator=generator).to(device)
    assert_close(gpu.value(made, [x, beta]), x.double() * torch.sigmoid(beta.double() * x.double()))
    dx, dbeta = gpu.pull_back(made, dy, [x, beta], [True, True])
    gate = torch.sigmoid(beta.double() * x.double())
    slope = dy.double() * x.double() ** 2 * gate * (1 - gate)
    assert dx is not None
    assert dbeta is not None
    assert_close(dx, dy.double() * (gate + beta.double() * x.double() * gate * (1 - gate)))
    assert_close(dbeta, slope.sum_to_size(beta.shape))
    again = gpu.pull_back(made, dy, [x, beta], [False, True])[1]
    assert again is not None
    assert_same(again, dbeta)


def check_beside_the_elements(device: str) -> None:
    """Check that the padding of a tile adds nothing to a sum, even if it is NaN."""
    x, scale = Input("x"), ParamRef("scale")
    made = ready(scale * log(x), (x, scale))
    points = torch.full((3, 5), 2.0, device=device)
    for shape in ((), (5,), (3, 1)):
        (_, slope) = gpu.pull_back(made, points, [points, torch.ones(shape, device=device)], [False, True])
        assert slope is not None
        assert_close(slope, (2 * points.double().log()).sum_to_size(shape))


PARAMETERS = {
    "one for all": ((3, 700), (1,)),
    "one for all, several programs": ((9001,), (1,)),
    "without dimension": ((5, 7), ()),
    "last axis": ((140, 40), (40,)),
    "last axis, one row": ((1, 33), (33,)),
    "second axis": ((3, 5, 6, 7), (5, 1, 1)),
    "second axis, wide": ((2, 3, 1100), (1, 3, 1)),
    "first axis": ((4, 9), (4, 1)),
    "two axes": ((4, 6, 5), (6, 5)),
}


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True, check_stride=False)


def assert_close(found: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)
