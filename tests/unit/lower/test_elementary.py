"""The elementary functions of every recipe: their errors against 50 digits, and what they are at the ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

import pytest
import torch
from mpmath import mp
from torch import Tensor

from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.circular import spherical_bessel
from actlab.lower.elementary import FUNCTIONS, OF_HALF_TURNS, maximum, minimum
from actlab.lower.exponential import sigmoid_of_two_softplus, tanh_of_softplus
from machine_code import RECIPES, computed, memory_of

inf, nan = math.inf, math.nan

# The largest errors in units in the last place of the recipe's dtype: those measured, rounded up.
BOUNDS: Mapping[str, float] = MappingProxyType(
    {
        "plain float": 4.8,
        "light float": 4.8,
        "paired float": 1.1,
        "short double": 0.51,
        "plain double": 4.5,
        "light double": 4.5,
        "paired double": 1.1,
        "tabled float": 4.8,
        "firm float": 4.8,
        "firm outer float": 4.8,
        "tabled light float": 4.8,
    }
)

# What lies above: beside ±1 a correction of tanh is lost, and beside a multiple of π nothing is left of sin's.
EXCEPTIONS: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("paired float", "tanh"): 1.5,
        ("paired double", "tanh"): 1.5,
        ("paired float", "sin"): 1.4,
        ("paired double", "normal_cdf"): 1.6,
    }
)

Exact = Callable[[Any], Any]


def bessel(order: int) -> Exact:
    """The spherical Bessel function, its value at 0 by continuity, and on the left by its parity."""

    def function(x: Any) -> Any:
        if x == 0:
            return mp.mpf(order == 0)
        right = mp.sqrt(mp.pi / (2 * abs(x))) * mp.besselj(order + mp.mpf(1) / 2, abs(x))
        return right if x > 0 else (-1) ** order * right

    return function


# What each function of vector code is, in other words.
EXACT: Mapping[str, Exact] = MappingProxyType(
    {
        "exp": mp.exp,
        "expm1": mp.expm1,
        "log": mp.log,
        "log1p": mp.log1p,
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
        "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)) if x > -500 else x - mp.exp(x),
        "softplus": lambda x: mp.log1p(mp.exp(x)) if x < 500 else x + mp.exp(-x),
        "tanh": mp.tanh,
        "erf": mp.erf,
        "erfc": mp.erfc,
        "normal_cdf": lambda x: mp.erfc(-x / mp.sqrt(2)) / 2,
        "normal_pdf": lambda x: mp.exp(-(x**2) / 2) / mp.sqrt(2 * mp.pi),
        "sin": mp.sin,
        "cos": mp.cos,
        "atan": mp.atan,
        "sqrt": mp.sqrt,
        "abs": abs,
        "sign": mp.sign,
        "tanh of softplus": lambda x: mp.tanh(mp.log1p(mp.exp(x))),
        "sigmoid of 2 softplus": lambda x: 1 / (1 + (1 + mp.exp(x)) ** -2),
        "sigmoid of -2 softplus": lambda x: 1 / (1 + (1 + mp.exp(x)) ** 2),
    }
)  # fmt: skip

NAMES = tuple(EXACT)

# Those whose values are told for numbers of any size.
ALGEBRAIC = (mp.atan, mp.sqrt, mp.log, mp.log1p, abs, mp.sign)

# At 0, −0, ∞ and −∞, with the sign of a zero; NaN gives NaN.
ENDS: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "exp": (1, 1, inf, 0),
        "expm1": (0.0, -0.0, inf, -1),
        "log": (-inf, -inf, inf, nan),
        "log1p": (0.0, -0.0, inf, nan),
        "sigmoid": (0.5, 0.5, 1, 0),
        "log_sigmoid": (-math.log(2), -math.log(2), -0.0, -inf),
        "softplus": (math.log(2), math.log(2), inf, 0),
        "tanh": (0.0, -0.0, 1, -1),
        "erf": (0.0, -0.0, 1, -1),
        "erfc": (1, 1, 0, 2),
        "normal_cdf": (0.5, 0.5, 1, 0),
        "normal_pdf": (1 / math.sqrt(2 * math.pi), 1 / math.sqrt(2 * math.pi), 0, 0),
        "sin": (0.0, -0.0, nan, nan),
        "cos": (1, 1, nan, nan),
        "atan": (0.0, -0.0, math.pi / 2, -math.pi / 2),
        "sqrt": (0.0, -0.0, inf, nan),
        "abs": (0, 0, inf, inf),
        "sign": (0.0, -0.0, 1, -1),
        "tanh of softplus": (0.6, 0.6, 1, 0),
        "sigmoid of 2 softplus": (0.8, 0.8, 1, 0.5),
        "sigmoid of -2 softplus": (0.2, 0.2, 0, 0.5),
    }
)
SPECIAL = (0.0, -0.0, inf, -inf, nan)


def all_functions(a: Arithmetic, numbers: Sequence[Num]) -> list[Num]:
    """Every function of the one number, in the order of `NAMES`."""
    (x,) = numbers
    others = {
        "tanh of softplus": tanh_of_softplus(a, x),
        "sigmoid of 2 softplus": sigmoid_of_two_softplus(a, x, negative=False),
        "sigmoid of -2 softplus": sigmoid_of_two_softplus(a, x, negative=True),
    }
    return [others[name] if name in others else FUNCTIONS[name](a, x) for name in NAMES]


@cache
def points(memory: str) -> Tensor:
    """Some hundred numbers: near and far, tiny and huge, subnormal, beside the places where code changes its way."""
    dtype = torch.float32 if memory == "float" else torch.float64
    generator = torch.Generator().manual_seed(0)
    limits = torch.finfo(dtype)
    turns = torch.tensor([math.log(2) / 2, 0.5, 0.41421356, 2.41421356, math.sqrt(0.5), math.pi / 4, math.pi / 2, 1, 2])
    steps = 1 + torch.arange(-2, 3, dtype=torch.float64) * limits.eps / 2
    sizes = [10.0**power for power in range(-37 if memory == "float" else -300, 38 if memory == "float" else 300, 9)]
    least = limits.smallest_normal
    parts = [
        40 * torch.rand(260, dtype=torch.float64, generator=generator) - 20,
        2 * torch.rand(80, dtype=torch.float64, generator=generator) - 1,
        1600 * torch.rand(60, dtype=torch.float64, generator=generator) - 800,
        (turns.double()[:, None] * steps).flatten(),
        torch.tensor([*sizes, least, least / 8, limits.max, 1e3 * math.pi, 7.1e3], dtype=torch.float64),
    ]
    several = torch.cat(parts)
    return torch.cat([several, -several, torch.tensor(SPECIAL, dtype=torch.float64)]).to(dtype)


@cache
def exact(name: str, memory: str) -> tuple[Any, ...]:
    """The function's values at the points to 50 digits; None where it has no finite one."""
    with mp.workdps(50):
        return tuple(_told(EXACT[name], value) for value in points(memory).tolist())


