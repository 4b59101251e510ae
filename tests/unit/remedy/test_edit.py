"""Edits as values: what each says, and that it cannot change afterwards."""

from dataclasses import FrozenInstanceError

import pytest

from actlab.remedy.edit import (
    BeforeReturn,
    ChangeArgument,
    InsertActivation,
    InsertModule,
    RemoveActivation,
    ReplaceActivation,
    ReplaceLoss,
)

SENTENCES = {
    ReplaceActivation("a/net.py", 3, "nn.Sigmoid", "leaky_relu", {"negative_slope": 0.01}): (
        "net.py:3: replace nn.Sigmoid by leaky_relu(negative_slope=0.01)"
    ),
    RemoveActivation("net.py", 9, "F.softmax"): "net.py:9: remove F.softmax",
    InsertActivation("net.py", 4, "relu"): "net.py:4: insert relu behind the layer",
    InsertModule("net.py", 4, "nn.BatchNorm1d(8)", spelling="nn.Linear"): (
        "net.py:4: insert nn.BatchNorm1d(8) after nn.Linear"
    ),
    ReplaceLoss("net.py", 7, "torch.nn.functional.nll_loss", "torch.nn.functional.cross_entropy"): (
        "net.py:7: replace the loss nll_loss by cross_entropy"
    ),
    ChangeArgument("net.py", 7, "Adam", "lr", "1e-3"): "net.py:7: set lr=1e-3 in Adam",
    BeforeReturn("net.py", 0, "make", ("model.eval()",)): "net.py: add model.eval() to make",
}


@pytest.mark.parametrize(("edit", "sentence"), SENTENCES.items(), ids=lambda value: type(value).__name__)
def test_an_edit_says_in_one_line_what_it_changes(edit, sentence):
    assert str(edit) == sentence


def test_edits_are_values():
    one, same = (ReplaceActivation("net.py", 3, "nn.ReLU", "elu", {"alpha": 2.0}) for _ in range(2))
    assert one == same
    assert len({one, same}) == 1
    with pytest.raises(FrozenInstanceError):
        one.line = 4
