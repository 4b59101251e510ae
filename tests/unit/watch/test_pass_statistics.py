"""Machine code and PyTorch's own operations measure the same."""

from __future__ import annotations

import pytest
import torch

from actlab.catalog.index import get
from actlab.kernels.unit_fields import BORDERS, Field
from actlab.watch.measured import measured
from actlab.watch.pass_statistics import add_pass
from actlab.watch.plain_statistics import add_histogram, add_statistics
from actlab.watch.table import Table

COUNTED = [Field.POSITIONS, Field.NON_FINITE, Field.Y_ZEROS]


@pytest.mark.parametrize("shape", [(37, 21), (5, 3, 40), (4, 6, 5, 7), (3,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["relu", "gelu", "sigmoid", "tanh", "mish", "elu"])
def test_both_ways_measure_the_same(name, dtype, shape):
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
        add_pass(act, z, one, columns, 1, axis=axis, floor=1e-3 * act.bound)
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
    add_pass(measured(get("relu")), z[:, None], table, columns, 0, axis=-1, floor=0.0)
    bins = torch.bucketize(z.double(), torch.tensor(BORDERS, dtype=torch.float64), right=True)
    difference = torch.bincount(bins, minlength=64) - table.histogram_now[0]
    assert difference.abs().sum() <= 4


def test_in_sixteen_bits_a_sigmoid_that_rounds_to_one_does_not_fire():
    act = measured(get("sigmoid"))
    for dtype, fires in ((torch.bfloat16, False), (torch.float32, True)):
        table = Table(torch.device("cpu"))
        columns = table.grown(act, 1)
        add_pass(act, torch.full((8, 1), 6.5, dtype=dtype), table, columns, 0, axis=-1, floor=1e-3 * act.bound)
        assert bool(table.now[Field.FIRED, 0] > 0) is fires
