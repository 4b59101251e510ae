"""A module of an `nn.Sequential` has the line that constructs it."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.nn.user_lines import noted_line, noting_lines
from actlab.sites.find import sites
from actlab.sites.recognize.traced import traced
from unit.sites.small import rows


def line_with(text):
    """Return the number of the last line of this file that ends with the text."""
    lines = Path(__file__).read_text().splitlines()
    return max(at for at, line in enumerate(lines, start=1) if line.endswith(text))


def lines_of(model):
    found = sites(model, rows())
    assert {site.file for site in found} == {__file__}
    return [site.line for site in found]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.net = nn.Sequential(
            nn.Linear(6, 6),
            nn.ReLU(),  # in the class
            nn.Linear(6, 6),
        )

    def forward(self, x):
        x = self.net(x)
        return self.act(x)  # called directly


def test_the_line_is_that_of_the_constructor():
    model = nn.Sequential(
        nn.Linear(6, 6),
        nn.Hardswish(),  # in the test
        nn.Sequential(
            nn.LazyLinear(6),
            nn.Mish(),  # nested
        ),
    )
    assert lines_of(model) == [line_with("# in the test"), line_with("# nested")]


def test_a_class_holds_the_line_of_its_sequence():
    expected = [line_with("# in the class"), line_with("# called directly")]
    assert lines_of(Net()) == expected
    assert lines_of(nn.Sequential(Net())) == expected


def unknown(model, x):
    return [(site.file, site.line, site.to_json()["file"], site.to_json()["line"]) for site in sites(model, x)]


NOWHERE = [("", 0, None, None)]


def test_without_a_single_constructor_no_line_is_named():
    one = nn.Sequential(nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 6))
    two = nn.Sequential(nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 6))
    assert unknown(one, rows()) == NOWHERE  # ambiguous
    assert unknown(nn.Sequential(*two), rows()) == NOWHERE


def test_a_sequence_with_another_class_is_not_the_constructor():
    model = nn.Sequential(nn.Linear(6, 6), nn.SELU(), nn.Flatten())
    model[1] = nn.CELU()
    assert unknown(model, torch.ones(1, 6)) == NOWHERE


def listed():
    layers = [nn.Linear(6, 6)]
    layers.append(nn.Hardsigmoid())  # appended
    return nn.Sequential(*layers, nn.Sequential(nn.Linear(6, 6), Twice(nn.SiLU())))  # in a module


class Twice(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.net = nn.Sequential(act, *[nn.ELU() for _ in range(2)])  # in a list

    def forward(self, x):
        return self.net(x)


def test_a_line_that_was_noted_is_named_however_the_model_is_built():
    with noting_lines():
        model = listed()
    found = sites(copy.deepcopy(model), rows())
    marks = ("# appended", "# in a module", "# in a list", "# in a list")
    assert [(site.file, site.line) for site in found] == [(__file__, line_with(mark)) for mark in marks]
    assert noted_line(nn.ReLU()) is None


def test_blocks_that_note_lines_may_be_nested():
    before = nn.Module.__init__
    with noting_lines():
        with noting_lines():
            pass
        inside = nn.ReLU()
    assert noted_line(inside)[0] == __file__
    assert nn.Module.__init__ is before
    assert noted_line(nn.ReLU()) is None


def test_the_line_of_a_loss_is_never_that_of_the_caller():
    model = nn.Sequential(nn.Linear(6, 6), nn.LogSigmoid(), nn.Linear(6, 3))
    batch = (rows(), torch.zeros(len(rows()), dtype=torch.int64))
    trace = traced(model, batch[:1], loss=F.cross_entropy, targets=batch[1]).trace
    assert [(step.file, step.line) for step in trace.steps if step.part == "loss"] == [("", 0)]

    def own(output, target):
        return nn.CrossEntropyLoss()(output, target)  # in the loss

    trace = traced(model, batch[:1], loss=own, targets=batch[1]).trace
    lines = {(step.file, step.line) for step in trace.steps if step.part == "loss"}
    assert lines == {(__file__, line_with("# in the loss"))}
    with noting_lines():
        loss = nn.CrossEntropyLoss()  # noted
    trace = traced(model, batch[:1], loss=loss, targets=batch[1]).trace
    assert trace.steps[-1].line == line_with("# noted")


def test_a_shared_sequence_has_a_site_for_each_of_its_calls():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(6, 6), nn.Tanh())  # shared

        def forward(self, x):
            return self.net(self.net(x))

    assert [(site.line, site.index) for site in sites(Shared(), rows())] == [
        (line_with("# shared"), 0),
        (line_with("# shared"), 1),
    ]


def test_a_watched_copy_has_the_lines_of_the_model():
    model = nn.Sequential(nn.Linear(6, 6), nn.Softsign(), nn.Linear(6, 3))  # watched
    nn.init.constant_(model[0].weight, 0.0)
    batch = (rows(), torch.zeros(len(rows()), dtype=torch.int64))
    report = actlab.check(model, batch=batch, loss=F.cross_entropy, train_steps=3)
    assert {line for each in report.findings for line in each.lines} <= {(__file__, line_with("# watched"))}
    assert [site.line for site in report.sites] == [line_with("# watched")]


def pair(act):
    layers = [nn.Linear(6, 6), nn.Identity(), act]
    return nn.Sequential(*layers)


class Made(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            pair(nn.Softsign()),  # by a function
            nn.Linear(6, 6),
        )

    def forward(self, x):
        return self.net(x)


def test_a_sequence_that_a_function_makes_has_the_line_of_the_call():
    assert lines_of(Made()) == [line_with("# by a function")]