def _told(function: Exact, value: float) -> Any:
    if not math.isfinite(value):
        return None
    if abs(value) > 1e5 and function not in ALGEBRAIC:  # mpmath would write exp(1e300) out
        return None
    return _real(function(mp.mpf(value)))


def _real(value: Any) -> Any:
    return value if mp.isfinite(value) and mp.im(value) == 0 else None


def error(found: float, true: Any, memory: str) -> float:
    """How far off, in units in the last place; 0 where both are beyond the largest number."""
    digits, least, most = (24, -149, 128) if memory == "float" else (53, -1074, 1024)
    if math.isinf(found) and abs(true) >= mp.mpf(2) ** most * (1 - mp.mpf(2) ** (2 - digits)):
        return 0.0
    exponent = mp.frexp(true)[1] if true else -2000
    return float(abs(mp.mpf(found) - true) / mp.mpf(2) ** max(exponent - digits, least))


every_recipe = pytest.mark.parametrize("recipe", RECIPES)
with_and_without_scalef = pytest.mark.parametrize("scalef", [False, True], ids=["four factors", "scalef"])


@with_and_without_scalef
@every_recipe
def test_errors_stay_below_the_recipes_bound(recipe: str, scalef: bool) -> None:
    how = replace(RECIPES[recipe], scalef=scalef)
    memory = memory_of(how)
    x = points(memory)
    results = computed(all_functions, [x], recipe=how, outputs=len(NAMES))
    beyond = {}
    with mp.workdps(50):
        for name, result in zip(NAMES, results, strict=True):
            off, place = worst(x, result, exact(name, memory), memory=memory)
            if not off <= EXCEPTIONS.get((recipe, name), BOUNDS[recipe]):
                beyond[name] = f"{off:.2f} units at {place!r}"
    assert beyond == {}


