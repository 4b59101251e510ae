"""One table says which module, function and argument of PyTorch is which activation; the others derive from it."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from actlab.catalog.index import CATALOG
from actlab.catalog.torch_ops import TORCH_OPS, is_pointwise
from actlab.nn.torch_modules import TORCH_NAMES, name_of_module, saturating_functions, torch_function
from actlab.sites.recognize.sites import gated_units
from actlab.sites.recognize.torch_ops import AFTER_WEIGHTS, ALONE, POINTWISE, known
from actlab.sites.trace.calls import name_of, named_arguments

FUNCTIONS = {op.function for op in TORCH_OPS}


def test_every_reference_in_torch_has_a_row():
    references = [act.reference for act in CATALOG.values() if act.reference and act.reference.startswith("torch.")]
    assert {path.partition("(")[0].rpartition(".")[2] for path in references} == FUNCTIONS


def test_every_table_holds_rows_of_the_one_table_only():
    names = {op.activation for op in TORCH_OPS}
    assert len(names) == len(TORCH_OPS)
    assert set(TORCH_NAMES.values()) | {"gelu_tanh"} == {
        op.activation for op in TORCH_OPS if op.module and is_pointwise(op)
    }
    assert ALONE | set(AFTER_WEIGHTS) == FUNCTIONS
    assert POINTWISE < ALONE
    assert set(saturating_functions()) < FUNCTIONS


@pytest.mark.parametrize("op", TORCH_OPS, ids=lambda op: op.activation)
def test_a_function_of_torch_is_recognized_under_every_alias(op):
    assert name_of(torch_function(op)) == op.function
    for alias in op.aliases:
        homes = (torch, torch.special, torch.ops.aten)
        found = [getattr(home, alias) for home in homes if hasattr(home, alias)]
        assert found
        assert {name_of(each) for each in found} == {op.function}


@pytest.mark.parametrize("op", [op for op in TORCH_OPS if op.arguments], ids=lambda op: op.activation)
def test_the_arguments_are_those_of_the_function(op):
    function = torch_function(op)
    if inspect.isfunction(function):
        assert set(op.arguments) <= set(inspect.signature(function).parameters)
    else:
        assert all(name in (function.__doc__ or "") for name in op.arguments)


def test_positional_arguments_of_compiled_functions_have_names():
    aten = torch.ops.aten.leaky_relu.default
    assert named_arguments(aten, (1, 0.2), {}) == {"input": 1, "negative_slope": 0.2}
    assert known("leaky_relu", {"negative_slope": 0.2}).label == "leaky_relu(negative_slope=0.2)"


@pytest.mark.parametrize("unit", [act for act in CATALOG.values() if len(act.inputs) == 2], ids=str)
def test_a_product_of_a_value_and_a_gate_is_a_gated_unit(unit):
    gate = next((gate for gate, name in gated_units().items() if name == unit.name), None)
    assert (gate is None) == (unit.name == "clamped_swiglu")  # which also clamps both inputs


def test_a_module_has_the_name_of_what_it_computes():
    modules = (nn.GELU(), nn.GELU("tanh"), nn.Softmax(-1), nn.GLU(), nn.Linear(1, 1))
    assert [name_of_module(module) for module in modules] == ["gelu", "gelu_tanh", "softmax", "glu", None]
