"""check: what it is given, what it leaves behind, and what it refuses."""

from __future__ import annotations

import copy
import gc
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from actlab.diagnosis.check import check
from actlab.diagnosis.report import FindingsFound, StoppedEarly
from actlab.diagnosis.watch import watch
from actlab.errors import ActlabError, BadInput

X, Y = torch.randn(16, 4), torch.arange(16) % 3


def network(*end: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3), *end)


def test_the_model_and_the_random_state_are_left_unchanged():
    model = network().eval()
    model[1].train()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    check(model, (X, Y), F.cross_entropy)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model] == [False, True, False, False, False]
    assert torch.equal(torch.get_rng_state(), random)
    assert all(value.grad is None for value in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_softmax_in_evaluation_mode_only_is_not_reported():
    class OnlyThen(nn.Sequential):
        def forward(self, x):
            z = super().forward(x)
            return z if self.training else z.softmax(1)

    assert check(OnlyThen(*network()).eval(), (X, Y), F.cross_entropy).ok


def test_inputs_may_be_keyword_or_positional_and_outputs_a_mapping():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, a, b):
            return {"logits": self.body(a + b), "extra": (a, b)}

    def loss(output, targets):
        return F.cross_entropy(output["logits"].softmax(1), targets)

    for inputs in ((X, X), {"a": X, "b": X}):
        assert [found.id for found in check(Named(), (inputs, Y), loss).findings] == ["AL201"]


def test_a_loader_gives_its_first_batch():
    assert check(network(), DataLoader(TensorDataset(X, Y), 8), F.cross_entropy).ok


def test_without_a_loss_the_construction_is_checked():
    found = check(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), (X, None)).findings
    assert [each.id for each in found] == ["AL301"]


def test_a_compiled_model_is_unwrapped():
    model = torch.compile(network(nn.Softmax(1)), backend="eager")
    assert [found.id for found in check(model, (X, Y), F.cross_entropy).findings] == ["AL201"]


class Raises(nn.Module):
    def forward(self, x):
        raise RuntimeError("no such luck")


