"""Different examples are counted, not repeats."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.diagnosis.watch import watch
from actlab.telemetry.distinct_examples import KEPT, SAMPLED, Shown, products_summed

ROWS = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))


def counted(*passes: Tensor | tuple[Tensor, ...]) -> int:
    shown = Shown()
    for each in passes:
        inputs = each if isinstance(each, tuple) else (each,)
        shown.add(inputs, inputs[0].shape[0])
    return len(shown.fingerprints().total)


def test_a_row_counts_once_wherever_it_is_in_the_batch():
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    assert counted(ROWS, ROWS[order], ROWS[:7], ROWS[:, None].mT) == 200
    assert counted(ROWS, ROWS.nextafter(ROWS + 1)) == 400  # of the last bit each


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8]
)
def test_integers_differ_in_every_dtype(dtype):
    grid = torch.cartesian_prod(*[torch.arange(8)] * 4)
    assert counted(grid.to(dtype), grid.flip(0).to(dtype)) == 8**4


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("high", [1, 2, -2, 0.5, 1024])
def test_two_values_in_many_columns_differ_in_every_dtype(dtype, high):
    bits = torch.cartesian_prod(*[torch.tensor([0, high])] * 12).to(dtype)
    assert counted(bits, bits.flip(0), bits.mT.contiguous().mT) == 2**12
    pairs = torch.stack([bits, high - bits], dim=2).flatten(1)  # each pair of columns has the same sum
    assert counted(pairs, pairs.flip(0)) == 2**12


@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (64, 2048), (300, 5)])
def test_the_product_of_whole_numbers_is_the_same_on_every_device(shape):
    words = torch.randint(-(2**31), 2**31, shape).int()
    factors = torch.randint(-(2**31), 2**31, (2, shape[1])).int()
    plain = (words.long()[:, None] * factors.long()).sum(2).int()
    assert torch.equal(products_summed(words, factors), plain)
    assert torch.equal(F.linear(words, factors), plain)


def test_inference_tensors_and_conjugates_can_be_read():
    with torch.inference_mode():
        rows = torch.arange(6.0)[:, None] + 0
    assert counted(rows, rows) == 6
    values = torch.complex(torch.arange(6.0), torch.ones(6))[:, None]
    assert counted(values, values.conj(), values.imag) == 13


def test_many_examples_are_read_in_parts():
    rows = torch.arange(3 * 2**20, dtype=torch.uint8).reshape(-1, SAMPLED)
    rows[:, 0] = torch.arange(len(rows))
    assert counted(rows, rows.flip(0)) == 256


def test_masks_and_all_that_a_model_is_given_tell_examples_apart():
    masks = torch.cartesian_prod(*[torch.tensor([False, True])] * 6)
    assert counted(masks) == 64
    same, times = torch.zeros(64, 3), torch.arange(64).float()
    assert counted((same, times)) == 64
    assert counted((same[:, 0], masks), (1 + same[:, 0], masks)) == 128
    low, high = torch.arange(8).float()[:, None], torch.arange(10, 18).float()[:, None]
    assert counted((low, high), (high, low)) == 16  # also by which of the arguments a number is


def test_long_rows_are_sampled_evenly():
    rows = torch.zeros(2, 3 * SAMPLED)
    rows[1, 3 * 5] = 1
    assert counted(rows) == 2
    assert counted(torch.rand(3, 5 * SAMPLED + 1)) == 3


def test_padding_does_not_change_the_fingerprint_of_a_sentence():
    words = torch.randint(1, 50, (30, 9), generator=torch.Generator().manual_seed(2))
    assert counted(words, F.pad(words, (0, 5)), F.pad(words, (0, 90))) == 30


def test_examples_without_fingerprints_all_count_as_distinct():
    shown = Shown()
    shown.add([ROWS.to_sparse()], 200)
    assert shown.fingerprints() is None
    shown = Shown()
    shown.add([], 1)
    assert shown.fingerprints() is None


def test_memory_is_bounded_and_the_last_ones_are_kept():
    shown = Shown()
    for at in range(3):
        shown.add([torch.arange(at * 40_000, (at + 1) * 40_000)[:, None]], 40_000)
    assert len(shown.fingerprints().total) == KEPT
    shown.add([torch.arange(KEPT + 1)[:, None]], KEPT + 1)
    assert len(shown.fingerprints().total) == KEPT
    shown.add([torch.ones(KEPT, 1)], KEPT)
    assert len(shown.fingerprints().total) == 1


def dead_in(data: Tensor, *, epochs: int, size: int = 16):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 2))
    nn.init.constant_(model[0].bias[:4], -1e3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    with watch(model, every=1) as watched:
        for epoch in range(epochs):
            order = torch.randperm(len(data), generator=torch.Generator().manual_seed(epoch))
            for rows in data[order].split(size):
                optimizer.zero_grad()
                F.cross_entropy(model(rows), (rows[:, 0] > 0).long()).backward()
                optimizer.step()
    return watched.report()


@pytest.mark.parametrize(("count", "epochs", "told"), [(48, 6, 48), (4, 30, 4), (200, 1, 200), (200, 4, None)])
def test_a_loop_over_the_same_data_counts_each_example_once(count, epochs, told):
    report = dead_in(ROWS[:count], epochs=epochs)
    (dead,) = [each for each in report.findings if each.id == "AL101"]
    assert {0, 1, 2, 3} <= set(dead.evidence["dead_units"])
    # of what is recent, never more than there are, and the bound is of those
    assert dead.evidence["examples"] == told if told else 190 < dead.evidence["examples"] <= 200
    assert dead.evidence["rate_bound"] == min(1.0, 3 / dead.evidence["examples"])
    total = report.quantities.sites[0].total
    assert (total.examples, total.shown) == (count, count * epochs)


def test_four_examples_suffice_to_call_a_unit_dead_if_there_are_no_others():
    report = dead_in(ROWS[:4], epochs=40, size=4)
    (dead,) = [each for each in report.findings if each.id == "AL101"]
    assert "all 4 examples" in dead.message
    assert not [each for each in report.findings if each.id == "AL110"]  # so few may well look alike to a unit


@pytest.mark.parametrize("kind", ["training", "evaluation", "compiled"])
def test_inputs_are_not_kept_alive(kind):
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU()).train(kind != "evaluation")
    called = torch.compile(model, backend="eager") if kind == "compiled" else model
    with watch(called, every=1):
        rows = ROWS.clone()
        reference = weakref.ref(rows)
        called(rows).sum().backward()
        del rows
        gc.collect()
        assert reference() is None
