"""Where programs are measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.measure.accuracy.points import all_of_sixteen_bits, beside, points, rounded
from actlab.measure.accuracy.ulp import FORMATS


def points_of(name: str, dtype: str = "float32", **settings: int) -> tuple[np.ndarray, ...]:
    act = CATALOG[name]
    assert isinstance(act, Activation)
    args = tuple(Input(each) for each in act.inputs)
    formulas = [act.formula, *(act.derivative(each) for each in act.inputs)]
    return points(formulas, args, fmt=FORMATS[dtype], **{"count": 4000, **settings})


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", ["gelu", "swiglu"])
def test_every_point_is_a_number_of_the_dtype(name: str, dtype: str) -> None:
    for column in points_of(name, dtype):
        np.testing.assert_array_equal(rounded(column, FORMATS[dtype]), column)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_are_all_taken(dtype: str) -> None:
    (x,) = points_of("gelu", dtype)
    bits = torch.from_numpy(x).to(getattr(torch, dtype)).view(torch.int16)
    numbers = torch.from_numpy(x).nan_to_num(0.0)
    assert len(x) == 65_536
    nans = int(np.isnan(x).sum())
    assert len(bits[torch.from_numpy(~np.isnan(x))].unique()) == 65_536 - nans
    assert numbers.abs().max() == np.inf or np.isinf(x).sum() == 2
    assert len(all_of_sixteen_bits(FORMATS[dtype])) == 65_536


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("relu6", 6.0),
        ("hard_sigmoid", -3.0),
        ("gelu", -0.7517915247),  # the root of its derivative
        ("growing_cosine", np.pi / 2),
        ("selu", 0.0),
        ("silu", -1.2784645428),
    ],
)
def test_kinks_and_roots_are_surrounded(name: str, place: float) -> None:
    (x,) = points_of(name)
    if place:
        assert np.isin(beside(place, FORMATS["float32"]), x).all()
    assert (np.abs(x - place) <= 1e-5).sum() >= 17


def test_the_ends_and_zeros_are_there() -> None:
    (x,) = points_of("relu")
    fmt = FORMATS["float32"]
    assert np.isin([fmt.smallest, -fmt.smallest, fmt.largest, -fmt.largest, np.inf, -np.inf], x).all()
    assert np.isnan(x).any()
    assert {bool(sign) for sign in np.signbit(x[x == 0])} == {True, False}
    assert ((np.abs(x) < 20) & (np.abs(x) > 0.01)).sum() > 1000


def test_a_seed_gives_the_same_points_and_another_one_others() -> None:
    first, again, other = (points_of("mish", seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(np.setdiff1d(first, other)) > 500


def test_pairs_fix_either_input_at_some_values() -> None:
    value, gate = points_of("swiglu", count=20_000)
    assert len(value) == len(gate)
    assert np.isinf(gate[value == 1]).sum() == 2
    assert np.isinf(value[gate == 1]).sum() == 2
    assert (np.abs(value) > 1e20).any()
