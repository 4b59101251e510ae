"""The place of a call is found once for a loop, and never for another module or line."""

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
