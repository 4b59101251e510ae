"""Kernels along an axis: their errors against 50 digits, and the same bits whatever the layout and the threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from actlab.catalog.index import CATALOG, get
from actlab.formula.along_axis import AxisActivation, V, X, Y, greatest
from actlab.formula.substitute import substitute
from actlab.kernels.axis.kernels import AxisKernels, axis_kernels

AXIS = [act for act in CATALOG.values() if isinstance(act, AxisActivation)]
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
every_axis = pytest.mark.parametrize("act", AXIS, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

Exact = list[mpmath.mpf]
Longs = NDArray[np.longdouble]


def forward(act: AxisActivation) -> AxisKernels:
    return axis_kernels(act.expression, (X,))


def pull_back(act: AxisActivation) -> AxisKernels:
    return axis_kernels(act.vjp, (Y, V))


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(shape, dtype=torch.float64, generator=generator)).to(dtype)


def bits(x: Tensor) -> Tensor:
    width = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    return x.contiguous().view(width)


# Oracles of 50 digits, by other ways than the kernels go: thresholds by sorting.


def softmax(x: Sequence[float]) -> Exact:
    parts = [mpmath.exp(mpmath.mpf(each) - max(x)) for each in x]
    return [part / mpmath.fsum(parts) for part in parts]


def log_softmax(x: Sequence[float]) -> Exact:
    top = x.index(max(x))
    below = [mpmath.mpf(each) - x[top] for each in x]
    rest = mpmath.fsum(mpmath.exp(each) for at, each in enumerate(below) if at != top)
    return [each - mpmath.log1p(rest) for each in below]


def sparsemax(x: Sequence[float]) -> Exact:
    below = [mpmath.mpf(each) - max(x) for each in x]
    total, threshold = mpmath.mpf(0), mpmath.mpf(0)
    for count, each in enumerate(sorted(below, reverse=True), 1):
        if 1 + count * each <= total + each:
            break
        total += each
        threshold = (total - 1) / count
    return [max(each - threshold, mpmath.mpf(0)) for each in below]


def entmax15(x: Sequence[float]) -> Exact:
    below = [(mpmath.mpf(each) - max(x)) / 2 for each in x]
    total, squares, threshold = mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(0)
    for count, each in enumerate(sorted(below, reverse=True), 1):
        total, squares = total + each, squares + each * each
        mean = total / count
        room = (1 - (squares - count * mean**2)) / count
        if room < 0 or mean - mpmath.sqrt(room) > each:
            break
        threshold = mean - mpmath.sqrt(room)
    return [max(each - threshold, mpmath.mpf(0)) ** 2 for each in below]


ORACLES: dict[str, Callable[[Sequence[float]], Exact]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "softmin": lambda x: softmax([-each for each in x]),
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


def rows(dtype: torch.dtype) -> list[Tensor]:
    """Rows of many lengths and spreads, ties among them, and one whose shares but one are tiny."""
    spreads = (1e-3, 0.3, 3.0, 40.0)
    found = [drawn(n, dtype=dtype, seed=n, scale=scale) for n in (1, 2, 3, 7, 17, 60) for scale in spreads]
    tied = torch.arange(20, dtype=dtype).div(4).floor()
    lonely = torch.tensor([0.0, *(-30.0 - each for each in range(9))], dtype=dtype)
    return [*found, tied, lonely, 1e3 + drawn(30, dtype=dtype, scale=20.0)]


def spacing(value: mpmath.mpf, dtype: torch.dtype) -> mpmath.mpf:
    digits, least = (24, -149) if dtype == torch.float32 else (53, -1074)
    exponent = mpmath.floor(mpmath.log(abs(value), 2)) if value else -2000
    return mpmath.mpf(2) ** max(exponent - digits + 1, least)


def errors(act: AxisActivation, x: Tensor) -> list[float]:
    """Errors in units in the last place: of the result, or of its largest operand where the formula subtracts."""
    exact = ORACLES[act.name](x.tolist())
    subtracts = act.name in {"sparsemax", "entmax15"}
    return [
        float(abs(found - true) / spacing(mpmath.mpf(1) if subtracts else true, x.dtype))
        for found, true in zip(forward(act).run([x], axis=0).tolist(), exact, strict=True)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@every_axis
def test_the_error_is_below_two_units_in_the_last_place(act: AxisActivation, dtype: torch.dtype) -> None:
    with mpmath.workdps(50):
        worst = max(max(errors(act, x)) for x in rows(dtype))
    assert worst <= 2.0


@every_axis
def test_zeros_are_exact(act: AxisActivation) -> None:
    with mpmath.workdps(50):
        for x in rows(torch.float32):
            exact = ORACLES[act.name](x.tolist())
            found = forward(act).run([x], axis=0).tolist()
            if act.name in {"sparsemax", "entmax15"}:
                assert [each == 0 for each in found] == [each == 0 for each in exact]
            assert all(act.lower <= each <= act.upper for each in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@every_axis
def test_gradients_are_within_four_units_of_what_they_add_up(act: AxisActivation, dtype: torch.dtype) -> None:
    for x in rows(dtype):
        y = forward(act).run([x], axis=0)
        dy = drawn(len(x), dtype=dtype, seed=len(x) + 1)
        found = pull_back(act).run([y, dy], axis=0)
        diagonal, outer = jacobian(act.name, y.numpy().astype("longdouble"))
        slopes = dy.numpy().astype("longdouble")
        exact, size = slopes @ (diagonal - outer), abs(slopes) @ (diagonal + outer)
        exact = -exact if act.name == "softmin" else exact
        assert (abs(found.numpy() - exact) <= 4 * torch.finfo(dtype).eps * size + torch.finfo(dtype).tiny).all()


def jacobian(name: str, y: Longs) -> tuple[Longs, Longs]:
    """The Jacobian written out: a diagonal matrix, and one of products to be subtracted; of softmin, the negative."""
    if name == "log_softmax":
        return np.eye(len(y), dtype=y.dtype), np.ones_like(y)[:, None] * np.exp(y)[None, :]
    shares = {"entmax15": np.sqrt(y), "sparsemax": (y > 0).astype(y.dtype)}.get(name, y)
    total = 1 if name in {"softmax", "softmin"} else shares.sum()
    return np.diag(shares), np.outer(shares, shares) / total


def test_a_share_that_rounds_to_one_keeps_its_logarithm() -> None:
    y = forward(get("log_softmax")).run([torch.tensor([0.0, -30.0])], axis=0)
    assert y[0].item() == pytest.approx(-math.exp(-30), rel=1e-6)


def test_ten_million_terms_lose_nothing() -> None:
    x = torch.zeros(10_000_001).index_fill(0, torch.tensor([5]), 10.0)
    y = forward(get("softmax")).run([x], axis=0)
    assert y[5].item() == pytest.approx(math.exp(10) / (math.exp(10) + 1e7), rel=1e-7)


# What is infinite or undefined.


@every_axis
@every_dtype
def test_a_row_without_any_finite_value_is_undefined_and_spoils_no_other(
    act: AxisActivation, dtype: torch.dtype
) -> None:
    nothing = math.inf if act.name == "softmin" else -math.inf
    x = drawn(4, 19, dtype=dtype)
    alone = forward(act).run([x[2:3].contiguous()], axis=1)
    x[0], x[1, 3], x[3, 18] = nothing, -nothing, math.nan
    for across in (x, x.T.contiguous().T, x.repeat_interleave(16, 0).T.contiguous().T):
        y = forward(act).run([across], axis=1)[:: len(across) // 4]
        assert y[[0, 1, 3]].isnan().all()
        assert torch.equal(y[2:3], alone)


@pytest.mark.parametrize("length", [1, 15, 16, 40])
def test_the_largest_of_what_is_undefined_is_undefined(length: int) -> None:
    below = axis_kernels(X - greatest(X), (X,))
    x = drawn(length, 20)
    x[length // 2, :3] = math.nan
    for turned in (x, x.T.contiguous().T):
        y = below.run([turned], axis=0)
        assert y[:, :3].isnan().all()
        assert torch.equal(y[:, 3:], x[:, 3:] - x[:, 3:].amax(0))


@every_axis
def test_rows_of_one_and_no_rows(act: AxisActivation) -> None:
    one = forward(act).run([torch.tensor([[-3.0], [1e30], [0.0]])], axis=1)
    assert torch.equal(one, torch.full((3, 1), 0.0 if act.name == "log_softmax" else 1.0))
    assert forward(act).run([torch.zeros(0, 5)], axis=1).shape == (0, 5)


# Layouts and threads.


def same_along(act: AxisActivation, x: Tensor, dy: Tensor, *, axis: int) -> bool:
    """Whether the tensors as they lie give the bits of contiguous rows, forward and backward."""
    moved, turned = (each.movedim(axis, -1).contiguous() for each in (x, dy))
    y = forward(act).run([x], axis=axis)
    wanted = forward(act).run([moved], axis=moved.dim() - 1)
    dx = pull_back(act).run([y, dy], axis=axis)
    slope = pull_back(act).run([wanted, turned], axis=moved.dim() - 1)
    return all(
        torch.equal(bits(found.movedim(axis, -1)), bits(expected)) for found, expected in ((y, wanted), (dx, slope))
    )


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(1, 3).contiguous().transpose(1, 3),
    "sliced": lambda x: torch.cat([x, x], 3)[..., : x.shape[3]],
    "every other": lambda x: torch.stack([x, -x], -1)[..., 0],
    "expanded": lambda x: x[:1].expand_as(x),
    "flipped in memory": lambda x: x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_dtype
@every_axis
def test_layouts_give_the_same_bits(act: AxisActivation, dtype: torch.dtype, layout: str) -> None:
    x, dy = (LAYOUTS[layout](drawn(3, 5, 6, 21, dtype=dtype, seed=seed)) for seed in (0, 1))
    assert all(same_along(act, x, dy, axis=axis) for axis in range(4))


@pytest.mark.parametrize("beside", [1, 2, 7, 8, 15, 16, 17, 40])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 33, 100])
def test_tails_give_the_same_bits(length: int, beside: int) -> None:
    for name in ("log_softmax", "entmax15"):
        x, dy = drawn(2, length, beside), drawn(2, length, beside, seed=1)
        assert same_along(get(name), x, dy, axis=1)


@every_axis
def test_mixed_layouts(act: AxisActivation) -> None:
    x, dy = drawn(6, 20, 18), drawn(6, 20, 18, seed=1)
    y = forward(act).run([x], axis=1)
    wanted = pull_back(act).run([y, dy], axis=1)
    for turned in (dy.transpose(0, 2).contiguous().transpose(0, 2), torch.stack([dy, dy], -1)[..., 0]):
        assert torch.equal(pull_back(act).run([y, turned], axis=1), wanted)


@every_axis
def test_threads_give_the_same_bits(act: AxisActivation) -> None:
    x = drawn(64, 1111)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = forward(act).run([x], axis=1)
            found.append((y, pull_back(act).run([y, x], axis=1), forward(act).run([x], axis=0)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for several in found[1:] for one, other in zip(found[0], several, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@every_axis
def test_sixteen_bits_are_the_result_of_float32_rounded(act: AxisActivation, dtype: torch.dtype) -> None:
    x = drawn(40, 50, dtype=dtype)
    for axis in (0, 1):
        assert torch.equal(forward(act).run([x], axis=axis), forward(act).run([x.float()], axis=axis).to(dtype))
        of_input = axis_kernels(substitute(act.vjp, {Y: act.expression}), (X, V))
        found = of_input.run([x, x], axis=axis)
        exact = of_input.run([x.double(), x.double()], axis=axis)
        assert ((found - exact).abs() <= 0.501 * (exact.abs() * torch.finfo(dtype).eps + torch.finfo(dtype).tiny)).all()


# Thresholds end, also where Newton's method has far to go.


@pytest.mark.parametrize("name", ["sparsemax", "entmax15"])
@pytest.mark.parametrize(
    "row",
    [
        torch.zeros(50_000),
        torch.linspace(-1, 0, 50_000),
        -torch.logspace(-40, 0, 3000),
        -(torch.linspace(0, 1, 20_000) ** 4),
        -torch.logspace(-44, -8, 1000),
        torch.tensor([0.0, -1.0, -1.0, -2.0]),
        torch.tensor([3e38, -3e38, 3e38]),
    ],
    ids=lambda row: str(len(row)),
)
def test_thresholds_are_found_from_anywhere(name: str, row: Tensor) -> None:
    y = forward(get(name)).run([row], axis=0).double()
    assert y.sum().item() == pytest.approx(1, abs=1e-6)
    assert (y.diff() * row.double().diff() >= 0).all()
