"""The checks of tests/unit/kernels/test_gpu.py on a real GPU, the whole catalog among them."""

from __future__ import annotations

import pytest
import torch

import gpu_checks as checks

pytest.importorskip("triton", reason="the extra 'gpu' is not installed")

if not torch.cuda.is_available() or torch.version.hip is not None:
    pytest.skip("there is no NVIDIA GPU", allow_module_level=True)

GPU = "cuda"


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")


@pytest.mark.parametrize("act", checks.ACTIVATIONS, ids=str)
def test_every_activation_meets_its_bounds(act):
    checks.check_bounds(act, device=GPU)


@pytest.mark.parametrize("dtype", checks.DTYPES, ids=str)
@pytest.mark.parametrize("act", checks.ACTIVATIONS, ids=str)
def test_bits_are_those_of_the_processors_kernels(act, dtype):
    checks.check_bits(act, dtype=dtype, device=GPU)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits_are_float32_rounded_once(dtype):
    checks.check_sixteen_bits(dtype, device=GPU)


@pytest.mark.parametrize("layout", checks.LAYOUTS)
def test_layouts(layout):
    checks.check_layouts(layout, device=GPU)


@pytest.mark.parametrize("count", [1, 7, 1023, 1024, 4099, 1_000_003])
def test_sizes(count):
    checks.check_sizes(count, device=GPU)


@pytest.mark.parametrize("layout", ["value_first", "gate_first", "interleaved"])
def test_gated_units_of_a_packed_tensor(layout):
    checks.check_gated(layout, device=GPU)


@pytest.mark.parametrize("case", checks.PARAMETERS)
def test_gradients_of_parameters(case):
    shape, param = checks.PARAMETERS[case]
    checks.check_parameters(shape, param, device=GPU)


def test_padding_adds_nothing():
    checks.check_beside_the_elements(GPU)


def test_more_elements_than_32_bits_count():
    count = 2**31 + 5
    if torch.cuda.mem_get_info()[0] < 5 * count:
        pytest.skip("the GPU's memory is too small for 2³¹ elements twice")
    checks.check_ends(count, device=GPU)