@pytest.mark.parametrize(
    ("model", "batch", "loss", "message"),
    [
        ("network", (X, Y), F.cross_entropy, "a torch.nn.Module; got str"),
        (network(), (X[:, :2], Y), F.cross_entropy, "the model raised RuntimeError: mat1 and mat2"),
        (Raises(), (X, Y), F.cross_entropy, "the model raised RuntimeError: no such luck"),
        (network(), (X, Y), lambda z, y: F.cross_entropy(z, y, reduction="none"), "must return a single number"),
        (network().requires_grad_(False), (X, Y), F.cross_entropy, "no parameter requires_grad"),
        (network(), DataLoader(TensorDataset(X[:0], Y[:0]), 8), F.cross_entropy, "the loader is empty"),
        (network(), (X[:0], Y[:0]), F.cross_entropy, "must hold at least one example; got inputs of shape (0, "),
        (network(), (X, Y), "mse", "the loss must be a function of the model's output and the targets; got 'mse'"),
        (network(), X, F.cross_entropy, "the batch must be a pair of inputs and targets; got a"),
        (network(), (X,), F.cross_entropy, "the batch must be a pair of inputs and targets; got a tuple of 1"),
        (network().to("meta"), (X, Y), F.cross_entropy, "the model is on meta and the batch on cpu"),
        (torch.jit.script(network()), (X, Y), F.cross_entropy, "scripted"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(model, batch, loss, message):
    with pytest.raises(BadInput) as caught:
        check(model, batch, loss)
    assert message in str(caught.value)


def test_negative_train_steps_are_refused():
    with pytest.raises(BadInput, match="got -1"):
        check(network(), (X, Y), F.cross_entropy, train_steps=-1)


def test_a_model_that_raises_is_left_unchanged():
    model = nn.Sequential(network().eval(), Raises()).eval()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(BadInput):
        check(model, (X, Y), F.cross_entropy)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_raise_if_found_raises_on_the_named_prefixes():
    report = check(network(nn.Softmax(1)), (X, Y), F.cross_entropy)
    report.raise_if_found("AL3")
    with pytest.raises(FindingsFound, match="AL201") as caught:
        report.raise_if_found("AL2")
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, ActlabError)
    (told,) = report.to_json()["findings"]
    assert set(told) == {"id", "title", "severity", "message", "site", "evidence", "remedies"}
    assert told["site"]["path"] == "5"


def test_raise_if_found_refuses_a_prefix_that_no_finding_has():
    report = check(network(), (X, Y), F.cross_entropy)
    with pytest.raises(BadInput, match="no finding's id begins with 'softmax'"):
        report.raise_if_found("AL2", "softmax")


def test_one_site_is_counted_as_one():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    assert check(model, (torch.randn(8, 4), torch.arange(8) % 3), F.cross_entropy).lines() == [
        "nothing found at 1 site."
    ]


def test_a_trial_run_trains_a_copy_and_reports_its_measurements():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    report = check(model, (X, Y), F.cross_entropy, optimizer=optimizer, train_steps=3)
    assert report.quantities is not None
    assert report.quantities.steps == 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert optimizer.state == {}


def test_ctrl_c_in_a_trial_run_raises_with_the_findings_so_far_and_leaves_the_model():
    def loss(z, y):
        seen.append(1)
        if len(seen) == 40:
            raise KeyboardInterrupt
        return F.cross_entropy(z, y)

    seen, model, told = [], network(nn.Softmax(1)), []
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(StoppedEarly) as caught:
        check(model, (X, Y), loss, train_steps=100, progress=lambda done, steps: told.append((done, steps)))
    report = caught.value.report
    assert isinstance(caught.value, KeyboardInterrupt)
    assert "AL201" in {each.id for each in report.findings}
    assert told == [(done, 100) for done in range(1, 39)]
    assert (report.quantities.steps, report.quantities.measured) == (38, 38)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.overrides.TorchFunctionMode():
        assert len(torch.overrides._get_current_function_mode_stack()) == 1  # none of ours is left


def test_a_failed_trial_run_raises_unless_an_error_explains_it():
    class Tires(nn.Sequential):
        calls = 0

        def forward(self, x):
            Tires.calls += 1
            if Tires.calls > 3:
                raise RuntimeError("tired")
            return super().forward(x)

    with pytest.raises(BadInput, match="the training step raised RuntimeError: tired"):
        check(Tires(*network()), (X, Y), F.cross_entropy, train_steps=5)
    refused = network()
    nn.init.constant_(refused[-1].bias, 5.0)
    report = check(refused, (X, F.one_hot(Y).float()), F.binary_cross_entropy, train_steps=2)
    assert [found.id for found in report.findings] == ["AL204"]


def test_a_model_that_is_watched_is_refused():
    model = network()
    with watch(model), pytest.raises(BadInput, match="is already being watched"):
        check(model, (X, Y), F.cross_entropy)
    assert check(model, (X, Y), F.cross_entropy).ok


def test_a_loss_plateau_is_attributed_to_an_error_of_the_batch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 3), nn.Softmax(1))
    batch = (torch.randn(64, 4), torch.randint(3, (64,)))
    found = {each.id: each for each in check(model, batch, F.cross_entropy, train_steps=30).findings}
    assert found["AL111"].evidence["likely_cause"] == "AL201"
    assert found["AL111"].remedies == found["AL201"].remedies


class Logs(nn.Module):
    """Takes a logarithm of what a rectifier gave; a mask of -inf before its softmax is none of its faults."""

    def __init__(self, floor):
        super().__init__()
        self.first, self.last, self.floor = nn.Linear(4, 8), nn.Linear(8, 3), floor

    def forward(self, x):
        scores = self.first(x).masked_fill(torch.arange(8) > 5, -torch.inf)
        h = torch.relu(self.first(x) * torch.softmax(scores, 1))
        return self.last((h + self.floor).log())


