"""The Keras layer on PyTorch, with the real Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="the extra 'keras' is not installed")

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation as Formula

POINTWISE = [act.name for act in CATALOG.values() if isinstance(act, Formula) and len(act.inputs) == 1]

# Keras reads its backend and its folder when it is imported, so each program has a process of its own.
SAVE = """
import keras, numpy as np, sys
from actlab.keras import Activation
folder, names = sys.argv[1], sys.argv[2:]
x = np.linspace(-4, 4, 24, dtype="float32").reshape(3, 8)
inputs = keras.Input((8,))
model = keras.Model(inputs, [Activation(name, name=f"act_{at}")(inputs) for at, name in enumerate(names)])
for number, weight in enumerate(model.weights):
    weight.assign(weight + 0.125 / (number + 1))
model.save(f"{folder}/model.keras")
np.savez(f"{folder}/before.npz", *[np.asarray(y.detach()) for y in model(x)])
"""
LOAD = """
import keras, numpy as np, sys
from actlab.keras import Activation
folder = sys.argv[1]
x = np.linspace(-4, 4, 24, dtype="float32").reshape(3, 8)
model = keras.saving.load_model(f"{folder}/model.keras", safe_mode=True)
np.savez(f"{folder}/after.npz", *[np.asarray(y.detach()) for y in model(x)])
print(sum(isinstance(layer, Activation) for layer in model.layers), len(model.trainable_weights))
"""
TRAIN = """
import keras, numpy as np, torch
import actlab
from actlab.keras import Activation

act = Activation("x*sigmoid(beta*x); beta=1.5")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), act, keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.1), "mse")
model.fit(np.random.default_rng(0).normal(size=(64, 4)), np.ones(64), verbose=0)
assert abs(float(act.weights[0].numpy()) - 1.5) > 1e-6, "beta is not learned"

frozen = Activation("swish", trainable=False)
frozen.build((None, 4))
assert frozen.weights and not frozen.trainable_weights
assert Activation.from_config(frozen.get_config()).trainable is False

x = torch.linspace(-3, 3, 101, requires_grad=True)
(slope,) = torch.autograd.grad(Activation("mish")(x).sum(), x)
exact = x.detach().double().requires_grad_()
(wanted,) = torch.autograd.grad(torch.nn.functional.mish(exact).sum(), exact)
assert (slope - wanted).abs().max() < 1e-6
half = Activation("mish", dtype="bfloat16")(x)
assert half.dtype == torch.bfloat16

for name in ("softmax", "swiglu"):
    try:
        Activation(name)
    except actlab.ActlabError as error:
        assert "Choose another" in str(error), error
    else:
        raise SystemExit(f"{name} was accepted")
"""
LOWERED = """
import keras, numpy as np, sys
from actlab.catalog.index import get
from actlab.formula.expr import Input
from actlab.lower import to_keras, to_mpmath
points = (-9.5, -2.25, -1.0, -0.0625, 0.0, 0.5, 1.0, 3.75, 11.0)
worst = {}
for name in sys.argv[1:]:
    act = get(name)
    z = Input(act.inputs[0])
    parts = [act.formula, act.derivative()]
    found = to_keras.program(parts, [z]).function(keras.ops.convert_to_tensor(points, dtype="float64"))
    exact = [to_mpmath.program(parts, [z]).function(point) for point in points]
    for at, column in enumerate(found):
        values = np.broadcast_to(np.asarray(column), len(points))
        error = max(abs(float(v) - float(e[at])) / (1 + abs(float(e[at]))) for v, e in zip(values, exact))
        if not error < 1e-9:
            worst[name, at] = error
print(worst or "exact")
"""
SITES = """
import keras, torch
import actlab
from actlab.keras import Activation
inner = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, activation="gelu", name="deep")], name="inner")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu", name="first"),
                          Activation("mish", name="act"), inner, keras.layers.Activation("tanh", name="last")])
for site in actlab.sites(model, torch.randn(3, 4)):
    print(site.path, site.activation, site.file.rpartition("/")[2] or "-")
"""


def ran(program: str, *arguments: str, folder: Path, backend: str = "torch") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"KERAS_BACKEND": backend, "KERAS_HOME": str(folder / "keras")}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_saved_model_is_loaded_in_a_fresh_process_to_the_last_bit(tmp_path: Path) -> None:
    names = [*POINTWISE, "x*sigmoid(1.702*x)", "x*sigmoid(beta*x); beta=1.25"]
    saved = ran(SAVE, str(tmp_path), *names, folder=tmp_path)
    assert saved.returncode == 0, saved.stderr[-2000:]
    loaded = ran(LOAD, str(tmp_path), folder=tmp_path)
    assert loaded.returncode == 0, loaded.stderr[-2000:]
    layers, weights = map(int, loaded.stdout.split())
    assert layers == len(names)
    assert weights > 5
    before, after = np.load(tmp_path / "before.npz"), np.load(tmp_path / "after.npz")
    apart = [
        name for name, key in zip(names, before.files, strict=True) if before[key].tobytes() != after[key].tobytes()
    ]
    assert not apart


def test_parameters_are_learned_or_frozen_and_the_derivative_is_exact(tmp_path: Path) -> None:
    done = ran(TRAIN, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_printed_program_is_the_formula_and_its_derivative(tmp_path: Path) -> None:
    done = ran(LOWERED, *POINTWISE, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "exact"


def test_a_backend_that_is_not_installed_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    program = "import sys; sys.modules['tensorflow'] = None\nfrom actlab.keras import Activation"
    done = ran(program, folder=tmp_path, backend="tensorflow")
    assert "BadInput: KERAS_BACKEND: must name a backend that is installed; got tensorflow" in done.stderr


def test_a_site_is_the_keras_layer_and_not_a_file_of_keras(tmp_path: Path) -> None:
    done = ran(SITES, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line.split() for line in done.stdout.splitlines()]
    assert [each[:2] for each in found] == [
        ["first", "relu"],
        ["act", "mish"],
        ["inner.deep", "gelu"],
        ["last", "tanh"],
    ]
    assert {file for *_, file in found} <= {"-", "<string>"}
