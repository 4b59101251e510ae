"""Arms as text: what they mean, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from actlab.catalog.index import get
from actlab.errors import BadStudy
from actlab.study.arm_text import Variant, activation_of, described, variant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("relu", Variant("relu")),
        ("relu@clip=1", Variant("relu", clip=1.0)),
        ("tanh@init=gain@norm=batch", Variant("tanh", init="gain", norm="batch")),
        ("gelu@gate=sigmoid@output=identity", Variant("gelu", groups={"gate": "sigmoid", "output": "identity"})),
        ("relu@depth=8@width=32", Variant("relu", options={"depth": 8, "width": 32})),
        ("relu@scale=0.5@bias=false@kind=deep", Variant("relu", options={"scale": 0.5, "bias": False, "kind": "deep"})),
        (" max(x, 0) @ clip = 1 ", Variant("max(x, 0)", clip=1.0)),
        ("elu(alpha=2)@block=leaky_relu(negative_slope=0.2)",
         Variant("elu(alpha=2)", groups={"block": "leaky_relu(negative_slope=0.2)"})),
        ("a@b/own.py:f@clip=1", Variant("a@b/own.py:f", clip=1.0)),
    ],
)  # fmt: skip
def test_a_text_is_read(text: str, expected: Variant) -> None:
    assert variant(text) == expected
    assert variant(str(expected)) == expected


def test_the_factors_have_a_fixed_order() -> None:
    assert str(variant("relu@depth=8@gate=tanh@hidden=elu@clip=0.5@norm=layer@init=gain")) == (
        "relu@init=gain@norm=layer@clip=0.5@hidden=elu@gate=tanh@depth=8"
    )
    assert str(variant("relu@norm=none")) == "relu"


def test_an_activation_may_be_an_object() -> None:
    silu = get("silu")
    assert str(Variant(silu, clip=1)) == f"{silu.name}@clip=1"
    assert variant(silu) == Variant(silu)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("relu@clip=0", "the arm 'relu@clip=0': clip must be a positive number, the largest norm of a gradient; got 0"),
        ("relu@clip=-1", "clip must be a positive number"),
        ("relu@clip=inf", "clip must be a positive number"),
        ("relu@clip=much", "clip must be a positive number, the largest norm of a gradient; got much"),
        ("relu@clip=1@clip=2", "the arm 'relu@clip=1@clip=2': clip must be set once; got 1 and 2"),
        ("relu@norm=group", "norm must be one of none, batch, layer; got 'group'"),
        ("relu@init=he", "init must be one of as-is, gain; got 'he'"),
        ("relu@clip", r"a factor must be NAME=VALUE; got 'relu@clip'. Write it as relu@clip=1"),
        ("relu@clip=1@norm", "a factor must be NAME=VALUE; got '1@norm'"),
        ("relu@clip=", "clip must have a value; got none. Write clip=VALUE"),
        ("@clip=1", "an activation must come first; got none"),
    ],
)
def test_what_is_not_an_arm_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadStudy, match=message):
        variant(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groups": {"middle": "tanh"}}, "a group of sites must be one of hidden, gate, block, output; got 'middle'"),
        ({"clip": float("nan")}, "clip must be a positive number"),
        ({"norm": "batch "}, "norm must be one of"),
    ],
)
def test_the_object_is_checked_too(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadStudy, match=message):
        Variant("relu", **values)


def test_a_name_is_described() -> None:
    assert activation_of("x*sigmoid(x)@norm=batch@clip=2") == "x*sigmoid(x)"
    assert described("relu") == ""
    assert described("mine@work=") == ""  # a name that only looks like an arm's text
    assert described("tanh@init=gain@gate=sigmoid@depth=3") == (
        "tanh@init=gain@gate=sigmoid@depth=3: weights drawn with the gain of its activation; sigmoid in the gate"
        " sites; depth 3."
    )
