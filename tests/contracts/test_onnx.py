"""Every activation exported to ONNX and run by onnxruntime: one graph a family, equal to eager within a bound."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import tolerances
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn import GRU, module
from families import FAMILIES, Family, points

onnx = pytest.importorskip("onnx", reason="needs the onnx extra: pip install 'actlab[onnx]'")
pytest.importorskip("onnxscript", reason="needs the onnx extra: pip install 'actlab[onnx]'")
runtime = pytest.importorskip("onnxruntime", reason="needs the onnx extra: pip install 'actlab[onnx]'")


@pytest.fixture(autouse=True)
def quiet_exporter() -> Iterator[None]:
    """Without the exporter's remarks on packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def exported(network: nn.Module, x: Tensor) -> object:
    return torch.onnx.export(network.eval(), (x,), dynamo=True, verbose=False).model_proto


def run(model: object, x: Tensor) -> list[Tensor]:
    session = runtime.InferenceSession(model.SerializeToString())
    return [torch.from_numpy(y) for y in session.run(None, {session.get_inputs()[0].name: x.numpy()})]


def scale(act: Activation | AxisActivation, x: Tensor) -> Tensor:
    """How much an error in an atom is enlarged: by the size of what it is multiplied with."""
    if isinstance(act, AxisActivation):
        return torch.ones(())
    if len(act.inputs) == 1:
        return 1 + x.abs()
    value, gate = x.chunk(2, -1)
    return (1 + value.abs()) * (1 + gate.abs())


def faults(act: Activation | AxisActivation, x: Tensor, found: Tensor, wanted: Tensor) -> list[str]:
    off = (found - wanted).abs()
    allowed = tolerances.ONNX_ABSOLUTE * scale(act, x) + tolerances.ONNX_RELATIVE * wanted.abs()
    said = [] if (off <= allowed).all() else [f"{act.name} is off by {off.max():.3g}"]
    normal = wanted.abs() > tolerances.SMALLEST_FLOAT32
    relative = (off / wanted.abs())[normal].max().item()
    if (relative > tolerances.ONNX_TAIL) != (act.name in tolerances.ONNX_LOSES_TAIL):
        said.append(f"{act.name}'s tail is off by {relative:.1g} of itself, against the list")
    return said


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_gives_the_same_under_onnxruntime(family: str) -> None:
    network, x = Family(family), points()
    with torch.no_grad():
        wanted = network.eval()(x)
    found = run(exported(network, x), x)
    said = [faults(*each) for each in zip(FAMILIES[family], [x] * len(found), found, wanted, strict=True)]
    assert not [fault for each in said for fault in each]


def test_a_fault_is_found() -> None:
    (gelu,) = [act for act in FAMILIES["self_gated"] if act.name == "gelu"]
    x = points()
    wanted = module("gelu")(x)
    assert faults(gelu, x, wanted + 1e-4, wanted) == ["gelu is off by 0.0001"]
    assert "against the list" in faults(gelu, x, wanted, wanted)[0]  # the list says that it loses its tail


def test_parameters_become_initializers() -> None:
    network = module("dynamic_tanh", channels=24, alpha=0.7)
    model = exported(network, points())
    shapes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    for name in ("alpha", "weight", "bias"):
        assert shapes[name] == (24,)


def test_the_batch_axis_may_vary() -> None:
    network, x = module("swish"), points()
    program = torch.onnx.export(
        network.eval(), (x,), dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim("batch", min=2)},)
    )
    more = torch.cat([x, x + 1, x - 1])
    with torch.no_grad():
        torch.testing.assert_close(run(program.model_proto, more)[0], network(more), rtol=1e-5, atol=1e-5)


def test_recurrent_layers_are_exported() -> None:
    network = nn.Sequential(GRU(3, 4, gate="hard_sigmoid"))
    x = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, last = network(x)
    outputs, state = run(exported(network, x), x)
    torch.testing.assert_close(outputs, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-6)
