"""The place of a call is found once for a loop, and never for another module or line."""

import weakref

import torch
from torch import nn

from actlab.sites.recognize.traced import traced


class Block(nn.Module):
    def forward(self, x):
        return torch.relu(x)


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x):
        for _ in range(2):
            for block in self.blocks:
                x = block(x)
        return torch.tanh(x)


def test_one_line_has_the_path_of_each_module_that_runs_it():
    trace = traced(Blocks(), (torch.randn(2, 3),)).trace
    paths = [step.path for step in trace.steps]
    assert paths == ["blocks.0", "blocks.1", "blocks.0", "blocks.1", ""]
    assert len({step.line for step in trace.steps}) == 2


def test_a_module_that_the_model_does_not_own_is_placed_each_time():
    class Makes(nn.Module):
        def forward(self, x):
            for kind in (nn.ReLU, nn.Tanh, nn.Sigmoid):
                x = kind()(x)
            return x

    trace = traced(Makes(), (torch.randn(2, 3),)).trace
    assert [(step.function, step.path) for step in trace.steps] == [("relu", ""), ("tanh", ""), ("sigmoid", "")]
    assert len({step.line for step in trace.steps}) == 1


def test_a_generator_that_several_lines_resume_has_the_lines_of_each():
    class Resumed(nn.Module):
        def steps(self, x):
            for _ in range(4):
                x = torch.relu(x)
                yield x

        def forward(self, x):
            steps = self.steps(x)
            next(steps)
            next(steps)
            next(steps)
            return next(steps)

    trace = traced(Resumed(), (torch.randn(2, 3),)).trace
    stacks = [trace.stacks[step.place].lines for step in trace.steps if step.function == "relu"]
    assert len({lines[0] for lines in stacks}) == 1
    assert len({lines[1] for lines in stacks}) == 4


def test_a_call_belongs_to_the_module_that_self_is_when_it_is_made():
    class Rebinds(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Identity()])

        def forward(self, x):
            for part in list(self.inner):
                x = torch.tanh(x)
                self = part
            return x

    trace = traced(Rebinds(), (torch.randn(2, 3),)).trace
    assert [step.path for step in trace.steps] == ["", "inner.0", "inner.1"]


def test_one_line_that_calls_several_functions_with_several_settings():
    class Varies(nn.Module):
        def forward(self, x):
            for function, args in (
                (torch.relu, ()),
                (torch.clamp, (0, 6)),
                (torch.clamp, (0.0, 6.0)),
                (torch.clamp, (-1, 1)),
                (torch.mul, (1,)),
                (torch.mul, (True,)),
                (torch.mul, (-0.0,)),
                (torch.mul, (0.0,)),
            ):
                x = function(x, *args)
            return x

    trace = traced(Varies(), (torch.randn(2, 3),)).trace
    assert [step.function for step in trace.steps] == ["relu", *["clamp"] * 3, *["mul"] * 4]
    settings = [repr(tuple(step.arguments.values())) for step in trace.steps]
    assert settings == ["()", "(0, 6)", "(0.0, 6.0)", "(-1, 1)", "(1,)", "(True,)", "(-0.0,)", "(0.0,)"]
    assert [site.activation for site in trace.sites] == ["relu", "relu6", "hard_tanh"]


def test_the_variables_of_the_model_are_let_go_after_the_pass():
    class Large:
        pass

    kept = []

    class Holds(nn.Module):
        def forward(self, x):
            large = Large()
            kept.append(weakref.ref(large))
            return torch.relu(torch.tanh(x))

    found = traced(Holds(), (torch.randn(2, 3),))
    assert len(found.trace.steps) == 2
    assert kept[0]() is None
