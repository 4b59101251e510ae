"""Units that never vary though training moves them, steps that overwrite, and a dead branch beside what learns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from actlab.rules.running.al101_dead_units import severity_of
from actlab.telemetry.loss_trend import progress, was_at_rest
from actlab.telemetry.quantities import Point
from actlab.telemetry.settings import Settings


def clouds(steps, *, width=12, size=32):
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(5, width, generator=generator)
    classes = [torch.randint(0, 5, (size,), generator=generator) for _ in range(steps)]
    return [(centres[each] + 0.4 * torch.randn(size, width, generator=generator), each) for each in classes]


def ran(model, rate, *, steps=40, data=None):
    torch.manual_seed(1)
    data = data or clouds(steps)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    return check(model, data[0], F.cross_entropy, optimizer=optimizer, train_steps=steps, data=data)


def findings(report, id):
    return [each for each in report.findings if each.id == id]


class Blind(nn.Module):
    """One half of the hidden units reads a feature that is the same everywhere, or drawn once a batch."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.see, self.blind, self.head = kind, nn.Linear(12, 16), nn.Linear(12, 16), nn.Linear(32, 5)

    def forward(self, x):
        other = {"same": torch.ones_like(x), "drawn": torch.randn(1, 12).expand_as(x), "own": x}[self.kind]
        return self.head(torch.cat([torch.tanh(self.see(x)), F.gelu(self.blind(other))], 1))


@pytest.mark.parametrize("rate", [1e-4, 1e-3])
@pytest.mark.parametrize(("kind", "constant"), [("same", 16), ("drawn", 0), ("own", 0)])
def test_what_only_training_moves_never_varies(kind, constant, rate):
    torch.manual_seed(0)
    found = findings(ran(Blind(kind), rate), "AL110")
    assert sum(each.evidence["constant"] for each in found) == constant


def test_a_single_example_a_step_says_nothing_of_how_examples_differ():
    torch.manual_seed(0)
    report = ran(nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 5)), 1e-3, data=clouds(60, size=1), steps=60)
    assert findings(report, "AL110") == []
    assert report.quantities.sites[0].recent.within.isnan().all()


@pytest.mark.parametrize(("rate", "thrown"), [(1e-3, False), (1e-2, False), (2.0, True), (8.0, True)])
@pytest.mark.parametrize("act", [nn.GELU, nn.ELU])
def test_early_steps_that_overwrite_the_weights_are_reported(act, rate, thrown):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(12, 40), act(), nn.Linear(40, 40), act(), nn.Linear(40, 5))
    found = [each for each in findings(ran(model, rate), "AL109") if each.severity == "warning"]
    assert len(found) == thrown


@pytest.mark.parametrize("size", [0.0, 1e-3])
def test_weights_that_begin_near_zero_are_overwritten_and_it_does_no_harm(size):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 5))
    for layer in (model[2],) if size == 0 else (model[0], model[2]):
        nn.init.normal_(layer.weight, 0, size)
    assert findings(ran(model, 1e-2), "AL109") == []


class Gated(nn.Module):
    def __init__(self, *, is_beside):
        super().__init__()
        self.body, self.dead, self.head = nn.Linear(12, 16), nn.Linear(12, 16), nn.Linear(16, 5)
        nn.init.constant_(self.dead.bias, -50)
        self.is_beside = is_beside

    def forward(self, x):
        dead = self.dead(x).relu()
        return self.head(torch.tanh(self.body(x)) + dead if self.is_beside else dead)


@pytest.mark.parametrize(("is_beside", "severity"), [(True, "warning"), (False, "error")])
def test_a_dead_branch_beside_a_learning_path_is_a_warning(is_beside, severity):
    torch.manual_seed(0)
    (found,) = findings(ran(Gated(is_beside=is_beside), 1e-2, steps=120), "AL101")
    assert found.severity == severity
    assert found.evidence["dead"] == 16


@pytest.mark.parametrize("step", [0, 9])
def test_a_loss_that_is_nan_early_blames_no_activation(step):
    torch.manual_seed(0)
    calls = iter(range(100))

    def loss(z, y):
        return F.cross_entropy(z, y) * (torch.nan if next(calls) == step + 1 else 1)  # one more of the pass before

    model = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 5))
    data = clouds(10)
    (found,) = findings(check(model, data[0], loss, train_steps=10, data=data), "AL107")
    assert f"first at step {step}" in found.message
    assert "all activations measured before were finite" in found.message


