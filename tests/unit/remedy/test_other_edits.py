"""Layers, losses, arguments and factories: exactly the intended lines change, or the edit says why not."""

from __future__ import annotations

import pytest

from actlab.remedy.edit import BeforeReturn, ChangeArgument, InsertActivation, InsertModule, ReplaceLoss
from unit.remedy.programs import changed_lines, patch_of

SEQUENTIAL = """
    import torch.nn as nn

    def make():
        return nn.Sequential(
            nn.Linear(4, 8),  # in
            nn.Linear(8, 2))
"""
LISTS = """
    from torch import nn
    parts = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)]
    empty = nn.Sequential(nn.Linear(4, 2),)
"""
FORWARD = """
    from torch import nn
    import torch.nn.functional as F

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(4, 8)  # in
            self.fc2 = nn.Linear(8, 2)

        def forward(self, x):
            x = self.fc1(x)
            return F.log_softmax(self.fc2(x), dim=0)
"""
TRAINING = """
    import torch
    from torch import nn, optim
    from torch.nn import functional as F
    from actlab import Task

    def train(net, x, y, norm=nn.Softmax(0)):
        criterion = nn.BCELoss(reduction="sum")
        optimizer = optim.Adam(net.parameters(), 1e-1, weight_decay=0.5)
        loss = criterion(norm(net(x)), y)
        weights = x.softmax(0)
        loss += F.binary_cross_entropy(weights, y) + criterion(x, y)
        return loss, weights

    task = Task("one", lambda: nn.Linear(4, 2),
                train=ROWS, loss=F.nll_loss)
"""
FACTORIES = """
    # the networks
    from torch import nn

    class Net(nn.Sequential):
        def __init__(net, width):
            super().__init__(nn.Linear(4, width), nn.ReLU())

    def make():
        model = None
        return Net(8)  # ready

    def named():
        network = Net(8)
        return network

    def either(flag):
        if flag:
            return Net(8)
        return Net(9)

    nets = {
        "one": lambda width=8: Net(width),
    }
"""
INITIALIZE = ("actlab.initialize(model, method='gain')",)


def adding(line, function, lines=INITIALIZE):
    return BeforeReturn("", line, function, lines, ("import actlab",) if lines is INITIALIZE else ())


