"""Activations replaced and removed in text as people write it."""

from __future__ import annotations

import pytest

from actlab.remedy.edit import RemoveActivation, ReplaceActivation
from unit.remedy.programs import changed_lines, patch_of


def replacing(line, spelling, activation, *, everywhere=False, **arguments):
    return ReplaceActivation("", line, spelling, activation, arguments, everywhere)


def removing(line, spelling, *, everywhere=False):
    return RemoveActivation("", line, spelling, everywhere)


SEQUENTIAL = """
    from torch import nn
    net = nn.Sequential(
        nn.Linear(4, 8),  # in
        nn.Sigmoid(),  # squash
        nn.Linear(8, 2),
        # over the classes
        nn.Softmax(dim=1),  # out
    )
"""
FORWARD = """
    import torch
    from torch import nn
    import torch.nn.functional as F

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 2)
            self.act = nn.Sigmoid()

        def forward(self, x):
            x = F.relu(self.fc1(x))
            x = self.act(x)
            return torch.sigmoid(self.fc2(x).relu())
"""
TASK = """
    from torch import nn
    from actlab import Task

    def make_task():
        return Task("one", lambda act: nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 2)), train=ROWS)
"""
PASSED = """
    from torch import nn

    def make(width, act=nn.Sigmoid):
        return nn.Sequential(nn.Linear(4, width), act(), nn.Linear(width, 2))

    net = make(8)
"""
TABLE = """
    from torch import nn
    ACTS = {"sigmoid": nn.Sigmoid, "gelu": nn.GELU}

    def make(activation="sigmoid"):
        return nn.Sequential(nn.Linear(4, 8), ACTS[activation](), nn.Linear(8, 2))
"""
BY_NAME = """
    from torch import nn

    class Net(nn.Module):
        def __init__(self, activation):
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.act = getattr(nn, activation)()

        def forward(self, x):
            return self.act(self.fc(x))

    net = Net(activation='Sigmoid')
"""
KIND = """
    import torch.nn as N
    from torch.nn.functional import relu

    class Net(N.Module):
        def __init__(self, kind=relu):
            super().__init__()
            self.fc, self.kind = N.Linear(4, 2), kind

        def forward(self, x):
            return self.kind(self.fc(x))
"""
LOOP = """
    from torch import nn
    layers = []
    for _ in range(8):
        layers += [nn.Linear(32, 32), nn.Sigmoid()]
    net = nn.Sequential(*layers)
"""
ORDERED = """
    from collections import OrderedDict
    from torch.nn import Linear, ReLU, Sequential

    def make():
        return Sequential(OrderedDict([("fc", Linear(4, 2)), ("act", ReLU(inplace=True))]))
"""
ENCODER = """
    from torch import nn
    from torch.nn import functional as F
    layer = nn.TransformerEncoderLayer(16, 2, 32, activation="relu", batch_first=True)
    other = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
"""
SHAPES = """
    import torch
    from torch.nn.functional import softmax

    def loss(x, y):
        if (p := softmax(
            x + y,
            dim=1,
        )).sum() > 1: return p
        z = softmax(x if y else -x, dim=1) @ y
        return x.softmax(-1), (x - y).sigmoid().sum()  # both
"""
SHARED = """
    from torch import nn

    def make():
        act = nn.Tanh()
        return nn.Sequential(nn.Linear(4, 8), act, nn.Linear(8, 8), act)
"""
LINE = """
    from torch import nn
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Sigmoid())
"""
STAR = """
    from torch.nn import *
    net = Sequential(Linear(4, 8), Tanh())
"""

