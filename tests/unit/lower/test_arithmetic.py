"""Paired arithmetic: what a number and its correction are together, against exact fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from torch import Tensor

from actlab.lower.arithmetic import Arithmetic, Num, Span
from actlab.lower.exponential import exp
from machine_code import RECIPES, computed, memory_of

inf, nan = math.inf, math.nan

OPERATIONS = ("add", "sub", "mul", "div", "sqrt", "square", "add_smaller")
PAIRED = ("paired float", "paired double")
both = pytest.mark.parametrize("recipe", PAIRED)

# So far from 1 that no product of two, nor what its rounding loses, leaves the range of float32.
numbers = st.floats(2.0**-20, 2.0**20, width=32).flatmap(lambda size: st.sampled_from([size, -size]))
corrections = st.floats(-1, 1, width=32)
columns = st.lists(st.tuples(numbers, corrections, numbers, corrections), min_size=1, max_size=33)


def every_operation(a: Arithmetic, given: Sequence[Num]) -> list[Num]:
    """Of two numbers with corrections: each result, and each result's correction."""
    x, y = Num(given[0].hi, given[1].hi), Num(given[2].hi, given[3].hi)
    results = [
        a.add(x, y), a.sub(x, y), a.mul(x, y), a.div(x, y), a.sqrt(a.abs(x)), a.power(x, 2),
        a.add_smaller(a.select(a.compare("oge", a.abs(x), a.abs(y)), x, y),
                      a.select(a.compare("oge", a.abs(x), a.abs(y)), y, x)),
    ]  # fmt: skip
    return [part for each in results for part in (Num(each.hi), Num(each.lo or a.real(0.0)))]


def exactly(x: Fraction, y: Fraction) -> dict[str, Fraction]:
    """The same in fractions, but for the root."""
    return {"add": x + y, "sub": x - y, "mul": x * y, "div": x / y, "square": x * x, "add_smaller": x + y}


@both
@given(columns)
def test_a_number_and_its_correction_are_twice_as_exact(
    recipe: str, columns: list[tuple[float, float, float, float]]
) -> None:
    dtype = torch.float32 if "float" in recipe else torch.float64
    eps = torch.finfo(dtype).eps
    rows = torch.tensor(columns, dtype=dtype)
    x, y = rows[:, 0], rows[:, 2]
    tensors = [each.contiguous() for each in (x, rows[:, 1] * x.abs() * eps / 4, y, rows[:, 3] * y.abs() * eps / 4)]
    found = computed(every_operation, tensors, recipe=RECIPES[recipe], outputs=2 * len(OPERATIONS))
    sums = dict(zip(OPERATIONS, zip(found[::2], found[1::2], strict=True), strict=True))
    for at in range(len(columns)):
        one, other = (Fraction(a[at].item()) + Fraction(b[at].item()) for a, b in (tensors[:2], tensors[2:]))
        for name, true in exactly(one, other).items():
            value = sum(Fraction(part[at].item()) for part in sums[name])
            size = abs(one) + abs(other) if "add" in name or name == "sub" else abs(true)
            assert abs(value - true) <= 4 * Fraction(eps) ** 2 * size, (name, one, other)
        root = sum(Fraction(part[at].item()) for part in sums["sqrt"])
        assert abs(root**2 - abs(one)) <= 8 * Fraction(eps) ** 2 * abs(one)


@both
def test_what_is_infinite_undefined_or_minus_zero_survives_its_correction(recipe: str) -> None:
    dtype = torch.float32 if "float" in recipe else torch.float64
    x = torch.tensor([inf, -inf, nan, -0.0, 0.0, 1.0], dtype=dtype)
    y = torch.tensor([1.0, 2.0, 1.0, -0.0, -0.0, inf], dtype=dtype)

    def body(a: Arithmetic, given: Sequence[Num]) -> list[Num]:
        return [a.add(*given), a.mul(*given), a.div(given[0], given[1]), a.abs(given[0])]

    found = computed(body, [x, y], recipe=RECIPES[recipe], outputs=4)
    for result, wanted in zip(found, (x + y, x * y, x / y, x.abs()), strict=True):
        assert torch.equal(result.nan_to_num(nan=7.0), wanted.nan_to_num(nan=7.0))
        numbers = ~wanted.isnan()
        assert torch.equal(torch.signbit(result[numbers]), torch.signbit(wanted[numbers]))


@pytest.mark.parametrize("scalef", [False, True])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_factor_below_the_smallest_number_keeps_its_digits_in_a_product(recipe: str, scalef: bool) -> None:
    how = replace(RECIPES[recipe], scalef=scalef)
    dtype = torch.float32 if memory_of(how) == "float" else torch.float64
    far, least = (1.0, 2.0**-149) if dtype == torch.float32 else (7.0, 5e-324)
    x = torch.linspace(-100 * far, -60 * far, 200, dtype=dtype)
    size = torch.full_like(x, 1e30 if dtype == torch.float32 else 1e300)

    def body(a: Arithmetic, given: Sequence[Num]) -> list[Num]:
        power = exp(a, given[0])
        return [a.mul(power, given[1]), a.mul(given[1], a.mul(power, power)), a.div(power, given[1])]

    found = computed(body, [x, size], recipe=how, outputs=3)
    with mp.workdps(40):
        for at, place in enumerate(x.tolist()):
            power, factor = mp.exp(mp.mpf(place)), mp.mpf(size[at].item())
            for result, exact in zip(found, (power * factor, power**2 * factor, power / factor), strict=True):
                allowed = max(4 * torch.finfo(dtype).eps * exact, mp.mpf(least))
                assert abs(result[at].item() - exact) <= allowed, (place, result[at].item(), exact)


