"""Codes packed to bits: what goes in comes out, in the layout that is promised."""

from __future__ import annotations

import pytest
import torch

from actlab.kernels.fewbit.codes import Border, Staircase, decode, encode, pack, staircase, unpack

BORDERS = (-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0)
LEVELS = tuple(float(number) for number in range(8))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (15,), (16,), (17,), (3, 5, 7), (0, 4)])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_each_element_gets_the_level_of_its_step(shape: tuple[int, ...], bits: int) -> None:
    table = staircase(BORDERS[: 2**bits - 1], LEVELS[: 2**bits])
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2
    found = decode(encode(x, table), table, shape=shape, dtype=torch.float64)
    wanted = torch.bucketize(x, torch.tensor(BORDERS[: 2**bits - 1]), right=True).double()
    assert torch.equal(found, wanted)


def test_codes_take_one_bit_per_element() -> None:
    for count in (16, 160, 1000):
        words = encode(torch.zeros(count), staircase(BORDERS, LEVELS))
        assert words.dtype == torch.int16
        assert words.shape == (3, -(-count // 16))


def test_bit_i_of_a_word_is_element_i() -> None:
    for element in range(32):
        flags = torch.arange(32) == element
        words = pack([flags, ~flags], like=flags)
        assert words.shape == (2, 2)
        assert int(words[0, element // 16]) & 0xFFFF == 1 << element % 16
        assert int(words[1, element // 16]) & 0xFFFF == 0xFFFF ^ 1 << element % 16
        assert unpack(words, count=32)[element] == 1


def test_a_border_belongs_to_its_declared_side() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0])
    for belongs, wanted in (("left", [5.0, 5.0, 7.0]), ("right", [5.0, 7.0, 7.0])):
        table = Staircase((Border(0.0, belongs),), (0, 1), (5.0, 7.0), 0)
        assert decode(encode(x, table), table, shape=(3,), dtype=x.dtype).tolist() == wanted


def test_steps_may_share_a_code_and_nan_has_its_own() -> None:
    table = Staircase((Border(-1.0), Border(1.0)), (0, 1, 0), (0.0, 2.0, 5.0, 5.0), 2)
    x = torch.tensor([-3.0, 0.0, 3.0, float("nan")])
    assert decode(encode(x, table), table, shape=(4,), dtype=x.dtype).tolist() == [0.0, 2.0, 0.0, 5.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_border_between_two_numbers_of_16_bits_is_not_rounded(dtype: torch.dtype) -> None:
    table = staircase((1.0001,), (0.0, 1.0))
    x = torch.tensor([1.0, 1.0078125], dtype=dtype)
    assert decode(encode(x, table), table, shape=(2,), dtype=torch.float32).tolist() == [0.0, 1.0]


def test_strided_tensors_count_in_row_major_order() -> None:
    table, x = staircase(BORDERS, LEVELS), torch.randn(6, 10)
    for view in (x.t(), x[:, ::2], x[1::2, 3:], x.expand(2, 6, 10)):
        assert torch.equal(encode(view, table), encode(view.contiguous(), table))
