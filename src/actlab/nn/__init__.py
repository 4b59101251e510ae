"""Modules, functions, gated units and recurrent cells of PyTorch, made from formulas."""

from actlab.nn.functions import functional as functional
from actlab.nn.modules import ActivationModule as ActivationModule
from actlab.nn.modules import module as module
