"""From where on a gradient is exactly 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.measure.accuracy.points import Places, tensor
from actlab.measure.accuracy.record import ZeroGradient
from actlab.measure.accuracy.ulp import FORMATS
from actlab.measure.accuracy.worst_case import as_doubles
from actlab.measure.accuracy.zero_gradient import zero_gradient
from actlab.measure.implementations import native


def of_torch(name: str, dtype: str) -> ZeroGradient:
    act = CATALOG[name]
    assert isinstance(act, Activation)
    fmt, function = FORMATS[dtype], native(act)

    def gradient(x: Places) -> Places:
        return as_doubles(function.backward(tensor(x, fmt))[0])

    return zero_gradient(gradient, act.derivative(), (Input("x"),), fmt=fmt)


@pytest.mark.parametrize(
    ("name", "dtype", "side", "place"),
    [
        ("tanh", "float32", "right", 9.02),
        ("tanh", "bfloat16", "right", 3.47),
        ("tanh", "float16", "left", 4.52),
        ("sigmoid", "float32", "right", 16.6),
        ("sigmoid", "bfloat16", "right", 6.25),
        ("sigmoid", "float16", "right", 8.33),
    ],
)
def test_pytorch_s_own_end_too_early(name: str, dtype: str, side: str, place: float) -> None:
    found = of_torch(name, dtype)
    assert getattr(found, side) == pytest.approx(place, rel=5e-3)
    assert getattr(found, f"{side}_too_early")


def test_flat_pieces_end_at_the_right_place() -> None:
    assert of_torch("relu", "float32") == ZeroGradient(0.0, None, False, False)
    assert of_torch("relu6", "float32") == ZeroGradient(0.0, 6.0, False, False)
    assert of_torch("hard_shrink", "float32") == ZeroGradient(None, None, False, False)


@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=lambda kind: kind.__name__)
def test_the_place_is_the_first_number_of_the_dtype(kind: type) -> None:
    act = CATALOG["tanh"]
    assert isinstance(act, Activation)
    place = of_torch("tanh", kind.__name__).right
    assert place is not None
    x = torch.from_numpy(np.array([np.nextafter(kind(place), kind(0)), place], dtype=kind))
    assert (native(act).backward(x)[0] == 0).tolist() == [False, True]


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_gradient_that_is_never_zero_has_no_end(dtype: str) -> None:
    found = zero_gradient(np.ones_like, CATALOG["identity"].derivative(), (Input("x"),), fmt=FORMATS[dtype])
    assert found == ZeroGradient(None, None, False, False)
    nearly = zero_gradient(
        lambda x: (np.abs(x) < FORMATS[dtype].largest).astype(float),
        CATALOG["identity"].derivative(),
        (Input("x"),),
        fmt=FORMATS[dtype],
    )
    assert (nearly.left, nearly.right) == (FORMATS[dtype].largest, FORMATS[dtype].largest)