@pytest.mark.parametrize("steps", [0, 12])
def test_a_loss_that_is_not_finite_on_the_batch_is_reported_where_it_arises(steps):
    torch.manual_seed(0)
    found = [each for each in check(Logs(0.0), (X, Y), F.cross_entropy, train_steps=steps).findings
             if each.id == "AL107"]  # fmt: skip
    assert [(each.severity, each.site.spelling) for each in found] == [("error", "x.log()")]  # no activation gets it
    assert not [each for each in check(Logs(1e-3), (X, Y), F.cross_entropy).findings if each.id == "AL107"]


def test_nan_in_the_batch_is_named_as_the_cause():
    broken = X.clone()
    broken[3, 1] = torch.nan
    (found,) = [each for each in check(network(), (broken, Y), F.cross_entropy).findings if each.id == "AL107"]
    assert "the batch or the weights already contain NaN or infinity" in found.message
    assert found.site is None


def test_only_the_call_that_makes_nan_is_reported():
    class Rooted(Logs):
        def forward(self, x):
            return self.last(torch.tanh(self.first(x).abs().neg().sqrt()))

    torch.manual_seed(0)
    found = check(Rooted(0.0), (X, Y), F.cross_entropy, train_steps=12).findings
    assert [each.site.spelling for each in found if each.id == "AL107"] == ["x.sqrt()"]


def test_a_check_leaves_nothing_for_the_garbage_collector():
    model, batch = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), (torch.randn(8, 4), torch.arange(8) % 3)
    check(model, batch, F.cross_entropy)  # formulas are recognized once
    left = []
    for _ in range(3):  # other threads of the test process may leave something of their own
        gc.collect()
        check(model, batch, F.cross_entropy)
        left.append(gc.collect())
    assert min(left) == 0, left


class Recurrent(nn.Module):
    """A recurrent network that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Linear(8, 12), nn.Linear(4, 3)

    def forward(self, x):
        state = memory = x.new_zeros(len(x), 4)
        for each in x.unbind(1):
            forget, new, out = self.gates(torch.cat([each, state], 1)).chunk(3, 1)
            memory = torch.sigmoid(forget) * memory + torch.tanh(new)
            state = torch.sigmoid(out) * torch.tanh(memory)
        return self.head(state)


def test_a_check_grows_no_faster_than_the_calls_of_a_loop_and_analyzes_a_repeated_call_once():
    model = Recurrent()

    def calls(length):
        """Count the Python functions that a check runs: unlike its time, they are the same every time."""
        batch, count = (torch.randn(4, length, 4), torch.arange(4) % 3), 0

        def called(frame, event, argument):
            nonlocal count
            count += event == "call"

        sys.setprofile(called)
        try:
            check(model, batch, F.cross_entropy)
        finally:
            sys.setprofile(None)
        return count

    calls(10)  # formulas are recognized once
    short, middle, long = map(calls, (40, 80, 160))
    assert long - middle <= 2.1 * (middle - short)
    assert (long - middle) / (80 * 10) < MOST_CALLS


MOST_CALLS = 70
"""Functions that a check runs for each call of PyTorch; there were twice as many when each call was analyzed anew."""


def test_a_loss_that_refuses_its_inputs_is_replaced_and_recorded():
    model = nn.Linear(4, 1)
    with torch.no_grad():
        model.bias.fill_(9.0)
    x, y = torch.rand(8, 4), torch.ones(8, 1)
    assert [found.id for found in check(model, (x, y), F.binary_cross_entropy).findings] == ["AL204"]

    def negative_variance(output, target):
        return F.gaussian_nll_loss(output, target, var=-output.abs())

    assert check(model, (x, y), negative_variance).raised is None
