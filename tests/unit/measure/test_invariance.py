"""Bits that depend on the layout or on the number of threads are found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actlab.measure.accuracy.invariance import LAYOUTS, differ, layouts_apart, same_bits, threads_apart
from actlab.measure.implementations import Implementation

X = (torch.linspace(-3, 3, 1001),)


def test_a_plain_operation_has_the_same_bits_everywhere() -> None:
    doubled = Implementation("doubled", lambda x: 2 * x)
    assert layouts_apart(doubled, X) == ()
    assert threads_apart(doubled, X) == ()


def test_dependence_on_strides_is_found() -> None:
    def faulty(x: Tensor) -> Tensor:
        return x * 3 if x.is_contiguous() else x * 3 + 1e-6

    assert set(layouts_apart(Implementation("faulty", faulty), X)) == set(LAYOUTS) - {"misaligned"}


def test_dependence_on_threads_is_found_and_their_number_restored() -> None:
    before = torch.get_num_threads()

    def faulty(x: Tensor) -> Tensor:
        return x * torch.get_num_threads()

    assert 2 in threads_apart(Implementation("faulty", faulty), X)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [([0.0], [-0.0], False), ([float("nan")], [-float("nan")], True), ([1.0, 2.0], [1.0, 2.0], True)],
)
def test_equal_bits(one: list[float], other: list[float], same: bool) -> None:
    assert same_bits(torch.tensor(one), torch.tensor(other)) == same
    assert bool(differ(torch.tensor(one), torch.tensor(other)).any()) != same
