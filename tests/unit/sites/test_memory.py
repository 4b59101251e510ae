"""A write through a view of a tensor changes the tensor."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.sites.find import sites
from actlab.sites.recognize.traced import traced
from actlab.sites.swap.swap import swap
from actlab.sites.trace.aliasing import Memory
from unit.sites.small import Between, rows


def columns(x):
    x[:, :3].relu_()
    return x


def flat(x):
    x.view(-1).relu_()
    return x


def through_a_module(x):
    nn.ReLU(inplace=True)(x.view(2, -1))
    return x


def turned(x):
    F.relu(x.t(), inplace=True)
    return x


def a_view_made_before(x):
    y = x.view(-1)
    x.relu_()
    return y.view(x.shape)


def of_the_data(x):
    x.data.relu_()
    return x


WHOLE = [flat, through_a_module, turned, a_view_made_before, of_the_data]


def upstream(model, x):
    """Return the names of all steps on which the output depends."""
    trace = traced(model, (x,)).trace
    waiting, names, seen = [trace.outputs[0]], [], set()
    while waiting:
        step = trace.maker(waiting.pop())
        if step is not None and step.place not in seen:
            seen.add(step.place)
            names.append(step.function)
            waiting += step.inputs
    return names


@pytest.mark.parametrize("write", [columns, *WHOLE], ids=lambda each: each.__name__)
def test_dataflow_passes_through_a_write_into_a_view(write):
    names = upstream(Between(write), rows())
    assert "relu" in names
    assert names.count("linear") == 2


@pytest.mark.parametrize("write", WHOLE, ids=lambda each: each.__name__)
def test_a_value_that_was_overwritten_is_not_read(write):
    trace = traced(Between(write), (rows(),)).trace
    (linear, last) = (step for step in trace.steps if step.function == "linear")
    assert linear.outputs[0] not in last.inputs
    readers = [reader.function for reader in trace.readers(linear.outputs[0])]
    assert "alias" not in readers


@pytest.mark.parametrize("write", [columns, *WHOLE], ids=lambda each: each.__name__)
def test_a_call_on_a_view_is_swapped_where_it_writes(write):
    model, x = Between(write).requires_grad_(False), rows()
    (site,) = sites(model, x)
    before, z = model(x), model.first(x)
    with swap(model, {site: "gelu"}):
        want = torch.cat([F.gelu(z[:, :3]), z[:, 3:]], 1) if write is columns else F.gelu(z)
        torch.testing.assert_close(model(x), model.second(want), rtol=1e-5, atol=1e-6)
    assert torch.equal(model(x), before)


def halves(x):
    one, other = x.chunk(2, -1)
    one.sigmoid_()
    other.tanh_()
    return x


def test_halves_of_one_tensor_are_kept_apart():
    with torch.no_grad():  # autograd refuses to write into one of several views
        found = sites(Between(halves), rows())
        trace = traced(Between(halves), (rows(),)).trace
    assert [(site.activation, site.shape) for site in found] == [("sigmoid", (4, 3)), ("tanh", (4, 3))]
    sources = [trace.maker(trace.source(step)).function for step in trace.steps if step.place in trace.site_of]
    assert sources == ["chunk", "chunk"]
    whole = next(step for step in trace.steps if step.function == "alias")
    assert [trace.maker(value).function for value in whole.inputs] == ["sigmoid", "tanh"]


def test_an_error_of_autograd_is_raised_only_with_autograd():
    from actlab.errors import BadInput

    with pytest.raises(BadInput, match="modified inplace"):
        sites(Between(halves), rows())


def test_only_overlapping_writes_count_and_the_last_one_wins():
    memory, base = Memory(), torch.zeros(4, 6)
    memory.see(0)
    memory.write(1, base[:, ::2])
    assert memory.changed(0, base) == ((1,), False)
    assert memory.changed(0, base[:, 1::2]) == ((), False)
    assert memory.changed(0, base[:, 2]) == ((1,), True)
    memory.write(2, base[0])
    assert memory.changed(0, base) == ((1, 2), False)
    memory.write(3, base)
    assert memory.changed(0, base) == ((3,), True)
    assert memory.changed(3, base) == ((), False)
    assert memory.changed(0, torch.zeros(4, 6)) == ((), False)


def test_a_sparse_tensor_is_accepted():
    memory = Memory()
    sparse, dense, nowhere = torch.eye(3).to_sparse(), torch.zeros(2), torch.zeros(3, device="meta")
    memory.see(0)
    memory.write(1, sparse)
    memory.write(1, dense)
    assert memory.changed(0, sparse) == ((), False)
    assert memory.changed(0, nowhere) == ((), False)