class Squeezed(nn.Module):
    """A gate of which the squeeze is dead, beside a main path; or the squeeze alone."""

    def __init__(self, *, is_gate):
        super().__init__()
        self.body, self.squeeze, self.head, self.is_gate = (
            nn.Linear(12, 16),
            nn.Linear(16, 16),
            nn.Linear(16, 5),
            is_gate,
        )
        nn.init.constant_(self.squeeze.bias, -50)

    def forward(self, x):
        h = self.body(x).tanh()
        dead = self.squeeze(h).relu()
        return self.head(h * (1 + dead) if self.is_gate else dead)


@pytest.mark.parametrize(("is_gate", "severity"), [(True, "warning"), (False, "error")])
def test_a_dead_gate_is_no_error_while_the_loss_has_only_begun_to_fall(is_gate, severity):
    torch.manual_seed(0)
    (found,) = findings(ran(Squeezed(is_gate=is_gate), 1e-3, steps=40), "AL101")
    assert found.severity == severity


class Codes(nn.Module):
    """A variational autoencoder."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
        self.leave = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 20))

    def forward(self, x):
        mean, log_variance = self.enter(x).chunk(2, 1)
        return self.leave(mean + torch.exp(log_variance / 2) * torch.randn_like(mean)), mean, log_variance


def bound(output, x):
    mean, log_variance = output[1:]
    return F.mse_loss(output[0], x) - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()


@pytest.mark.parametrize("seed", [1, 2])
def test_units_that_die_of_having_nothing_to_learn_are_no_fault(seed):
    torch.manual_seed(seed)
    model = Codes()
    data = [(x, x) for x in torch.randn(600, 64, 20)]
    report = check(model, data[0], bound, optimizer=torch.optim.Adam(model.parameters(), 1e-2), train_steps=600,
                   data=data)  # fmt: skip
    dead = findings(report, "AL101")
    assert max(each.evidence["dead_share"] for each in dead) > 0.9  # it is a case of what is asked
    assert report.ok, report.lines()


def narrow(live, *, rate, steps=60):
    """A network that could learn, of which one layer has so few units alive."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    nn.init.constant_(model[2].bias[live:], -1e3)
    (found,) = [each for each in findings(ran(model, rate, steps=steps), "AL101") if each.site.path == "3"]
    return found


@pytest.mark.parametrize(("live", "severity"), [(2, "warning"), (16, "information"), (40, "information")])
def test_a_layer_of_which_enough_is_alive_is_not_what_holds_a_loss(live, severity):
    found = narrow(live, rate=1e-6)
    assert found.severity == severity
    assert found.evidence["dead"] >= 64 - live


NOISE = torch.randn(60, generator=torch.Generator().manual_seed(1)).abs().tolist()
FLAT, FALLING = [2.0 + 0.01 * (step % 3) for step in range(60)], [2.0 - 0.01 * step for step in range(60)]


@pytest.mark.parametrize(
    ("before", "after", "rested"),
    [
        (FLAT, FLAT, True),
        (FALLING, [1.4] * 20, False),  # it fell until then, and no more: that may well be why
        ([*FALLING, *[1.4] * 60], [1.4] * 20, True),
        (FLAT, [2.5] * 20, False),  # it rose then
        (FLAT[:20], FLAT, False),  # too few to say
        (NOISE, NOISE, False),  # one cannot say
        (FLAT, [], False),
        (FLAT, [2.0, 2.0, float("nan"), 2.0], False),
    ],
)
def test_whether_a_loss_was_at_rest_before_a_step(before, after, rested):
    losses = list(enumerate([*before, *after]))
    assert was_at_rest(losses, len(before), Settings(), fewest=30) is rested


def dying(first, last):
    """A site at which so large a share of the units was dead at first, and in the end."""
    shares = [first + (last - first) * step / 29 for step in range(30)]
    return SimpleNamespace(points=[Point(step, share, 0.0, share, 0.0, 1.0, 1e-3) for step, share in enumerate(shares)])


RISING = [2.0 + 0.02 * step for step in range(60)]


@pytest.mark.parametrize(
    ("first", "last", "losses", "severity"),
    [
        (0.1, 0.7, RISING, "warning"),
        (0.1, 0.7, FLAT, "information"),  # seven tenths, and three that learn
        (0.7, 0.7, RISING, "information"),  # they do not die of it
        (0.1, 0.4, RISING, "information"),
        (0.1, 0.95, FLAT, "warning"),
    ],
)
def test_units_that_die_as_the_loss_rises_are_a_fault(first, last, losses, severity):
    course = progress(list(enumerate(losses)), Settings())
    assert severity_of(dying(first, last), last, course, Settings(), growth=0.1) == severity