def worst(x: Tensor, result: Tensor, wanted: Sequence[Any], *, memory: str) -> tuple[float, float]:
    """The largest error, and where."""
    told = [each for each in zip(x.tolist(), result.tolist(), wanted, strict=True) if each[2] is not None]
    assert len(told) > 400
    return max((error(found, true, memory), place) for place, found, true in told)


@every_recipe
def test_with_and_without_scalef_the_bits_are_the_same(recipe: str) -> None:
    x = points(memory_of(RECIPES[recipe]))
    found = [
        computed(all_functions, [x], recipe=replace(RECIPES[recipe], scalef=scalef), outputs=len(NAMES))
        for scalef in (True, False)
    ]
    for name, one, other in zip(NAMES, *found, strict=True):
        assert torch.equal(one.nan_to_num(nan=7.0), other.nan_to_num(nan=7.0)), name


@with_and_without_scalef
@every_recipe
def test_limits_are_exact_and_nan_stays(recipe: str, scalef: bool) -> None:
    how = replace(RECIPES[recipe], scalef=scalef)
    memory = memory_of(how)
    x = torch.tensor(SPECIAL, dtype=points(memory).dtype)
    for name, result in zip(NAMES, computed(all_functions, [x], recipe=how, outputs=len(NAMES)), strict=True):
        wanted = torch.tensor([*ENDS[name], nan], dtype=x.dtype)
        torch.testing.assert_close(result, wanted, rtol=2 * torch.finfo(x.dtype).eps, atol=0, equal_nan=True)
        zero = wanted == 0
        assert torch.equal(torch.signbit(result[zero]), torch.signbit(wanted[zero])), (name, result)


@pytest.mark.parametrize("recipe", ["plain float", "paired float", "plain double", "paired double"])
def test_far_out_circular_functions_are_the_c_librarys(recipe: str) -> None:
    x = torch.logspace(4, 30, 61, dtype=torch.float64) * torch.tensor([1.0, -1.0, 1.0]).repeat(21)[:61]
    x = x.to(torch.float32 if "float" in recipe else torch.float64)
    sines, cosines = computed(
        lambda a, n: [FUNCTIONS["sin"](a, n[0]), FUNCTIONS["cos"](a, n[0])], [x], recipe=RECIPES[recipe], outputs=2
    )
    eps = torch.finfo(x.dtype).eps
    torch.testing.assert_close(sines.double(), x.double().sin(), rtol=0, atol=eps)
    torch.testing.assert_close(cosines.double(), x.double().cos(), rtol=0, atol=eps)


# Numerators of the convergents of π, their halves, and doubles that lie as near a multiple of π/2: up to 2^30.
BESIDE_ROOTS = (11, 355, 710, 104348, 312689, 5419351, 122925461, 411557987, -450398590.25057405, -65886550.84338369)


