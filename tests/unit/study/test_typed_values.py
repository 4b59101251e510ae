"""Plain values from outside become frozen values only if they fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from actlab.errors import BadInput
from actlab.study.typed_values import read_as


@dataclass(frozen=True)
class Point:
    at: float
    name: str
    pair: tuple[int, bool] = (0, False)
    more: Mapping[str, float] = field(default_factory=dict)
    other: str | None = None


def test_a_value_that_fits_is_read() -> None:
    assert read_as(Point, {"at": 1, "name": "a", "unknown": []}) == Point(1.0, "a")
    read = read_as(Point, {"at": "-inf", "name": "a", "pair": [3, True], "more": {"x": 2}, "other": "b"})
    assert read == Point(-math.inf, "a", (3, True), {"x": 2.0}, "b")
    assert math.isnan(read_as(float, None))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"at": "1", "name": "a"}, "value.at must be a number; got '1'"),
        ({"at": True, "name": "a"}, "value.at must be a number; got True"),
        ({"at": 1}, "value must have 'name'; it is missing"),
        ({"at": 1, "name": None}, "value.name must be a text; got None"),
        ({"at": 1, "name": "a", "pair": [1]}, "value.pair must be a list of 2; got [1]"),
        ({"at": 1, "name": "a", "pair": [True, True]}, "value.pair.0 must be an integer; got True"),
        ({"at": 1, "name": "a", "pair": [1, 0]}, "value.pair.1 must be true or false; got 0"),
        ({"at": 1, "name": "a", "more": []}, "value.more must be a table; got []"),
        ([], "value must be a table; got []"),
    ],
)
def test_one_that_does_not_is_refused_with_its_place(value: object, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_as(Point, value)
    assert str(refused.value).startswith(message)
