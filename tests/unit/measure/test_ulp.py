"""Units in the last place: of normal, subnormal, huge and special numbers."""

from __future__ import annotations

import numpy as np
import pytest

from actlab.errors import BadInput
from actlab.measure.accuracy.ulp import FORMATS, format_of, held, rounds_to_finite, spacing

SINGLE = FORMATS["float32"]


def test_a_unit_is_the_distance_to_the_next_number_away_from_zero() -> None:
    random = np.random.default_rng(0)
    x = np.abs(random.normal(size=500) * np.exp2(random.uniform(-149, 120, size=500))).astype(np.float32)
    wanted = np.nextafter(x, np.float32(np.inf)).astype(np.float64) - x
    np.testing.assert_array_equal(spacing(x.astype(np.float64), SINGLE), wanted)


@pytest.mark.parametrize(
    ("dtype", "value", "unit"),
    [
        ("float32", 0.0, 2.0**-149),
        ("float32", 2.0**-140, 2.0**-149),
        ("float64", 1e-320, 5e-324),
        ("float64", 1.0, 2.0**-52),
        ("bfloat16", -3.0, 2.0**-6),
        ("float16", 2.0**-20, 2.0**-24),
    ],
)
def test_units_of_some_numbers(dtype: str, value: float, unit: float) -> None:
    assert spacing(np.array([value]), FORMATS[dtype])[0] == unit


def test_infinity_and_nan_have_no_unit() -> None:
    assert np.isnan(spacing(np.array([np.inf, np.nan]), SINGLE)).all()


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
def test_infinity_counts_as_the_next_power_of_two(fmt) -> None:
    wide = np.longdouble if fmt.bits == 64 else np.float64
    values = np.array([np.inf, -np.inf, fmt.largest, np.nan, 0.5], dtype=wide)
    found = held(values, fmt)
    assert found[0] == -found[1] == np.ldexp(wide(1), fmt.most + 1)
    assert found[2] == fmt.largest
    assert np.isnan(found[3])
    assert found[4] == 0.5


def test_what_rounds_to_infinity() -> None:
    values = np.array([1e38, 3.5e38, np.inf, np.nan, -1e38])
    assert rounds_to_finite(values, SINGLE).tolist() == [True, False, False, False, True]


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(BadInput, match="dtype must be one of float32, float64, bfloat16, float16; got 'int8'"):
        format_of("int8")
