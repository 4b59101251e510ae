"""Black boxes are named with parameters, layout and clamp; what is not an activation is refused."""

from __future__ import annotations

import ctypes.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import actlab
from actlab import get, identify
from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.activation import Activation

Box = Callable[..., Tensor]


def quick(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def halves(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return functional.silu(gate) * value


def gpt_oss(limit: float) -> Box:
    def box(x: Tensor) -> Tensor:
        gate, value = x[..., ::2].clamp(max=limit), x[..., 1::2].clamp(-limit, limit)
        return (value + 1) * quick(gate)

    return box


@pytest.mark.parametrize(
    ("box", "name", "parameters"),
    [
        (functional.gelu, "gelu", {}),
        (nn.GELU(approximate="tanh"), "gelu_tanh", {}),
        (quick, "quick_gelu", {}),
        (functional.silu, "silu", {}),
        (nn.LeakyReLU(0.2), "leaky_relu", {"negative_slope": 0.2}),
        (nn.ELU(2.0), "elu", {"alpha": 2.0}),
        (nn.CELU(2.0), "celu", {"alpha": 2.0}),
    ],
    ids=["gelu", "gelu_tanh", "quick_gelu", "silu", "leaky_relu", "elu", "celu"],
)
def test_an_activation_is_named_with_its_parameters(box: Box, name: str, parameters: dict[str, float]) -> None:
    found = identify(box)
    assert found.name == name
    assert found.parameters == pytest.approx(parameters, abs=1e-3)
    assert found.max_difference is not None
    assert found.max_difference < 4e-6


@pytest.mark.parametrize(
    ("box", "name", "layout"),
    [
        (halves, "swiglu", "gate first"),
        (functional.glu, "glu", "value first"),
        (lambda x: x[..., 1::2] * functional.gelu(x[..., ::2]), "geglu", "interleaved, gate first"),
        (lambda value, gate: value * functional.silu(gate), "swiglu", "two tensors, value first"),
    ],
    ids=["halves", "glu", "interleaved", "two"],
)
def test_a_gated_unit_is_named_with_its_layout(box: Box, name: str, layout: str) -> None:
    found = identify(box)
    assert (found.name, found.layout) == (name, layout)


@pytest.mark.parametrize("limit", [7.0, 10.0])
def test_the_limit_of_a_clamped_unit_is_found(limit: float) -> None:
    found = identify(gpt_oss(limit))
    assert found.name == "clamped_swiglu"
    assert found.parameters["limit"] == pytest.approx(limit, abs=1e-3)


def test_a_clamp_before_the_activation_is_found() -> None:
    found = identify(lambda x: functional.silu(x.clamp(-7, 7)))
    assert found.name == "silu"
    assert found.clamp == pytest.approx((-7, 7), abs=2e-3)


def test_the_place_where_an_implementation_parts_is_named() -> None:
    found = identify(lambda x: torch.where(x < -6, 0.0, functional.silu(x)))
    assert found.name is None or (found.parts_at is not None and found.parts_at[0] < -5.9)


@pytest.mark.parametrize("box", [lambda x: torch.sin(x) * torch.tanh(x * x), lambda x: x * torch.atan(x.exp())])
def test_another_function_is_none_of_these(box: Box) -> None:
    found = identify(box)
    assert found.name is None
    assert found.nearest


def test_an_affine_relative_is_named() -> None:
    found = identify(lambda x: 2 * torch.tanh(0.3 * x + 1) + 0.5)
    assert found.name != "tanh"
    assert found.name is not None or found.affine is not None


def raising(x: Tensor) -> Tensor:
    raise RuntimeError("no such kernel")


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (lambda x: x + torch.rand_like(x), "random"),
        (lambda x: x * torch.nan, "NaN"),
        (lambda x: x.int(), "floating-point"),
        (lambda x: x.sum(), "as many outputs"),
        (lambda x: x.softmax(-1), "element-wise"),
        (raising, "no such kernel"),
    ],
    ids=["random", "nan", "integers", "shape", "axis", "raising"],
)
def test_what_is_not_an_activation_is_refused(box: Box, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        identify(box)


def test_a_function_of_a_shared_library_is_named() -> None:
    library = ctypes.util.find_library("m")
    if library is None:
        pytest.skip("the C library of mathematics is not found")
    file = next((each for each in Path("/").glob(f"lib/*/{library}")), None)
    if file is None:
        pytest.skip("the C library of mathematics has no known place")
    assert identify(f"{file}:tanh:double").name == "tanh"
    assert identify(f"{file}:tanhf").name == "tanh"


def test_a_node_of_an_onnx_file_is_named(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper = onnx.helper
    sides = [helper.make_tensor_value_info(each, onnx.TensorProto.FLOAT, ["n"]) for each in ("x", "y")]
    nodes = [
        helper.make_node("Relu", ["x"], ["h"], name="first"),
        helper.make_node("LeakyRelu", ["h"], ["y"], name="second", alpha=0.125),
    ]
    graph = helper.make_graph(nodes, "two", sides[:1], sides[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "two.onnx"))
    found = identify(f"{tmp_path}/two.onnx:second")
    assert (found.name, found.parameters) == ("leaky_relu", {"negative_slope": pytest.approx(0.125, abs=1e-3)})
    with pytest.raises(BadInput, match="one node 'third'"):
        identify(f"{tmp_path}/two.onnx:third")


def draws(act: Activation) -> list[Activation]:
    """Return the activation at three draws of its parameters: as declared, and halfway and half as much again."""
    found = [act]
    for factor in (0.7, 1.4):
        values = {param.name: round(param.value * factor, 4) for param in act.params if param.sampler is None}
        if all(param.admits(values.get(param.name, param.value)) for param in act.params):
            found.append(act.bind(**values))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("act", [act for act in CATALOG.values() if isinstance(act, Activation)], ids=str)
def test_the_catalog_is_named(act: Activation, dtype: str) -> None:
    for drawn in draws(act):
        function = actlab.functional(drawn)
        found = identify(lambda *x, function=function: function(*x), dtype=dtype)
        assert found.name is not None, drawn.label
        same = get(found.name, **found.parameters)
        assert isinstance(same, Activation)
        x = torch.linspace(-6, 6, 601)
        inputs = [x, x.flip(0) / 2 + 0.1][: len(act.inputs)]
        loose = 1e-3 if dtype == "float32" else 3e-2
        torch.testing.assert_close(actlab.functional(same)(*inputs), function(*inputs), rtol=loose, atol=loose)
