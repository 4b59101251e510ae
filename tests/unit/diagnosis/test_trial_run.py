"""The copy that a trial run trains."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from actlab.diagnosis.trial_run import copied_optimizer


def test_the_optimizer_is_copied_with_its_groups_and_its_state():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "lr": 0.5}]
    mine = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    x, y = torch.randn(8, 4), torch.arange(8) % 3
    _step(model, mine, F.cross_entropy, x, y)
    copied = copy.deepcopy(model)
    its = copied_optimizer(mine, model, copied)
    before = copy.deepcopy(model.state_dict())
    _step(copied, its, F.cross_entropy, x, y)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    _step(model, mine, F.cross_entropy, x, y)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in copied.state_dict().items())


def _step(model, optimizer, loss, x, y):
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()


def test_only_this_models_part_of_a_shared_optimizer_is_copied():
    model, other = nn.Linear(4, 3), nn.Linear(2, 2)
    mine = torch.optim.Adam([{"params": other.parameters()}, {"params": [model.weight]}])
    x, y = torch.randn(8, 4), torch.arange(8) % 3
    _step(model, mine, F.cross_entropy, x, y)
    copied = copy.deepcopy(model)
    its = copied_optimizer(mine, model, copied)
    assert [group["params"] for group in its.param_groups] == [[copied.weight]]
    assert torch.equal(its.state[copied.weight]["exp_avg"], mine.state[model.weight]["exp_avg"])
    assert its.state[copied.weight]["exp_avg"] is not mine.state[model.weight]["exp_avg"]


@pytest.mark.parametrize("steps", [0, 5])
def test_an_optimizer_of_another_model_is_named(steps):
    model, batch = nn.Linear(4, 3), (torch.randn(8, 4), torch.arange(8) % 3)
    optimizer = torch.optim.Adam(copy.deepcopy(model).parameters())
    (found,) = check(model, batch, F.cross_entropy, optimizer=optimizer, train_steps=steps).findings
    assert (found.id, found.severity) == ("AL111", "error")
    assert "none of the model's 2" in found.message


def test_gradient_hooks_are_copied_to_the_trial_run():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 3))
    kept = (torch.arange(24) < 8).float()[:, None]
    model[0].weight.data.mul_(kept)
    model[0].weight.register_hook(lambda gradient: gradient * kept)
    batch = (torch.randn(64, 16), torch.arange(64) % 3)
    report = check(model, batch, F.cross_entropy, train_steps=40)
    (found,) = [each for each in report.findings if each.id == "AL110"]
    assert found.evidence["constant_units"] == tuple(range(8, 24))


def test_a_repeated_batch_counts_its_examples_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))
    with torch.no_grad():
        model[0].bias[:4] = -1e3
    batch = (torch.randn(64, 4), torch.arange(64) % 3)
    (dead,) = [each for each in check(model, batch, F.cross_entropy, train_steps=30).findings if each.id == "AL101"]
    assert "all 64 examples" in dead.message


@pytest.mark.parametrize("rate", [0.0, 1e-9, 1e-7])
def test_a_learning_rate_that_moves_nothing_is_the_likely_cause_of_a_plateau(rate):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    batch, optimizer = (torch.randn(64, 8), torch.arange(64) % 4), torch.optim.SGD(model.parameters(), lr=rate)
    findings = check(model, batch, F.cross_entropy, optimizer=optimizer, train_steps=60).findings
    found = {each.id: each for each in findings}
    assert found["AL108"].severity == "warning"
    assert found["AL111"].evidence["likely_cause"] == "AL108"


def test_the_default_optimizer_is_named_in_the_report():
    model, batch = nn.Linear(4, 3), (torch.randn(8, 4), torch.arange(8) % 3)
    note = "No optimizer was given: the copy was trained with Adam at a learning rate of 0.001."
    assert check(model, batch, F.cross_entropy, train_steps=2).lines()[-1] == note
    assert note not in check(model, batch, F.cross_entropy).lines()
    given = check(model, batch, F.cross_entropy, optimizer=torch.optim.Adam(model.parameters()), train_steps=2)
    assert note not in given.lines()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_model_with_a_scripted_part_is_tried_out():
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(4, 8), nn.ReLU())), nn.Linear(8, 3))
    before = [value.detach().clone() for value in model.parameters()]
    batch = torch.randn(16, 4), torch.arange(16) % 3
    report = check(model, batch, F.cross_entropy, optimizer=torch.optim.Adam(model.parameters()), train_steps=3)
    assert report.findings == ()
    assert all(torch.equal(value, old) for value, old in zip(model.parameters(), before, strict=True))