CHANGES = {
    "a module in a sequence": (
        SEQUENTIAL,
        [replacing(5, "nn.Sigmoid", "leaky_relu", negative_slope=0.01)],
        ["-    nn.Sigmoid(),  # squash", "+    nn.LeakyReLU(0.01),  # squash"],
    ),
    "PyTorch has the activation with an argument": (
        SEQUENTIAL,
        [replacing(5, "nn.Sigmoid", "gelu_tanh")],
        ["-    nn.Sigmoid(),  # squash", '+    nn.GELU(approximate="tanh"),  # squash'],
    ),
    "an activation that PyTorch lacks": (
        SEQUENTIAL,
        [replacing(5, "nn.Sigmoid", "swish", beta=1.5)],
        ["+import actlab", "-    nn.Sigmoid(),  # squash", '+    actlab.module("swish", beta=1.5),  # squash'],
    ),
    "an axis is kept": (
        SEQUENTIAL,
        [replacing(8, "nn.Softmax", "log_softmax")],
        ["-    nn.Softmax(dim=1),  # out", "+    nn.LogSoftmax(dim=1),  # out"],
    ),
    "an argument of a sequence is deleted with its line": (
        SEQUENTIAL,
        [removing(8, "nn.Softmax")],
        ["-    nn.Softmax(dim=1),  # out"],
    ),
    "a function": (
        FORWARD,
        [replacing(13, "F.relu", "gelu")],
        ["-        x = F.relu(self.fc1(x))", "+        x = F.gelu(self.fc1(x))"],
    ),
    "a module that forward calls": (
        FORWARD,
        [replacing(14, "nn.Sigmoid", "elu", alpha=2.0)],
        ["-        self.act = nn.Sigmoid()", "+        self.act = nn.ELU(2.0)"],
    ),
    "a module that forward calls becomes an identity": (
        FORWARD,
        [removing(14, "nn.Sigmoid")],
        ["-        self.act = nn.Sigmoid()", "+        self.act = nn.Identity()"],
    ),
    "a function of torch around a method": (
        FORWARD,
        [removing(15, "torch.sigmoid"), replacing(15, "x.relu()", "tanh")],
        ["-        return torch.sigmoid(self.fc2(x).relu())", "+        return self.fc2(x).tanh()"],
    ),
    "a method becomes a function": (
        FORWARD,
        [replacing(15, "x.relu()", "softplus", beta=2)],
        [
            "-        return torch.sigmoid(self.fc2(x).relu())",
            "+        return torch.sigmoid(F.softplus(self.fc2(x), 2))",
        ],
    ),
    "the activation that a task passes": (
        TASK,
        [replacing(6, "nn.ReLU", "elu", alpha=0.5)],
        [
            '-    return Task("one", lambda act: nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 2)), train=ROWS)',
            '+    return Task("one", lambda act: nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 2)), train=ROWS,'
            ' activation="elu(alpha=0.5)")',
        ],
    ),
    "a default": (
        PASSED,
        [replacing(5, "nn.Sigmoid", "silu")],
        ["-def make(width, act=nn.Sigmoid):", "+def make(width, act=nn.SiLU):"],
    ),
    "a default with a parameter": (
        PASSED,
        [replacing(5, "nn.Sigmoid", "elu", alpha=2.0)],
        [
            "+from functools import partial",
            "-def make(width, act=nn.Sigmoid):",
            "+def make(width, act=partial(nn.ELU, 2.0)):",
        ],
    ),
    "an argument that a call passes": (
        PASSED.replace("make(8)", "make(8, nn.Tanh)"),
        [replacing(5, "nn.Tanh", "silu")],
        ["-net = make(8, nn.Tanh)", "+net = make(8, nn.SiLU)"],
    ),
    "a key of a table": (
        TABLE,
        [replacing(6, "nn.Sigmoid", "gelu")],
        ['-def make(activation="sigmoid"):', '+def make(activation="gelu"):'],
    ),
    "the name of a class": (
        BY_NAME,
        [replacing(11, "nn.Sigmoid", "silu")],
        ["-net = Net(activation='Sigmoid')", "+net = Net(activation='SiLU')"],
    ),
    "a function that is passed": (
        KIND,
        [replacing(11, "F.relu", "gelu")],
        [
            "-from torch.nn.functional import relu",
            "+from torch.nn.functional import gelu, relu",
            "-    def __init__(self, kind=relu):",
            "+    def __init__(self, kind=gelu):",
        ],
    ),
    "a function that is passed, with a parameter": (
        KIND.replace("kind=relu", "kind=None").replace("import relu", "import relu\n    KINDS = [relu]")
        + "\n    net = Net(kind=KINDS[0])\n",
        [replacing(12, "F.relu", "elu", alpha=0.5)],
        [
            "+from functools import partial",
            "-from torch.nn.functional import relu",
            "-KINDS = [relu]",
            "+from torch.nn.functional import elu, relu",
            "+KINDS = [partial(elu, alpha=0.5)]",
        ],
    ),
    "a function that calls a method": (
        FORWARD.replace("torch.sigmoid(", "F.sigmoid("),
        [replacing(15, "x.sigmoid()", "tanh")],
        ["-        return F.sigmoid(self.fc2(x).relu())", "+        return torch.tanh(self.fc2(x).relu())"],
    ),
    "a literal of a loop, if all are intended": (
        LOOP,
        [replacing(5, "nn.Sigmoid", "relu", everywhere=True)],
        ["-    layers += [nn.Linear(32, 32), nn.Sigmoid()]", "+    layers += [nn.Linear(32, 32), nn.ReLU()]"],
    ),
    "an entry of an ordered dict": (
        ORDERED,
        [replacing(6, "nn.ReLU", "leaky_relu", negative_slope=0.2)],
        [
            "-from torch.nn import Linear, ReLU, Sequential",
            "+from torch.nn import LeakyReLU, Linear, ReLU, Sequential",
            '-    return Sequential(OrderedDict([("fc", Linear(4, 2)), ("act", ReLU(inplace=True))]))',
            '+    return Sequential(OrderedDict([("fc", Linear(4, 2)), ("act", LeakyReLU(0.2, inplace=True))]))',
        ],
    ),
    "an entry of an ordered dict becomes an identity": (
        ORDERED,
        [removing(6, "nn.ReLU")],
        [
            "-from torch.nn import Linear, ReLU, Sequential",
            "+from torch.nn import Identity, Linear, ReLU, Sequential",
            '-    return Sequential(OrderedDict([("fc", Linear(4, 2)), ("act", ReLU(inplace=True))]))',
            '+    return Sequential(OrderedDict([("fc", Linear(4, 2)), ("act", Identity())]))',
        ],
    ),
    "the activation of a transformer layer, by name": (
        ENCODER,
        [replacing(4, "nn.TransformerEncoderLayer", "gelu")],
        [
            '-layer = nn.TransformerEncoderLayer(16, 2, 32, activation="relu", batch_first=True)',
            '+layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True)',
        ],
    ),
    "the activation of a transformer layer, by default": (
        ENCODER,
        [replacing(5, "nn.TransformerEncoderLayer", "silu")],
        [
            "-other = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)",
            "+other = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation=F.silu)",
        ],
    ),
    "brackets where they are needed": (
        SHAPES,
        [removing(10, "F.softmax")],
        ["-    z = softmax(x if y else -x, dim=1) @ y", "+    z = (x if y else -x) @ y"],
    ),
    "a call over several lines in a walrus": (
        SHAPES,
        [removing(6, "F.softmax")],
        [
            "-    if (p := softmax(",
            "-        x + y,",
            "-        dim=1,",
            "-    )).sum() > 1: return p",
            "+    if (p := (x + y)).sum() > 1: return p",
        ],
    ),
    "one of two methods on a line": (
        SHAPES,
        [removing(11, "x.sigmoid()")],
        [
            "-    return x.softmax(-1), (x - y).sigmoid().sum()  # both",
            "+    return x.softmax(-1), (x - y).sum()  # both",
        ],
    ),
    "all on a line": (
        LINE,
        [replacing(3, "nn.Tanh", "relu", everywhere=True)],
        [
            "-net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Sigmoid())",
            "+net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Sigmoid())",
        ],
    ),
    "the last on a line": (
        LINE,
        [removing(3, "nn.Sigmoid")],
        [
            "-net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Sigmoid())",
            "+net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())",
        ],
    ),
    "names that a star imports": (
        STAR,
        [replacing(3, "nn.Tanh", "gelu")],
        ["-net = Sequential(Linear(4, 8), Tanh())", "+net = Sequential(Linear(4, 8), GELU())"],
    ),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_exactly_the_intended_lines_change(case, tmp_path):
    source, edits, lines = case
    patch = patch_of(tmp_path, source, edits)
    assert (changed_lines(patch), patch.refused) == (lines, ())


REFUSALS = {
    "a loop": (LOOP, replacing(5, "nn.Sigmoid", "relu"), "the loop of line 4"),
    "two on a line": (LINE, replacing(3, "nn.Tanh", "relu"), "holds several: nn.Tanh(), nn.Tanh()"),
    "a module at two places": (SHARED, replacing(5, "nn.Tanh", "relu"), "act is used 2 times"),
    "encoder and decoder": (
        "\n    from torch import nn\n    net = nn.Transformer(16, 2)\n",
        replacing(3, "nn.TransformerEncoderLayer", "gelu"),
        "decides those of encoder and decoder",
    ),
    "not on the line": (LINE, replacing(3, "nn.ELU", "relu"), "no nn.ELU is written on line 3"),
    "a formula": (LINE, replacing(3, "x*sigmoid(x)", "relu"), "written out as a formula"),
    "no such activation": (LINE, replacing(3, "nn.Sigmoid", "swsh"), "Did you mean 'swish'"),
    "not in the table": (TABLE, replacing(6, "nn.Sigmoid", "silu"), "no entry for silu"),
    "not a class of PyTorch": (BY_NAME, replacing(11, "nn.Sigmoid", "quick_gelu"), "quick_gelu is not one"),
    "a learned activation as a function": (FORWARD, replacing(13, "F.relu", "prelu"), "write it as a module"),
    "two inputs": (SEQUENTIAL, replacing(5, "nn.Sigmoid", "swiglu"), "takes two inputs"),
    "a softmax without an axis": (FORWARD, replacing(13, "F.relu", "softmax"), "needs its axis"),
    "a comment within": (
        SHAPES.replace("dim=1,\n", "dim=1,  # classes\n"),
        removing(6, "F.softmax"),
        "a comment stands inside",
    ),
    "a call at two places": (
        PASSED + "    other = make(9)\n",
        replacing(5, "nn.Sigmoid", "silu"),
        "make is called 2 times",
    ),
    "an argument from outside": (
        PASSED.replace("=nn.Sigmoid", "").replace("net = make(8)", ""),
        replacing(5, "nn.Sigmoid", "silu"),
        "act is an argument that other files or a loop pass",
    ),
    "a function that is passed on": (
        PASSED.replace("net = make(8)", "nets = map(make, (8, 9))"),
        replacing(5, "nn.Sigmoid", "silu"),
        "make is passed on",
    ),
    "a class that is a variable of a loop": (
        "\n    from torch import nn\n    for act in (nn.ReLU, nn.Tanh):\n        net = nn.Sequential(act())\n",
        replacing(4, "nn.ReLU", "silu"),
        "act is the variable of a loop",
    ),
    "in place, by a statement": (
        "\n    import torch\n    def f(x):\n        x.relu_()\n        return x\n",
        replacing(4, "x.relu_()", "softplus"),
        "may be read again",
    ),
    "the name is taken": (
        "\n    from torch import nn\n    def f(x, actlab):\n        return nn.Sequential(nn.ReLU())\n",
        replacing(4, "nn.ReLU", "swish"),
        "the usual names for it are taken",
    ),
    "not a program": ("\n    def f(:\n", replacing(2, "nn.ReLU", "relu"), "not a Python program"),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_is_not_certain_is_refused_with_the_reason(case, tmp_path):
    source, edit, reason = case
    patch = patch_of(tmp_path, source, [edit])
    assert patch.diff == ""
    assert len(patch.refused) == 1
    assert reason in patch.refused[0][1]


def test_an_edit_that_cannot_be_done_leaves_the_others(tmp_path):
    edits = [replacing(5, "nn.Sigmoid", "relu"), replacing(5, "nn.ELU", "relu"), removing(8, "nn.Softmax")]
    patch = patch_of(tmp_path, SEQUENTIAL, edits)
    assert [(edit.spelling, why) for edit, why in patch.refused] == [("nn.ELU", "no nn.ELU is written on line 5")]
    assert len(changed_lines(patch)) == 3


def test_two_edits_that_contradict_each_other_do_not_both_pass(tmp_path):
    edits = [replacing(5, "nn.Sigmoid", "relu"), replacing(5, "nn.Sigmoid", "gelu")]
    patch = patch_of(tmp_path, SEQUENTIAL, edits)
    assert "+    nn.ReLU(),  # squash" in changed_lines(patch)
    assert [why for _, why in patch.refused] == ["two changes concern the same text"]


def test_a_variable_that_decides_two_places_changes_if_both_are_intended(tmp_path):
    source = FORWARD.replace("x = F.relu(self.fc1(x))", "x = self.act(self.fc1(x))")
    both = [replacing(13, "nn.Sigmoid", "relu"), replacing(14, "nn.Sigmoid", "relu")]
    assert changed_lines(patch_of(tmp_path, source, both)) == [
        "-        self.act = nn.Sigmoid()",
        "+        self.act = nn.ReLU()",
    ]
    assert changed_lines(patch_of(tmp_path, source, both[:1])) == [
        "-        x = self.act(self.fc1(x))",
        "+        x = F.relu(self.fc1(x))",
    ]
