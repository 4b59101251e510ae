"""Each remedy removes the fault that it is for, or says why it does nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.report import Report
from actlab.remedy.change import Change, Refusal
from actlab.remedy.choices import leaky, rectifier, self_normalizing, smooth
from actlab.remedy.facts import Facts
from actlab.remedy.outcome import alarms
from actlab.remedy.programs import training_of_model
from actlab.remedy.registry import proposals, remedies
from actlab.remedy.reload import line_map
from actlab.remedy.remedies.clip_gradients import norms_of
from actlab.remedy.remedies.revive_units import Revive
from actlab.remedy.symptoms import symptoms
from actlab.remedy.training import diagnose
from actlab.rules.registry import kinds
from actlab.rules.remedies import REMEDIES

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(240, 6, generator=DRAW)
CLASSES = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
BITS = (X[:, :1] > 0).float()
NUMBERS = 3 * X[:, :1] + 10


def net(*layers, seed=0, out=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), *layers, nn.Linear(16, out))


def dead():
    found = net(nn.ReLU())
    nn.init.constant_(found[0].bias, -20.0)
    return found


def shared():
    act = nn.PReLU()
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), act, nn.Linear(16, 16), act, nn.Linear(16, 3))


def plain(model, targets, loss, **optimizer):
    own = torch.optim.AdamW(model.parameters(), **optimizer) if optimizer else None
    return training_of_model(model, [(X, targets)], loss=loss, optimizer=own, epochs=4)


FAULTS = {
    "remove-output-activation": (
        lambda: plain(net(nn.ReLU()).append(nn.Softmax(1)), CLASSES, F.cross_entropy),
        "AL201",
    ),
    "other-loss": (lambda: plain(net(nn.ReLU()), CLASSES, F.nll_loss), "AL205"),
    "softmax-axis": (lambda: plain(net(nn.ReLU()).append(nn.LogSoftmax(0)), CLASSES, F.nll_loss), "AL207"),
    "add-activation": (lambda: plain(net(nn.Linear(16, 16), nn.ReLU()), CLASSES, F.cross_entropy), "AL301"),
    "hidden-activation": (lambda: plain(net(nn.Softmax(1)), CLASSES, F.cross_entropy), "AL302"),
    "no-decay": (lambda: plain(net(nn.PReLU()), CLASSES, F.cross_entropy, lr=1e-3, weight_decay=0.1), "AL307"),
    "one-each": (lambda: plain(shared(), CLASSES, F.cross_entropy), "AL306"),
    "initialize": (lambda: plain(dead(), CLASSES, F.cross_entropy), "AL101"),
    "self-normalizing": (lambda: plain(dead(), CLASSES, F.cross_entropy), "AL101"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_remedy_removes_the_finding(name):
    make, kind = FAULTS[name]
    start = make()
    report = diagnose(start, steps=30)
    found = tuple(each for each in report.findings if each.id == kind)
    assert found, [each.id for each in report.findings]
    changes, _ = proposals(found, Facts(start, report))
    mine = [each for each in changes if each.remedy == name]
    assert mine
    after = diagnose(mine[0].apply(start), steps=30)
    assert after.raised is None
    assert kind not in {each.id for each in alarms(after)}
    assert not mine[0].edits  # a model in memory has no text


@pytest.mark.parametrize("remedy", remedies(), ids=lambda each: each.id)
def test_a_remedy_answers_something_known_and_proposes_or_refuses(remedy):
    assert all(name in REMEDIES or name in kinds() for name in remedy.answers)
    start = plain(net(nn.ReLU()), CLASSES, F.cross_entropy)
    report = diagnose(start, steps=2)
    for each in remedy.propose((), Facts(start, report)):
        assert isinstance(each, Change | Refusal)
        if isinstance(each, Change):
            assert each.label
            assert each.edits or each.lines
            assert each.apply is None or each.apply(start).build(0)(X[:4]).shape[0] == 4


def test_choices_follow_from_the_formulas():
    for name in leaky():
        act = getattr(F, name)
        z = torch.linspace(-50, 50, 101, requires_grad=True)
        (slope,) = torch.autograd.grad(act(z).sum(), z)
        assert bool((slope > 0).all())
    for name in self_normalizing():
        z = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0))
        values = getattr(F, name)(z)
        assert abs(float(values.mean())) < 0.01
        assert abs(float(values.var()) - 1) < 0.01
    assert rectifier() not in smooth()


def hidden(model):
    with torch.no_grad():
        return model[1](model[0](X))


def test_dead_units_come_back_with_their_moments_at_zero():
    start = plain(dead(), CLASSES, F.cross_entropy)
    report = diagnose(start, steps=30)
    changes, _ = proposals(tuple(each for each in report.findings if each.id == "AL101"), Facts(start, report))
    changed = next(each for each in changes if each.remedy == "revive-units").apply(start)
    model = changed.build(0)
    optimizer = changed.optimizer_of(model)
    batch = (X[:64], CLASSES[:64])
    for number in range(1, 25):
        changed.step(model, optimizer, batch, number)
    assert bool((hidden(model) == 0).all())
    (revive,) = changed.after_step
    assert isinstance(revive, Revive)
    optimizer.state[model[0].weight]["exp_avg"].fill_(1.0)
    revive(model, optimizer, 25)
    assert float(optimizer.state[model[0].weight]["exp_avg"].abs().max()) == 0.0
    assert float(model[2].weight.detach().abs().max()) == 0.0
    assert float((hidden(model) > 0).float().mean()) > 0.2


def test_clipping_takes_a_quantile_of_the_norms():
    start = plain(net(nn.ReLU()), CLASSES, F.cross_entropy)
    norms = norms_of(start)
    model = start.build(0)
    F.cross_entropy(model(start.task.train.inputs), start.task.train.targets).backward()
    assert len(norms) == 40
    assert norms[0] == pytest.approx(
        float(torch.cat([each.grad.flatten() for each in model.parameters()]).norm()), rel=0.3
    )


def alike():
    found = net(nn.ReLU())
    nn.init.constant_(found[0].weight, 0.1)
    return found


def large():
    found = net(nn.ReLU())
    for layer in (found[0], found[2]):
        nn.init.normal_(layer.weight, std=10.0)
    return found


@pytest.mark.parametrize(
    ("make", "rate", "ids"),
    [
        (alike, 1e-2, ["RE01"]),
        (large, 1e-3, ["RE02", "RE03"]),
        (lambda: net(nn.ReLU()), 1e-5, ["RE03"]),
        (lambda: net(nn.ReLU()), 1e-2, []),
    ],
)
def test_short_trials_show_what_a_check_does_not(make, rate, ids):
    start = plain(make(), CLASSES, F.cross_entropy, lr=rate)
    assert [each.id for each in symptoms(start)] == ids


def test_lines_of_a_patched_text_lead_back():
    old = "a\nb\nc\nd\n"
    assert line_map(old, "x\na\nb\nD\nd\n") == {2: 1, 3: 2, 5: 4}


def test_targets_and_inputs_are_scaled_and_the_metric_keeps_its_unit():
    start = plain(net(nn.ReLU(), out=1), 100 * NUMBERS, F.mse_loss)
    remedy = next(each for each in remedies() if each.id == "scale-data")
    from actlab.rules.finding import Finding

    asked = Finding("AL208", "error", "", None, {}, ("scale-targets",))
    (change,) = remedy.propose((asked,), Facts(start, Report(())))
    changed = change.apply(start).task
    assert float(changed.train.targets.min()) == 0.0
    zero = torch.zeros_like(start.task.valid.targets)
    low = start.task.train.targets.min()
    assert changed.score(zero, changed.valid) == pytest.approx(start.task.score(zero + low, start.task.valid), rel=1e-5)
    assert BITS.shape == (240, 1)
