"""GPU kernels in Triton's interpreter; tests/gpu runs the same checks on a GPU."""

from __future__ import annotations

import pytest
import torch

import gpu_checks as checks
from actlab.catalog.index import get
from actlab.errors import BadInput, MissingExtra
from actlab.kernels.gpu import kernels as gpu
from actlab.kernels.gpu.layout import Tiled, tile_of, tiled
from actlab.nn.modules import split
from actlab.nn.operator import pointwise_of

CPU = "cpu"


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    checks.needs_the_interpreter(monkeypatch)


@pytest.mark.parametrize("act", checks.covering(), ids=str)
def test_a_few_activations_with_every_atom_keep_their_bounds(act):
    checks.check_bounds(act, device=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("act", checks.ACTIVATIONS, ids=str)
def test_every_activation_keeps_its_bounds(act):
    checks.check_bounds(act, device=CPU)


@pytest.mark.parametrize("dtype", checks.DTYPES, ids=str)
@pytest.mark.parametrize("name", ["gelu", "sine", "xielu", "geglu"])
def test_bits_are_those_of_the_processors_kernels(name, dtype):
    checks.check_bits(get(name), dtype=dtype, device=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", checks.DTYPES, ids=str)
@pytest.mark.parametrize("act", checks.ACTIVATIONS, ids=str)
def test_bits_of_every_activation_are_those_of_the_processors_kernels(act, dtype):
    checks.check_bits(act, dtype=dtype, device=CPU)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits_are_float32_rounded_once(dtype):
    checks.check_sixteen_bits(dtype, device=CPU)


@pytest.mark.parametrize("layout", checks.LAYOUTS)
def test_layouts(layout):
    checks.check_layouts(layout, device=CPU)


@pytest.mark.parametrize("count", [1, 7, 1023, 1024, 4099])
def test_sizes(count):
    checks.check_sizes(count, device=CPU)


@pytest.mark.parametrize("layout", ["value_first", "gate_first", "interleaved"])
def test_gated_units_of_a_packed_tensor(layout):
    checks.check_gated(layout, device=CPU)


@pytest.mark.parametrize("layout", ["value_first", "gate_first", "interleaved"])
def test_a_packed_tensor_is_not_copied(layout):
    packed = torch.empty(9, 40)
    value, gate = split(packed, layout=layout, dim=-1)
    laid = tiled([value, gate, torch.empty(9, 20)])
    assert [each.tensor.data_ptr() for each in laid.operands[:2]] == [value.data_ptr(), gate.data_ptr()]


@pytest.mark.parametrize("case", checks.PARAMETERS)
def test_gradients_of_parameters(case):
    shape, param = checks.PARAMETERS[case]
    checks.check_parameters(shape, param, device=CPU)


def test_memory_beside_the_elements_adds_nothing():
    checks.check_beside_the_elements(CPU)


def test_the_derivative_is_an_operator_again():
    made = pointwise_of(get("softplus"))
    x = torch.linspace(-5, 5, 101)
    (second,) = gpu.pull_back(made.slope(0), torch.ones_like(x), [x], [True])
    exact = torch.sigmoid(x.double())
    torch.testing.assert_close(second, (exact * (1 - exact)).float(), rtol=3e-7, atol=0)


def test_a_gradient_that_is_not_needed_is_not_computed():
    made = pointwise_of(get("swiglu"))
    x = torch.randn(8)
    value, gate = gpu.pull_back(made, x, [x, x], [False, True])
    assert value is None
    assert gate is not None


def test_an_empty_tensor_has_parameters_with_gradient_zero():
    made, _ = checks.learned("swish")
    x, beta = torch.empty(0, 3), torch.ones(3)
    _, slope = gpu.pull_back(made, x, [x, beta], [True, True])
    assert torch.equal(slope, torch.zeros(3))


def test_a_grid_of_more_elements_than_32_bits_count():
    laid = Tiled(1, 1, 2**33 + 5, ())
    tile = tile_of(laid, sums=(), size=2)
    assert tile.cols * tile.grid[0] >= laid.cols > tile.cols * (tile.grid[0] - 1)


def test_what_does_not_fit_is_refused(monkeypatch):
    made = pointwise_of(get("relu"))
    x = torch.ones(4)
    with pytest.raises(BadInput, match=r"one floating-point dtype; got torch.float32, torch.float64"):
        gpu.pull_back(made, x.double(), [x], [True])
    with pytest.raises(BadInput, match=r"one floating-point dtype; got torch.int64"):
        gpu.value(made, [torch.ones(4, dtype=torch.int64)])
    with pytest.raises(BadInput, match=r"out must have the shape \(4,\); got \(5,\)"):
        gpu.value(made, [x], out=torch.ones(5))
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(BadInput, match=r"on an NVIDIA GPU; got one on cpu. Move it there: x.cuda\(\)"):
        gpu.value(made, [x])


def test_an_interpreter_that_rounds_twice_is_refused(monkeypatch):
    monkeypatch.setattr("triton.__version__", "3.8.1")
    with pytest.raises(BadInput, match=r"pip install 'triton>=3.9'"):
        gpu.value(pointwise_of(get("relu")), [torch.ones(4)])


def test_without_triton_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "triton", None)
    with pytest.raises(MissingExtra, match=r"pip install 'actlab\[gpu\]'"):
        gpu.value(pointwise_of(get("relu")), [torch.ones(4)])
