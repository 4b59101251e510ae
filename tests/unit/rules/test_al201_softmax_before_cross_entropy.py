from __future__ import annotations

import pytest
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F

from actlab.rules.context import Context
from actlab.rules.dataflow import sole
from actlab.rules.observed import Observed
from actlab.rules.registry import batch_findings
from actlab.sites.trace.trace import Step, Trace, Value
from unit.rules.programs import CLASSES, ids, log_sum, mlp, sole_fault

LOSSES = {
    "cross_entropy": F.cross_entropy,
    "reshaped": lambda p, y: F.cross_entropy(p.view(-1, 4), y),
    "log_softmax and gather": lambda p, y: -F.log_softmax(p, 1).gather(1, y[:, None]).mean(),
    "Categorical": lambda p, y: -Categorical(logits=p).log_prob(y).mean(),
    "logsumexp": log_sum,
}


@pytest.mark.parametrize("name", LOSSES)
def test_softmax_before_a_loss_of_logits_is_reported_at_the_softmax(name):
    found = sole_fault("AL201", mlp(4, nn.Softmax(1)), CLASSES, LOSSES[name], path="5")
    assert found.evidence["classes"] == 4
    assert found.evidence["lowest_loss"] == pytest.approx(0.7437, abs=1e-4)  # log(1 + 3/e)
    assert "the loss cannot fall below 0.74" in found.message


def test_softmax_composed_of_operations_in_the_loss_is_reported():
    def loss(z, y):
        e = z.exp()
        return F.cross_entropy(e / e.sum(1, keepdim=True), y)

    sole_fault("AL201", mlp(4), CLASSES, loss, path="")


def step(place, function, inputs, outputs, part="model", **arguments):
    return Step(place, function, function, part, "", "a.py", place + 1, inputs, outputs, arguments)


def values(*shapes):
    return tuple(Value(number, shape, "float32", requires_grad=True) for number, shape in enumerate(shapes))


def test_the_rule_needs_only_a_trace():
    steps = (
        step(0, "softmax", (0,), (1,), dim=1),
        step(1, "view", (1,), (2,)),
        step(2, "cross_entropy", (2, 3), (4,), part="loss"),
    )
    trace = Trace(values((4, 3), (4, 3), (4, 3), (4,), ()), steps, (1,), 4, (), {}, ())
    assert sole(trace, 2).dim == 1
    (found,) = batch_findings(Context(trace, Observed(), nn.Identity()))
    assert (found.id, found.evidence["classes"]) == ("AL201", 3)


def test_steps_that_the_loss_does_not_depend_on_are_ignored():
    steps = (step(0, "softmax", (0,), (1,), dim=1), step(1, "cross_entropy", (1, 2), (3,), part="loss"))
    trace = Trace(values((4, 3), (4, 3), (4,), (), ()), steps, (1,), 4, (), {}, ())
    assert batch_findings(Context(trace, Observed(), nn.Identity())) == []


SOFTMAX = {
    "exponentials twice": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
    "sums with a new axis": lambda z: (e := z.exp()) / e.sum(1)[:, None],
    "without the largest": lambda z: (e := (z - z.amax(1, keepdim=True)).exp()) / e.sum(1, keepdim=True),
    "the exponential of log_softmax": lambda z: F.log_softmax(z, 1).exp(),
    "the exponential of a log-softmax by sums": lambda z: (z - z.exp().sum(1, keepdim=True).log()).exp(),
}


@pytest.mark.parametrize("spelling", SOFTMAX)
def test_a_softmax_written_out_in_the_loss_is_reported(spelling):
    assert ids(mlp(4), CLASSES, lambda z, y: F.cross_entropy(SOFTMAX[spelling](z), y)) == ["AL201"]
    assert ids(mlp(4), CLASSES, lambda z, y: F.nll_loss(SOFTMAX[spelling](z).log(), y)) == []


def test_softmax_before_gumbel_softmax_is_reported_unless_the_temperature_is_low():
    def drawn(*between, tau=1.0):
        return mlp(4, *between, Drawn(tau), nn.Linear(4, 4))

    assert sole_fault("AL201", drawn(nn.Softmax(1)), CLASSES, F.cross_entropy).severity == "warning"
    assert "AL201" not in ids(drawn(nn.Softmax(1), tau=0.1), CLASSES, F.cross_entropy)
    assert "AL201" not in ids(drawn(), CLASSES, F.cross_entropy)


class Drawn(nn.Module):
    def __init__(self, tau):
        super().__init__()
        self.tau = tau

    def forward(self, z):
        return F.gumbel_softmax(z, tau=self.tau)


def test_softmax_over_the_examples_is_a_fault_of_its_axis():
    assert ids(mlp(4, nn.Softmax(0)), CLASSES, F.cross_entropy) == ["AL207"]
    assert ids(mlp(4), CLASSES, lambda z, y: F.cross_entropy(z.softmax(0), y)) == ["AL207"]
    assert ids(mlp(4, nn.Softmax(1)), CLASSES, F.cross_entropy) == ["AL201"]
