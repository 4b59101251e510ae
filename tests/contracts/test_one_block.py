"""One block in a user's own file brings everything: nothing else is touched to add an activation."""

from __future__ import annotations

import copy
import importlib.util
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import actlab
from actlab.formula.atoms import sin
from actlab.formula.text import text
from actlab.lower.choose import TARGETS
from actlab.lower.standalone import standalone
from actlab.lower.to_latex import latex
from actlab.verbs import show

BLOCK = '''
from actlab import Param, activation
from actlab.formula.atoms import sin, where


@activation(source="nobody, 2026", aliases=("wobble",), known={{-1: -0.1, 0: 0, 1: {at_one}}})
def wiggle(x, depth=Param(0.5, above=0, trainable=True)):
    """A leaky line on the left, a waving one on the right."""
    return where(x <= 0, x / 10, x + depth * sin(x))
'''


@pytest.fixture
def wiggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> actlab.Activation:
    path = tmp_path / "own_block.py"
    path.write_text(BLOCK.format(at_one=1 + 0.5 * math.sin(1)))
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location("own_block", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_block", module)
    spec.loader.exec_module(module)
    act: actlab.Activation = module.wiggle
    return act


def exact(x: float, depth: float = 0.5) -> float:
    return x / 10 if x <= 0 else x + depth * math.sin(x)


def slope(x: float, depth: float = 0.5) -> float:
    return 0.1 if x <= 0 else 1 + depth * math.cos(x)


def test_it_is_named_documented_and_differentiated(wiggle: actlab.Activation) -> None:
    assert (wiggle.name, wiggle.family, wiggle.aliases) == ("wiggle", "own_block", ("wobble",))
    assert wiggle.summary == "A leaky line on the left, a waving one on the right."
    assert text(wiggle.derivative()) == "where(x <= 0, 0.1, 1 + 0.5*cos(x))"
    assert actlab.get(wiggle, depth=2).label == "wiggle(depth=2)"
    for x, y in wiggle.known:
        assert exact(x) == pytest.approx(y)


def test_its_properties_are_established(wiggle: actlab.Activation) -> None:
    facts = actlab.properties(wiggle).to_json()
    assert [(kink["at"], kink["derivative"]) for kink in facts["kinks"]] == [(0.0, 0.1)]
    assert facts["range"]["lower"] == "-inf"
    assert facts["range"]["upper"] == "inf"
    assert facts["lipschitz"] == pytest.approx(1.5)


def test_its_gain_is_that_of_sampled_noise(wiggle: actlab.Activation) -> None:
    noise = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = actlab.functional(wiggle)(noise)
    assert actlab.gain(wiggle) == pytest.approx(float(values.square().mean().rsqrt()), rel=3e-3)
    assert actlab.moments(wiggle).mean == pytest.approx(float(values.mean()), abs=3e-3)


# How a target's program is given a number: its import, and the number; others take a float as it is.
NUMBERS = {
    "numpy": ("import numpy", "numpy.float64({})"),
    "torch": ("import torch", "torch.tensor({})"),
    "mpmath": ("import mpmath", "mpmath.mpf({})"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_spells_it(wiggle: actlab.Activation, target: str, tmp_path: Path) -> None:
    imported, number = NUMBERS.get(target, ("", "{}"))
    calls = [f"print(float(wiggle({x})), float(wiggle_derivative({x})))" for x in map(number.format, (-1.5, 2.5))]
    lines = [standalone(wiggle, target), imported, *calls]
    (tmp_path / "alone.py").write_text("\n".join(lines))
    ended = subprocess.run([sys.executable, "-I", "alone.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = [float(word) for word in ended.stdout.split()]
    assert found == pytest.approx([exact(-1.5), slope(-1.5), exact(2.5), slope(2.5)], rel=1e-6)


def test_its_latex_is_a_case_distinction(wiggle: actlab.Activation) -> None:
    assert latex(wiggle.expression).startswith(r"\begin{cases} \frac{x}{10} & \text{if } x \le 0")


def test_it_is_a_module_that_trains_and_travels(wiggle: actlab.Activation) -> None:
    module = actlab.module(wiggle, channels=3).double()
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(module, (x,))
    module(x).sum().backward()
    torch.testing.assert_close(module.depth.grad, torch.where(x > 0, x.sin(), 0).sum(0).detach())
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(copied(x), module(x), rtol=0, atol=0)


def test_it_compiles_and_batches(wiggle: actlab.Activation) -> None:
    module = actlab.module(wiggle).eval()
    x = torch.linspace(-3, 3, 7)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x))
    slopes = torch.func.vmap(torch.func.grad(actlab.functional(wiggle)))(x)
    torch.testing.assert_close(slopes, torch.tensor([slope(float(each)) for each in x]))


def test_it_is_exported_and_drawn(wiggle: actlab.Activation, tmp_path: Path) -> None:
    from actlab.report.curve import draw_curve

    assert "<svg" in draw_curve(wiggle, tmp_path / "wiggle.svg").read_text()
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    path = tmp_path / "wiggle.onnx"
    x = torch.linspace(-3, 3, 7)
    module = actlab.module(wiggle).eval()
    torch.onnx.export(module, (x,), str(path), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), module(x).detach())


def test_it_takes_part_in_a_comparison(wiggle: actlab.Activation) -> None:
    from actlab.study.arm import named_arm

    arm = named_arm(wiggle)
    assert arm.name == "wiggle"
    assert arm.build is not None
    torch.testing.assert_close(arm.build()(torch.tensor([-1.0])).detach(), torch.tensor([-0.1]))


def test_three_lines_without_source_or_description_bring_everything() -> None:
    @actlab.activation
    def plain(x):
        return x * sin(x)

    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    torch.testing.assert_close(actlab.module(plain)(x), x * torch.sin(x))
    shown = "\n".join(show(plain).lines())
    assert "x*sin(x)" in shown
    assert '"""Declared without a description. (plain)"""' in standalone(plain, "torch")
