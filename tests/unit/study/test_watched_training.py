"""A training whose every step is looked at, and whose activations can be replaced meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import optimizer as optimizers

from actlab.errors import BadFormula, BadInput
from actlab.study.watched_training import WatchedTraining
from actlab.train.subject import Subject


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.act = nn.Linear(4, 16), nn.Linear(16, 16), nn.Tanh()
        self.last = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.act(self.second(F.relu(self.first(x)))))


OPENED: list[WatchedTraining] = []


def begun(of: Subject) -> WatchedTraining:
    """A training that ends with the test."""
    training = WatchedTraining(of)
    OPENED.append(training)
    return training


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """At the end of a test no training has left a hook behind."""
    before = len(optimizers._global_optimizer_post_hooks)
    yield
    while OPENED:
        OPENED.pop().close()
    assert len(optimizers._global_optimizer_post_hooks) == before


def subject(*, loss=F.cross_entropy, rate: float = 0.1) -> Subject:
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    return Subject("net", model, torch.randn(32, 4), torch.arange(32) % 3, loss, optimizer)


def plain_losses(of: Subject, *, steps: int) -> list[float]:
    model = copy.deepcopy(of.model)
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(of.inputs), of.targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_it_trains_as_a_plain_loop_does_and_leaves_the_subject_alone():
    given = subject()
    before = copy.deepcopy(given.model.state_dict())
    training = begun(given)
    assert [training.step() for _ in range(5)] == plain_losses(given, steps=5)
    assert all(torch.equal(value, before[name]) for name, value in given.model.state_dict().items())
    assert not given.model._forward_hooks


def test_the_first_look_is_there_before_any_step_and_equals_that_of_the_first_step():
    training = begun(subject())
    (first,) = training.history.steps()
    training.step()
    (again,) = training.history.steps()
    assert first.step == again.step == 0
    assert [look.gradient.counts for look in first.looks] == [look.gradient.counts for look in again.looks]
    assert first.loss == again.loss


def test_a_swap_is_real_and_can_be_undone():
    given = subject()
    training = begun(given)
    training.step()
    training.swap(0, "x*sigmoid(1.7*x)")
    assert [site.activation for site in training.now.sites][1] == "tanh"
    assert training.history.at(None).looks[0].y.low < 0  # a relu gives nothing below 0
    swapped = training.step()
    training.undo(0)
    assert training.choices == {}
    assert training.now.sites[0].activation == "relu"
    assert training.history.at(None).looks[0].y.low == 0
    assert training.history.at(None).step == 2
    assert swapped != pytest.approx(plain_losses(given, steps=2)[1], rel=1e-9)


def test_parameters_of_a_replacement_are_trained():
    training = begun(subject())
    training.swap(1, "prelu")
    values = [value.clone() for name, value in training._model.named_parameters() if "act" in name]
    training.step()
    after = [value for name, value in training._model.named_parameters() if "act" in name]
    assert values
    assert all(not torch.equal(one, other) for one, other in zip(values, after, strict=True))


@pytest.mark.parametrize(
    ("at", "choice", "error", "text"),
    [
        (0, "softmax", BadInput, "acts along an axis"),
        (0, "tanh(", BadFormula, "ends too early"),
        (7, "gelu", BadInput, "from 0 to 1"),
    ],
)
def test_a_swap_that_cannot_be_made_changes_nothing(at, choice, error, text):
    training = begun(subject())
    training.swap(1, "gelu")
    with pytest.raises(error, match=text):
        training.swap(at, choice)
    assert training.choices == {1: "gelu"}
    assert [site.activation for site in training.now.sites] == ["relu", "gelu"]
    training.step()


def test_a_restart_returns_to_the_initial_weights_and_keeps_the_choices():
    training = begun(subject())
    training.swap(0, "gelu")
    training.rate = 0.05
    first = [training.step() for _ in range(3)]
    training.restart()
    assert (training.steps, training.rate, training.choices) == (0, 0.05, {0: "gelu"})
    assert [training.step() for _ in range(3)] == first


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), "0.1"])
def test_a_rate_must_be_a_positive_number(rate):
    with pytest.raises(BadInput, match="learning rate"):
        begun(subject()).rate = rate


def test_another_rate_holds_from_the_next_step():
    training = begun(subject(rate=0.1))
    training.rate = 0.5
    assert training.rate == 0.5
    training.step()
    assert training.step() != plain_losses(subject(), steps=2)[1]


def test_a_divergence_is_a_loss_that_is_not_finite():
    training = begun(subject())
    training.rate = 1e6
    losses = [training.step() for _ in range(40)]
    assert max(losses) > 1e3 or any(loss != loss for loss in losses)
    training.restart()
    assert training.steps == 0


def test_without_a_loss_it_shows_the_forward_pass_and_says_why_it_cannot_train():
    training = begun(subject(loss=None))
    look = training.history.at(None).looks[0]
    assert look.z is not None
    assert look.gradient is None
    with pytest.raises(BadInput, match="training requires a loss"):
        training.step()


def test_an_error_in_the_users_code_names_its_line():
    is_over = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if is_over:
            raise RuntimeError("the data ran out")
        return F.cross_entropy(output, target)

    training = begun(subject(loss=loss))
    training.step()
    is_over.append(True)
    with pytest.raises(BadInput, match=r"the data ran out \(test_watched_training.py, line"):
        training.step()


def test_findings_of_the_batch_and_of_the_training_are_merged():
    training = begun(subject())
    assert training.report().findings == ()
    training.swap(0, "sigmoid")
    for _ in range(30):
        training.step()
    report = training.report()
    assert report.quantities is not None
    assert report.quantities.steps == 30