CHANGES = {
    "an activation behind a layer": (
        SEQUENTIAL,
        InsertActivation("", 6, "relu"),
        ["+        nn.ReLU(),"],
    ),
    "behind the last layer": (
        SEQUENTIAL,
        InsertActivation("", 7, "elu", {"alpha": 0.5}),
        ["-        nn.Linear(8, 2))", "+        nn.Linear(8, 2), nn.ELU(0.5))"],
    ),
    "a module before a layer": (
        SEQUENTIAL,
        InsertModule("", 7, "nn.BatchNorm1d(8)", "before"),
        ["+        nn.BatchNorm1d(8),"],
    ),
    "behind one of several layers, by its spelling": (
        LISTS,
        InsertModule("", 3, "nn.Dropout(0.5)", spelling="nn.ReLU"),
        [
            "-parts = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)]",
            "+parts = [nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)]",
        ],
    ),
    "behind all layers": (
        LISTS,
        InsertActivation("", 3, "tanh", everywhere=True),
        [
            "-parts = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)]",
            "+parts = [nn.Linear(4, 8), nn.Tanh(), nn.ReLU(), nn.Linear(8, 2), nn.Tanh()]",
        ],
    ),
    "before a last comma": (
        LISTS,
        InsertActivation("", 4, "tanh"),
        ["-empty = nn.Sequential(nn.Linear(4, 2),)", "+empty = nn.Sequential(nn.Linear(4, 2), nn.Tanh(),)"],
    ),
    "an activation around the call of a layer": (
        FORWARD,
        InsertActivation("", 12, "relu", spelling="nn.Linear"),
        ["-        x = self.fc1(x)", "+        x = F.relu(self.fc1(x))"],
    ),
    "an activation behind a layer that a line constructs": (
        FORWARD,
        InsertActivation("", 8, "relu"),
        ["-        x = self.fc1(x)", "+        x = F.relu(self.fc1(x))"],
    ),
    "behind a layer whose weights are read": (
        FORWARD.replace("self.fc1(x)", "self.fc1(x.to(self.fc1.weight.dtype))"),
        InsertActivation("", 8, "relu"),
        [
            "-        x = self.fc1(x.to(self.fc1.weight.dtype))",
            "+        x = F.relu(self.fc1(x.to(self.fc1.weight.dtype)))",
        ],
    ),
    "a module that needs a place in the constructor": (
        FORWARD,
        InsertModule("", 12, "nn.BatchNorm1d(8)", spelling="nn.Linear"),
        [
            "+        self.fc1_batchnorm1d = nn.BatchNorm1d(8)",
            "-        x = self.fc1(x)",
            "+        x = self.fc1_batchnorm1d(self.fc1(x))",
        ],
    ),
    "a module before a layer that forward calls": (
        FORWARD,
        InsertModule("", 12, "nn.BatchNorm1d(4)", "before", spelling="nn.Linear"),
        [
            "+        self.fc1_batchnorm1d = nn.BatchNorm1d(4)",
            "-        x = self.fc1(x)",
            "+        x = self.fc1(self.fc1_batchnorm1d(x))",
        ],
    ),
    "a module before a function": (
        FORWARD.replace("self.fc1(x)", "F.relu(self.fc1(x))"),
        InsertModule("", 12, "nn.BatchNorm1d(8)", "before", spelling="F.relu"),
        [
            "+        self.batchnorm1d = nn.BatchNorm1d(8)",
            "-        x = F.relu(self.fc1(x))",
            "+        x = F.relu(self.batchnorm1d(self.fc1(x)))",
        ],
    ),
    "a module before a method": (
        FORWARD.replace("self.fc1(x)", "self.fc1(x).relu()"),
        InsertModule("", 12, "nn.BatchNorm1d(8)", "before", spelling="x.relu()"),
        [
            "+        self.batchnorm1d = nn.BatchNorm1d(8)",
            "-        x = self.fc1(x).relu()",
            "+        x = self.batchnorm1d(self.fc1(x)).relu()",
        ],
    ),
    "a loss that a line calls by a variable": (
        TRAINING,
        ReplaceLoss("", 10, "torch.nn.BCELoss", "torch.nn.BCEWithLogitsLoss"),
        [
            '-    criterion = nn.BCELoss(reduction="sum")',
            '+    criterion = nn.BCEWithLogitsLoss(reduction="sum")',
        ],
    ),
    "a loss that is a reference": (
        TRAINING,
        ReplaceLoss("", 15, "torch.nn.functional.nll_loss", "torch.nn.CrossEntropyLoss"),
        ["-            train=ROWS, loss=F.nll_loss)", "+            train=ROWS, loss=F.cross_entropy)"],
    ),
    "a keyword argument": (
        TRAINING,
        ChangeArgument("", 9, "Adam", "weight_decay", "0"),
        [
            "-    optimizer = optim.Adam(net.parameters(), 1e-1, weight_decay=0.5)",
            "+    optimizer = optim.Adam(net.parameters(), 1e-1, weight_decay=0)",
        ],
    ),
    "an argument that is passed by position": (
        TRAINING,
        ChangeArgument("", 9, "Adam", "lr", "1e-3"),
        [
            "-    optimizer = optim.Adam(net.parameters(), 1e-1, weight_decay=0.5)",
            "+    optimizer = optim.Adam(net.parameters(), 1e-3, weight_decay=0.5)",
        ],
    ),
    "an argument of a method": (
        TRAINING,
        ChangeArgument("", 11, "softmax", "dim", "1"),
        ["-    weights = x.softmax(0)", "+    weights = x.softmax(1)"],
    ),
    "an argument of a module that a variable holds": (
        TRAINING,
        ChangeArgument("", 10, "Softmax", "dim", "1"),
        ["-def train(net, x, y, norm=nn.Softmax(0)):", "+def train(net, x, y, norm=nn.Softmax(1)):"],
    ),
    "a new argument": (
        TRAINING,
        ChangeArgument("", 15, "Task", "rates", "(1e-4, 1e-2)"),
        ["-            train=ROWS, loss=F.nll_loss)", "+            train=ROWS, loss=F.nll_loss, rates=(1e-4, 1e-2))"],
    ),
    "lines in a function": (
        FACTORIES,
        adding(9, "make"),
        [
            "+import actlab",
            "-    return Net(8)  # ready",
            "+    model_2 = Net(8)  # ready",
            "+    actlab.initialize(model_2, method='gain')",
            "+    return model_2",
        ],
    ),
    "lines in a function that returns a variable": (
        FACTORIES,
        adding(0, "named"),
        ["+import actlab", "+    actlab.initialize(network, method='gain')"],
    ),
    "lines in a class": (
        FACTORIES,
        adding(5, "Net", ("model[0].bias.data.zero_()", "model.model = 1")),
        ["+        net[0].bias.data.zero_()", "+        net.model = 1"],
    ),
    "a lambda becomes a function": (
        FACTORIES,
        adding(23, "<lambda>"),
        [
            "+import actlab",
            "+def make_model(width=8):",
            "+    model_2 = Net(width)",
            "+    actlab.initialize(model_2, method='gain')",
            "+    return model_2",
            "+",
            '-    "one": lambda width=8: Net(width),',
            '+    "one": make_model,',
        ],
    ),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_exactly_the_intended_lines_change(case, tmp_path):
    source, edit, lines = case
    patch = patch_of(tmp_path, source, [edit])
    assert (changed_lines(patch), patch.refused) == (lines, ())


REFUSALS = {
    "several layers on a line": (LISTS, InsertActivation("", 3, "relu"), "line 3 holds 2 layers"),
    "no layer": (LISTS, InsertActivation("", 2, "relu"), "no layer is written on line 2"),
    "a function in a loop": (
        FORWARD.replace("            x = self.fc1(x)", "            for layer in (self.fc1,): x = F.relu(layer(x))"),
        InsertModule("", 12, "nn.BatchNorm1d(8)", "before", spelling="F.relu", everywhere=True),
        "would need a module of its own",
    ),
    "not a module": (SEQUENTIAL, InsertModule("", 6, "nn.BatchNorm1d"), "must be a call such as"),
    "a loss that is not there": (
        TRAINING,
        ReplaceLoss("", 9, "torch.nn.MSELoss", "torch.nn.L1Loss"),
        "no MSELoss is written on line 9",
    ),
    "two losses on a line": (
        TRAINING,
        ReplaceLoss("", 12, "torch.nn.BCELoss", "torch.nn.BCEWithLogitsLoss"),
        "2 uses of BCELoss are written on line 12",
    ),
    "a loss without the setting": (
        TRAINING.replace('reduction="sum"', "weight=None"),
        ReplaceLoss("", 8, "torch.nn.BCELoss", "torch.nn.MSELoss"),
        "MSELoss does not take weight",
    ),
    "a value that is not a literal": (
        TRAINING,
        ChangeArgument("", 9, "Adam", "lr", "exit()"),
        "must be a Python literal",
    ),
    "a call that is not there": (TRAINING, ChangeArgument("", 9, "SGD", "lr", "1"), "no call of SGD"),
    "a factory that returns twice": (FACTORIES, adding(17, "either"), "either returns at 2 places"),
    "a factory that is not there": (FACTORIES, adding(3, "make"), "no make is on line 3"),
    "lines that are not statements": (FACTORIES, adding(9, "make", ("model.(",)), "must be statements"),
    "a lambda in a lambda": (
        "\n    make = lambda: (lambda: 3)\n",
        adding(2, "<lambda>"),
        "2 <lambda> are on line 2",
    ),
    "a lambda in a comprehension": (
        "\n    nets = [\n        (lambda: width)\n        for width in (8, 9)\n    ]\n",
        adding(3, "<lambda>"),
        "names of its own scope",
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_is_not_certain_is_refused_with_the_reason(case, tmp_path):
    source, edit, reason = case
    patch = patch_of(tmp_path, source, [edit])
    assert patch.diff == ""
    assert reason in patch.refused[0][1]


def test_modules_before_several_functions_have_different_names(tmp_path):
    source = FORWARD.replace("self.fc1(x)", "F.relu(self.fc1(x))").replace(
        "F.log_softmax(self.fc2(x), dim=0)", "F.relu(x)"
    )
    edits = [InsertModule("", line, "nn.BatchNorm1d(8)", "before", spelling="F.relu") for line in (12, 13)]
    patch = patch_of(tmp_path, source, edits)
    assert patch.refused == ()
    assert changed_lines(patch) == [
        "+        self.batchnorm1d = nn.BatchNorm1d(8)",
        "+        self.batchnorm1d_2 = nn.BatchNorm1d(8)",
        "-        x = F.relu(self.fc1(x))",
        "-        return F.relu(x)",
        "+        x = F.relu(self.batchnorm1d(self.fc1(x)))",
        "+        return F.relu(self.batchnorm1d_2(x))",
    ]


def test_several_kinds_of_edits_go_together(tmp_path):
    edits = [
        InsertModule("", 12, "nn.BatchNorm1d(8)", spelling="nn.Linear"),
        ChangeArgument("", 13, "log_softmax", "dim", "1"),
        adding(0, "Net"),
    ]
    patch = patch_of(tmp_path, FORWARD, edits)
    assert patch.refused == ()
    assert changed_lines(patch) == [
        "+import actlab",
        "+        self.fc1_batchnorm1d = nn.BatchNorm1d(8)",
        "+        actlab.initialize(self, method='gain')",
        "-        x = self.fc1(x)",
        "-        return F.log_softmax(self.fc2(x), dim=0)",
        "+        x = self.fc1_batchnorm1d(self.fc1(x))",
        "+        return F.log_softmax(self.fc2(x), dim=1)",
    ]
