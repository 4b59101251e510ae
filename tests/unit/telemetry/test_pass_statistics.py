"""Machine code and PyTorch's own operations measure the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from actlab.catalog.index import get
from actlab.kernels.runtime.cache import key_of
from actlab.kernels.statistics import ir
from actlab.kernels.statistics import kernels as unit_statistics
from actlab.kernels.statistics.fields import BORDERS, Field
from actlab.lower.arithmetic import Recipe
from actlab.telemetry.accumulator import Adder
from actlab.telemetry.observed_activation import measured
from actlab.telemetry.table import POINT, Table
from actlab.telemetry.torch_statistics import add_histogram, add_statistics

COUNTED = [Field.POSITIONS, Field.NON_FINITE, Field.Y_ZEROS]


@pytest.mark.parametrize("shape", [(37, 21), (5, 3, 40), (4, 6, 5, 7), (2, 2, 8, 8), (9, 3, 2, 3), (3,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["relu", "gelu", "sigmoid", "tanh", "mish", "elu"])
def test_kernels_and_torch_operations_measure_the_same(name, dtype, shape):
    generator = torch.Generator().manual_seed(0)
    z = (3 * torch.randn(shape, generator=generator)).to(dtype)
    z.view(-1)[:3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    act, axis = measured(get(name)), 1 if len(shape) == 4 else -1
    one, other = (Table(torch.device("cpu")) for _ in range(2))
    for table in (one, other):
        table.grown(act, 3)
        columns = table.grown(act, z.shape[axis])
        table.shift += 0.5
    for _ in range(2):
        Adder(act, one, columns, 1, floor=1e-3 * act.bound).add(z, axis=axis)
        add_statistics(act, z, other.now[:, columns], other.shift[columns], axis=axis, floor=1e-3 * act.bound)
        add_histogram(z, other.histogram_now[1])
    assert torch.equal(one.now[:, :3], torch.zeros(len(Field), 3, dtype=torch.float64))
    assert torch.equal(one.now[COUNTED], other.now[COUNTED])
    assert (one.now[Field.FIRED] - other.now[Field.FIRED]).abs().max() <= 2  # a slope within rounding of the floor
    is_short = dtype.itemsize == 2  # a kernel rounds the output once, PyTorch perhaps at other numbers
    bounds = {"rtol": 1e-2 if is_short else 1e-4, "atol": 2e-2 if is_short else 2e-5}
    assert torch.allclose(one.now, other.now, **bounds)
    assert torch.equal(one.histogram_now, other.histogram_now)


def test_the_bins_are_those_of_the_borders():
    z = torch.linspace(-9, 9, 4001)
    table = Table(torch.device("cpu"))
    columns = table.grown(measured(get("relu")), 1)
    Adder(measured(get("relu")), table, columns, 0, floor=0.0).add(z[:, None], axis=-1)
    bins = torch.bucketize(z.double(), torch.tensor(BORDERS, dtype=torch.float64), right=True)
    difference = torch.bincount(bins, minlength=64) - table.histogram_now[0]
    assert difference.abs().sum() <= 4


def test_in_sixteen_bits_a_sigmoid_that_rounds_to_one_does_not_fire():
    act = measured(get("sigmoid"))
    for dtype, fires in ((torch.bfloat16, False), (torch.float32, True)):
        table = Table(torch.device("cpu"))
        columns = table.grown(act, 1)
        Adder(act, table, columns, 0, floor=1e-3 * act.bound).add(torch.full((8, 1), 6.5, dtype=dtype), axis=-1)
        assert bool(table.now[Field.FIRED, 0] > 0) is fires


@pytest.mark.parametrize("shape", [(5001, 3), (2, 3, 50, 51)])
def test_sums_lose_next_to_nothing_over_many_rows_far_from_zero(shape):
    generator = torch.Generator().manual_seed(0)
    z = 1000 + torch.randn(shape, generator=generator)
    act, axis = measured(get("silu")), 1
    table = Table(z.device)
    columns = table.grown(act, 3)
    table.shift += 999.5
    Adder(act, table, columns, 0, floor=1e-3).add(z, axis=axis)
    wide = z.double().movedim(1, 0).reshape(3, -1)
    moved, found = wide - 999.5, table.now
    assert torch.equal(found[Field.POSITIONS], torch.full((3,), wide.shape[1], dtype=torch.float64))
    assert torch.equal(found[Field.FIRED], found[Field.POSITIONS])
    assert torch.allclose(found[Field.SHIFTED], moved.sum(1), rtol=1e-6, atol=0)
    assert torch.allclose(found[Field.SQUARES], moved.square().sum(1), rtol=1e-6, atol=0)
    assert torch.allclose(found[Field.Y_SUM], wide.sum(1), rtol=1e-6, atol=0)
    assert torch.allclose(found[Field.SLOPE_SUM], found[Field.POSITIONS], rtol=1e-6, atol=0)


def test_the_sum_of_finite_numbers_is_finite():
    act, z = measured(get("relu")), torch.full((64, 1), 3e38)
    table = Table(z.device)
    columns = table.grown(act, 1)
    Adder(act, table, columns, 0, floor=1e-3).add(z, axis=-1)
    assert 3e38 < float(table.now[Field.Y_SUM, 0]) < float("inf")
    assert float(table.now[Field.Y_SQUARES, 0]) == float("inf")
    table.close()
    points = table.added_up([0], several=[True], gradients=torch.zeros(1, 1), saturated_floor=0.05)
    assert float(points[0, 0, POINT.index("variance")]) == float("inf")


@pytest.mark.parametrize("shape", [(37, 21), (3, 2, 5, 11), (7, 2, 4, 4)])
def test_a_processor_without_wide_registers_measures_the_same(monkeypatch, shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    act, found = measured(get("gelu")), []
    for scalef in (True, False):
        if not scalef:
            monkeypatch.setattr(unit_statistics, "here", lambda recipe: replace(recipe, scalef=False))
            unit_statistics._code.cache_clear()
        table = Table(z.device)
        columns = table.grown(act, shape[1])
        Adder(act, table, columns, 0, floor=1e-3).add(z, axis=1)
        found.append(table.now)
    unit_statistics._code.cache_clear()
    assert torch.allclose(found[0], found[1], rtol=1e-5, atol=1e-5)


def permuted(shape, order):
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn([shape[at] for at in order], generator=generator)
    return whole.permute([order.index(at) for at in range(len(shape))])


@pytest.mark.parametrize(
    ("z", "axis"),
    [
        (permuted((4, 6, 5, 7), (0, 2, 3, 1)), 1),  # channels last
        (permuted((9, 4, 20), (1, 0, 2)), -1),
        (permuted((9, 40), (1, 0)), -1),
        (torch.randn(20, 60, generator=torch.Generator().manual_seed(0))[:, ::3], -1),
        (torch.ones(7, 1).expand(7, 5), -1),
    ],
)
def test_the_layout_does_not_matter(z, axis, monkeypatch):
    act, tables = measured(get("gelu")), [Table(z.device) for _ in range(2)]
    columns = [table.grown(act, z.shape[axis]) for table in tables]
    Adder(act, tables[1], columns[1], 0, floor=1e-3).add(z.contiguous(), axis=axis)
    monkeypatch.setattr(Adder, "_add_plainly", None)  # nothing that lies on the processor takes the slow way
    Adder(act, tables[0], columns[0], 0, floor=1e-3).add(z, axis=axis)
    assert torch.allclose(tables[0].now, tables[1].now, rtol=1e-5, atol=1e-5)
    assert torch.equal(tables[0].histogram_now, tables[1].histogram_now)


def test_a_kernel_that_is_written_otherwise_is_not_taken_from_the_cache(monkeypatch):
    act = measured(get("relu"))
    recipe = Recipe("single")
    plan = ir.UnitPlan(act.value, act.slope, act.input, "float", recipe, 0.0, across=True, by_row=True)
    texts = [ir.text_of(plan), ir.text_of(replace(plan, floor=0.5))]
    monkeypatch.setattr(ir, "_RUN", 8)  # as a later version might have it
    texts.append(ir.text_of(plan))
    assert len({key_of(text, machine="one") for text in texts}) == 3