@pytest.mark.parametrize("recipe", ["plain float", "plain double"])
def test_scaling_rounds_once_also_into_subnormals(recipe: str) -> None:
    dtype = torch.float32 if "float" in recipe else torch.float64
    kind, least = ("f", -150) if dtype == torch.float32 else ("d", -1076)
    exponents = torch.arange(least - 40, least + 60, dtype=dtype)
    x = torch.full_like(exponents, 1 + 3 * torch.finfo(dtype).eps)
    several = [
        computed(
            lambda a, n: [Num(a.scaled(n[0].hi, n[1].hi))],
            [x, exponents], recipe=replace(RECIPES[recipe], scalef=scalef), outputs=1,
        )[0]
        for scalef in (False, True)
    ]  # fmt: skip
    wanted = [math.ldexp(x[0].item(), int(each)) for each in exponents.tolist()]
    if kind == "f":
        wanted = torch.tensor(wanted, dtype=torch.float64).to(torch.float32).tolist()
    for found in several:
        assert found.tolist() == wanted


@both
def test_a_constant_carries_what_its_rounding_loses(recipe: str) -> None:
    third = Fraction(1, 3)
    dtype = torch.float32 if "float" in recipe else torch.float64

    def body(a: Arithmetic, given: Sequence[Num]) -> list[Num]:
        constant = a.constant(third)
        return [Num(constant.hi), Num(constant.lo or a.real(0.0))]

    hi, lo = computed(body, [torch.zeros(1, dtype=dtype)], recipe=RECIPES[recipe], outputs=2)
    assert abs(Fraction(hi.item()) + Fraction(lo.item()) - third) < Fraction(torch.finfo(dtype).eps) ** 2


def test_powers_multiply_the_base_by_itself() -> None:
    x = torch.tensor([1.5, -2.0, 0.0, 3.0])
    exponents = (0, 1, 2, 3, 7, 64, -1, -3)
    found = computed(
        lambda a, n: [a.power(n[0], each) for each in exponents], [x], recipe=RECIPES["paired float"], outputs=8
    )
    for result, exponent in zip(found, exponents, strict=True):
        assert torch.equal(result, (x.double() ** exponent).float()), exponent


def test_plain_arithmetic_is_the_processors() -> None:
    x, y = (torch.randn(1000, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))

    def body(a: Arithmetic, given: Sequence[Num]) -> list[Num]:
        return [a.add(*given), a.sub(*given), a.mul(*given), a.div(*given)]

    wanted: tuple[Tensor, ...] = (x + y, x - y, x * y, x / y)
    for result, other in zip(computed(body, [x, y], recipe=RECIPES["plain float"], outputs=4), wanted, strict=True):
        assert torch.equal(result, other)


# Ranged arithmetic.

SCALED = replace(RECIPES["paired double"], span=Span.SCALED)
any_number = st.floats(allow_nan=False, allow_infinity=False)


def chains(a: Arithmetic, given: Sequence[Num]) -> list[Num]:
    """Formulas in which something on the way is no number of the type, though the result may be."""
    x, y, z, w = given
    return [
        a.div(a.mul(x, y), z),
        a.mul(a.mul(a.mul(x, y), z), w),
        a.div(a.add(a.mul(x, y), a.mul(z, w)), a.mul(z, w)),
        a.div(a.mul(x, a.abs(y)), a.power(z, 3)),
        a.div(a.div(x, y), a.div(z, w)),
        a.sub(x, y),
    ]


def exact_chains(x: Fraction, y: Fraction, z: Fraction, w: Fraction) -> list[Fraction]:
    return [
        x * y / z,
        x * y * z * w,
        (x * y + z * w) / (z * w),
        x * abs(y) / z**3,
        (x / y) / (z / w),
        x - y,
    ]


@given(st.lists(st.tuples(*[any_number.filter(bool)] * 4), min_size=1, max_size=20))
def test_scaled_numbers_are_lost_only_where_the_result_is(rows: list[tuple[float, float, float, float]]) -> None:
    columns = [each.contiguous() for each in torch.tensor(rows, dtype=torch.float64).unbind(1)]
    found = torch.stack(computed(chains, columns, recipe=SCALED, outputs=6)).unbind(1)
    largest = Fraction(torch.finfo(torch.float64).max)
    for row, results in zip(rows, found, strict=True):
        numbers = [Fraction(each) for each in row]
        for at, (value, true) in enumerate(zip(results.tolist(), exact_chains(*numbers), strict=True)):
            if abs(true) > largest:
                assert abs(value) >= largest * (1 - Fraction(1, 2**50)), (at, row)
            else:
                # what cancels loses digits of the sum's larger operand
                size = abs(true) + (1 if at == 2 else 0)
                assert abs(Fraction(value) - true) <= max(size / 2**51, Fraction(1, 2**1073)), (at, row)


def test_a_zero_has_no_size_in_scaled_arithmetic() -> None:
    columns = [
        torch.tensor(each, dtype=torch.float64) for each in ([0.0, 0.0], [1e-300, 5.0], [1.0, 1e-320], [3.0, 7.0])
    ]
    _, product, quotient, *_ = computed(chains, columns, recipe=SCALED, outputs=6)
    assert product.tolist() == [0.0, 0.0]
    assert quotient.tolist() == [1.0, 1.0]


def test_scaled_numbers_keep_infinity_and_nan() -> None:
    x = torch.tensor([inf, -inf, nan, 1.0], dtype=torch.float64)
    y = torch.full_like(x, 2.0)
    ratio, product, *_ = computed(chains, [x, y, y, y], recipe=SCALED, outputs=6)
    for found in (ratio, product):
        assert found[:2].tolist() == [inf, -inf]
        assert found.isnan().tolist() == [False, False, True, False]
