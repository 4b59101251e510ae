"""Small results are read together, as they were before anything overwrites them."""

import pytest
import torch
from torch import nn

from actlab.rules.observed import Observed
from actlab.sites.trace.run import recorded


class Overwrites(nn.Module):
    """Write over a result after it was used, through a view."""

    def forward(self, x):
        h = x * 2
        y = h.log()
        h.view(-1).fill_(7.0)
        return y.nan_to_num() + 1


def observed(model, x):
    found = Observed()
    with torch.no_grad():
        trace = recorded(model, (x,), observe=found, settle=found.settle).trace
    found.settle()
    return trace, found


def test_a_small_result_is_read_before_it_is_overwritten():
    trace, found = observed(Overwrites(), torch.tensor([[-1.0, 0.0, 3.0]]))
    doubled, log = (next(step for step in trace.steps if step.function == name) for name in ("mul", "log"))
    assert found.samples[doubled.outputs[0]].tolist() == [-2.0, 0.0, 6.0]
    assert log.place in found.not_finite
    assert found.faults[log.place].makes_nan
    assert found.not_finite == {log.place}


def test_every_value_of_a_long_loop_has_its_sample():
    class Loop(nn.Module):
        def forward(self, x):
            for at in range(3000):
                x = x + at
            return x

    trace, found = observed(Loop(), torch.zeros(4))
    ends = [found.samples[step.outputs[0]][0].item() for step in trace.steps]
    assert ends == torch.arange(3000).cumsum(0).tolist()


def test_whole_numbers_have_no_sample_though_the_same_line_has_made_others():
    class Mixed(nn.Module):
        def forward(self, x):
            for each in (x, x, x.long(), x):
                y = each + 1
            return y

    trace, found = observed(Mixed(), torch.arange(4.0))
    sums = [step.outputs[0] for step in trace.steps if step.function == "add"]
    assert [number in found.samples for number in sums] == [True, True, False, True]
    assert [number in found.size for number in sums] == [True, True, False, True]


def test_a_large_result_is_read_at_once_though_the_same_line_has_made_small_ones():
    class Grows(nn.Module):
        def forward(self, x):
            for _ in range(4):
                x = torch.cat([x, x])
            return x

    trace, found = observed(Grows(), torch.ones(256))
    assert [len(found.samples[step.outputs[0]]) for step in trace.steps] == [512] * 4
    assert len(found.size) == 1


def test_numbers_whose_sum_overflows_are_finite():
    class Large(nn.Module):
        def forward(self, x):
            return x * 2

    _, found = observed(Large(), torch.full((1000,), 1e38))
    assert not found.not_finite
    _, found = observed(Large(), torch.full((8,), 1e38))
    assert not found.not_finite


def test_a_layer_of_few_numbers_has_the_rows_and_the_size_of_one_of_many():
    layer = nn.Linear(3, 2)
    few, many = torch.randn(4, 3), torch.randn(400, 3)
    for x in (few, many):
        trace, found = observed(nn.Sequential(nn.Identity(), nn.Tanh(), layer), x)
        (linear,) = [step for step in trace.steps if step.function == "linear"]
        read, made = found.few_rows(trace, linear)
        torch.testing.assert_close(read, x[:16].tanh().double())
        torch.testing.assert_close(made, layer(x[:16].tanh()).double())
        assert found.mean_square(linear) == pytest.approx(float(x.tanh().square().mean()))


def test_a_layer_without_rows_has_none():
    trace, found = observed(nn.Conv1d(2, 3, 1), torch.randn(4, 2, 5))
    assert found.few_rows(trace, trace.steps[0]) is None
