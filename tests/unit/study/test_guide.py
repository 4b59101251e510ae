"""What is usual for a network and a loss, and that a measurement outranks it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.report.guide_text import guide_lines
from actlab.study.guide import HIDDEN, OUTPUT, guide
from actlab.train.task import Task

ROWS = torch.rand(60, 6, generator=torch.Generator().manual_seed(0))
CLASSES = (ROWS[:, 0] > 0.5).long()


class Recurrent(nn.Module):
    def __init__(self, act: type[nn.Module]) -> None:
        super().__init__()
        self.rnn, self.out, self.act = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2), act()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.act(self.rnn(x.view(-1, 2, 3))[0][:, -1]))


class Attending(nn.Module):
    def __init__(self, act: type[nn.Module]) -> None:
        super().__init__()
        self.attention, self.out, self.act = nn.MultiheadAttention(3, 1, batch_first=True), nn.Linear(3, 2), act()

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, 2, 3)
        return self.out(self.act(self.attention(x, x, x)[0].mean(1)))


def convolving(act: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3), act(), nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize(
    ("model", "kind", "activations"),
    [
        (Recurrent, "a recurrent network", ["tanh"]),
        (Attending, "a transformer", ["gelu"]),
        (convolving, "a convolutional network", ["relu", "leaky_relu"]),
        (
            lambda act: nn.Sequential(nn.Linear(6, 4), act(), nn.Linear(4, 2)),
            "a network of linear layers",
            ["relu", "leaky_relu"],
        ),
    ],
)
def test_hidden_layers_follow_the_kind_of_network(model: object, kind: str, activations: list[str]) -> None:
    hints = [hint for hint in guide(Task("t", model, train=(ROWS, CLASSES))) if hint.layer == "hidden"]
    assert hints[0].where == kind
    assert [hint.activation for hint in hints] == activations


def one(act: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), act(), nn.Linear(4, 1))


@pytest.mark.parametrize(
    ("loss", "targets", "activation"),
    [
        (nn.BCEWithLogitsLoss(), CLASSES.float()[:, None], "identity"),
        (F.mse_loss, ROWS.sum(1, keepdim=True) - 3, "identity"),
        (None, ROWS.mean(1, keepdim=True), "sigmoid"),
        (nn.MSELoss(), 1 + 5 * ROWS[:, :1], "softplus"),
        (nn.HuberLoss(), -ROWS[:, :1], "identity"),
    ],
)
def test_the_output_follows_the_loss_and_the_targets(loss: object, targets: Tensor, activation: str) -> None:
    task = Task("t", one, train=(ROWS, targets), loss=loss)
    assert [hint.activation for hint in guide(task) if hint.layer == "output"] == [activation]


def test_an_unknown_loss_of_classes_is_advised_by_its_kind() -> None:
    task = Task("t", Recurrent, train=(ROWS, CLASSES), loss=lambda o, t: F.cross_entropy(o, t), kind="classification")
    (hint,) = [hint for hint in guide(task) if hint.layer == "output"]
    assert "softmax" in hint.reason


def test_every_hint_has_a_reason_and_a_source() -> None:
    for hint in (*OUTPUT.values(), *(each for _, _, hints in HIDDEN for each in hints)):
        assert hint.reason
        assert any(character.isdigit() for character in hint.source)


def test_the_text_says_that_the_measurement_outranks_it() -> None:
    lines = guide_lines(guide(Task("t", Recurrent, train=(ROWS, CLASSES))), width=80)
    assert lines[0] == "What is usual, not measured here; the verdict above outranks it:"
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("- hidden layers of a recurrent network: tanh, as a state")
    assert guide_lines(()) == []