@pytest.mark.parametrize("recipe", ["plain double", "light double", "paired double"])
def test_beside_their_roots_sine_and_cosine_keep_every_digit(recipe: str) -> None:
    places = torch.tensor([*BESIDE_ROOTS, *(each / 2 for each in BESIDE_ROOTS)], dtype=torch.float64)
    roots = (torch.arange(1, 2**29, 2**21 + 1, dtype=torch.float64) * (math.pi / 2)).repeat(1, 2)[0]
    x = torch.cat([places, roots, torch.nextafter(roots, torch.tensor(0.0, dtype=torch.float64))])
    found = computed(
        lambda a, n: [FUNCTIONS[name](a, *n) for name in ("sin", "cos")], [x], recipe=RECIPES[recipe], outputs=2
    )
    with mp.workdps(60):
        for function, values in zip((mp.sin, mp.cos), found, strict=True):
            off, place = worst(x, values, [function(mp.mpf(each)) for each in x.tolist()], memory="double")
            assert off <= BOUNDS[recipe], (place, off)


@every_recipe
def test_sine_and_cosine_of_half_turns(recipe: str) -> None:
    memory = memory_of(RECIPES[recipe])
    limits = torch.finfo(points(memory).dtype)
    steps = torch.arange(-60, 61, dtype=torch.float64) / 16
    x = torch.cat([steps, steps * (1 + 3 * limits.eps), steps / limits.eps, 40 * torch.rand(400, dtype=torch.float64)])
    x = x.to(points(memory).dtype)
    names = tuple(OF_HALF_TURNS)
    found = computed(
        lambda a, n: [OF_HALF_TURNS[name](a, *n) for name in names], [x], recipe=RECIPES[recipe], outputs=2
    )
    with mp.workdps(50):
        for name, values in zip(names, found, strict=True):
            function = {"sin": mp.sinpi, "cos": mp.cospi}[name]
            off, place = worst(x, values, [function(mp.mpf(each)) for each in x.tolist()], memory=memory)
            assert off <= BOUNDS[recipe], (name, place, off)
    special = torch.tensor(SPECIAL, dtype=x.dtype)
    sines, cosines = computed(
        lambda a, n: [OF_HALF_TURNS[name](a, *n) for name in names], [special], recipe=RECIPES[recipe], outputs=2
    )
    assert torch.equal(torch.signbit(sines[:2]), torch.tensor([False, True]))
    assert cosines[:2].tolist() == [1.0, 1.0]
    assert bool(torch.cat([sines, cosines]).isnan().reshape(2, -1)[:, 2:].all())


@every_recipe
def test_the_smaller_and_the_larger_of_two(recipe: str) -> None:
    pairs = torch.cartesian_prod(*[torch.tensor([*SPECIAL, 1.5, -2.0, 1e-40])] * 2)
    x, y = (each.to(points(memory_of(RECIPES[recipe])).dtype).contiguous() for each in pairs.unbind(1))
    smaller, larger = computed(lambda a, n: [minimum(a, *n), maximum(a, *n)], [x, y], recipe=RECIPES[recipe], outputs=2)
    assert torch.equal(smaller.nan_to_num(nan=7.0), torch.minimum(x, y).nan_to_num(nan=7.0))
    assert torch.equal(larger.nan_to_num(nan=7.0), torch.maximum(x, y).nan_to_num(nan=7.0))


# Beyond its first root a spherical Bessel function of order n is a difference: errors of its largest operand.
@pytest.mark.parametrize("recipe", ["plain float", "paired float", "short double", "plain double", "paired double"])
def test_spherical_bessel_functions(recipe: str) -> None:
    memory = memory_of(RECIPES[recipe])
    x = torch.cat([torch.linspace(-25, 25, 151), torch.tensor([0.0, 1e-3, 1e-10, 1.99, 2.01, 4.9, 5.1])])
    x = x.to(points(memory).dtype)
    found = computed(
        lambda a, n: [spherical_bessel(a, order, n[0]) for order in range(4)], [x], recipe=RECIPES[recipe], outputs=4
    )
    units = {"plain": 12, "paired": 3, "short": 1}[recipe.split()[0]]
    with mp.workdps(50):
        for order, values in enumerate(found):
            wanted = [bessel(order)(mp.mpf(each)) for each in x.tolist()]
            for place, value, true in zip(x.tolist(), values.tolist(), wanted, strict=True):
                allowed = units * torch.finfo(x.dtype).eps * max(abs(true), 0.1 if abs(place) > 1 else 0)
                assert abs(value - true) <= allowed, (order, place, value, true)
