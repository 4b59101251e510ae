from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.errors import BadInput
from actlab.sites.listening import listening
from actlab.sites.recognize.traced import traced
from actlab.sites.trace.calls import name_of, spelling_of
from unit.sites.small import Between, left, rows


def test_dataflow_leads_from_the_loss_to_the_input():
    model, x = Between(F.relu), rows()
    found = traced(model, (x,), loss=nn.CrossEntropyLoss(), targets=torch.zeros(4, dtype=torch.long))
    trace = found.trace
    last = trace.maker(trace.loss)
    assert (last.function, last.part) == ("cross_entropy", "loss")
    assert trace.outputs[0] in last.inputs
    names = []
    step = trace.maker(trace.outputs[0])
    while step is not None:
        names.append(step.function)
        step, value = trace.maker(step.inputs[0]), step.inputs[0]
    assert (names, trace.values[value].origin) == (["linear", "relu", "linear"], "input 0")
    assert torch.equal(found.output, model(x))
    assert {value.origin for value in trace.values} >= {"input 0", "target", "parameter first.weight"}


def test_an_observer_gets_the_inputs_before_an_in_place_call():
    seen = {}

    def observe(step, inputs, outputs, repeated):
        seen[step.function] = [each.detach().clone() for each in (inputs[0], outputs[0])]

    model, x = Between(lambda x: x.relu_()), rows()
    traced(model, (x,), observe=observe)
    torch.testing.assert_close(seen["relu"][0], model.first(x).detach())
    torch.testing.assert_close(seen["relu"][1], F.relu(seen["relu"][0]))


def test_a_recorded_pass_can_be_differentiated():
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()).eval()
    traced(model, (rows(),), loss=lambda y, _: y.sum(), targets=0).loss.backward()
    assert model[0].weight.grad is not None


class Drawing(nn.Module):
    """Draw random numbers from every stream, and replace a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen = self.seen + 1
        return x * torch.rand(()) * random.random() * np.random.rand()


def test_random_state_and_buffers_are_restored():
    model = Drawing()
    buffer, streams = model.seen, (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    traced(model, (rows(),))
    assert model.seen is buffer
    assert float(buffer) == 0
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == streams[1:]
    assert left(model) == []


@pytest.mark.parametrize("loss", [lambda y, t: y, lambda y, t: 1.0], ids=["many numbers", "no tensor"])
def test_a_loss_must_be_a_single_number(loss):
    with pytest.raises(BadInput, match="the loss must return a single number"):
        traced(Between(F.relu), (rows(),), loss=loss, targets=0)


def test_an_error_of_the_loss_is_reported():
    with pytest.raises(BadInput, match="the loss raised"):
        traced(Between(F.relu), (rows(),), loss=nn.CrossEntropyLoss(), targets=torch.zeros(3, dtype=torch.long))


def test_functions_with_one_implementation_have_different_names():
    assert torch.mm == torch.dsmm  # so whoever keeps an answer for the one gives it for the other
    assert [name_of(function) for function in (torch.dsmm, torch.mm)] == ["dsmm", "mm"]
    assert [spelling_of(function) for function in (torch.dsmm, torch.mm)] == ["torch.dsmm", "torch.mm"]


def lazy():
    return nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(2))


def test_lazy_modules_take_their_shapes_and_nothing_else_changes():
    model = lazy()
    trace = traced(model, (rows(),)).trace
    assert [(site.activation, site.path) for site in trace.sites] == [("relu", "2")]
    assert model.training
    assert model[1].num_batches_tracked == 0


def test_the_first_pass_of_a_lazy_model_is_not_recorded():
    class Heard:
        passes = 0

        def wants(self, forward):
            return True

        def before(self, site, z):
            pass

        def after(self, site, y):
            pass

        def traced(self, trace):
            self.passes += 1

    model, heard = lazy(), Heard()
    with listening(model, heard):
        model(rows())
        assert heard.passes == 0
        model(rows())
    assert heard.passes == 1
