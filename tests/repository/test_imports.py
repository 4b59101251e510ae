"""Imports run downward only; no circles, also not inside a function or under TYPE_CHECKING."""

from __future__ import annotations

from pathlib import Path

import pytest

from repository.layers import INSIDE, LAYERS, brought, faults, layer

SRC = Path(__file__).parents[2] / "src"


def test_imports_run_downward():
    found = faults(SRC)
    assert not found, "\n".join(found)


def test_every_package_belongs_to_a_layer():
    names = {path.stem for path in (SRC / "actlab").iterdir() if path.is_dir() or path.suffix == ".py"}
    missing = {name for name in names - {"__init__", "__pycache__"} if layer(name) is None}
    assert not missing, f"give these a row in layers.py and in the design: {sorted(missing)}"


@pytest.mark.parametrize("package", INSIDE)
def test_every_part_of_an_ordered_package_belongs_to_a_layer(package):
    paths = (SRC / "actlab" / package).iterdir()
    names = {path.stem for path in paths if path.is_dir() or path.suffix == ".py"} - {"__init__", "__pycache__"}
    assert names == frozenset().union(*INSIDE[package])


def test_torch_is_known_from_nn_up_and_in_kernels():
    with_torch = {name for packages in LAYERS for name in packages if "torch" in brought(name)}
    without = {
        "errors",
        "deprecation",
        "jsonable",
        "extras_import",
        "user_code",
        "formula",
        "catalog",
        "lower",
        "theory",
        "display",
    }
    assert with_torch == {name for packages in LAYERS for name in packages} - without


COUNTEREXAMPLES = {
    "upward": ({"formula/expr.py": "from actlab.nn import modules"}, "formula (layer 2) may not import nn"),
    "upward in a function": (
        {"theory/gains.py": "def gain():\n    import actlab.nn.modules\n"},
        "actlab.theory.gains:2: theory (layer 4) may not import nn",
    ),
    "upward under TYPE_CHECKING": (
        {"lower/choose.py": "import typing\nif typing.TYPE_CHECKING:\n    from actlab.verbs import show\n"},
        "lower (layer 3) may not import verbs",
    ),
    "upward by name": (
        {"nn/modules.py": "import_module('actlab.study.plan')"},
        "nn (layer 5) may not import study",
    ),
    "upward, relative": (
        {"formula/expr.py": "from ..nn import modules"},
        "formula (layer 2) may not import nn",
    ),
    "upward in a stub": (
        {"formula/__init__.pyi": "from ..nn import gru"},
        "formula (layer 2) may not import nn",
    ),
    "siblings": ({"catalog/relu.py": "from actlab.lower.to_numpy import text"}, "may not import lower"),
    "upward in a package": (
        {"sites/trace/recorder.py": "from actlab.sites.recognize import softmax", "sites/recognize/softmax.py": ""},
        "sites.trace (layer 2) may not import sites.recognize (layer 3)",
    ),
    "beside in a package": (
        {"sites/find.py": "from actlab.sites import listening", "sites/listening.py": ""},
        "sites.find (layer 4) may not import sites.listening (layer 4)",
    ),
    "no layer in a package": (
        {"sites/trace/run.py": "from actlab.sites.helpers import one", "sites/helpers.py": ""},
        "sites.helpers belongs to no layer of sites",
    ),
    "interfaces": ({"web.py": "from actlab.cli import app"}, "may not import cli"),
    "targets": (
        {"lower/to_torch.py": "from actlab.lower.to_numpy import text", "lower/to_numpy.py": ""},
        "lower.to_torch may not know lower.to_numpy",
    ),
    "extras": (
        {"extras/ray_runner.py": "from actlab.extras import mlflow_sink", "extras/mlflow_sink.py": ""},
        "extras.ray_runner may not know extras.mlflow_sink",
    ),
    "circle": (
        {
            "formula/expr.py": "from actlab.formula.param import Param",
            "formula/param.py": "def one():\n    from actlab.formula.expr import Expr\n",
        },
        "a circle: actlab.formula",
    ),
    "torch too low": ({"theory/gains.py": "def gain():\n    import torch\n"}, "theory may not import torch"),
    "anything in formula": ({"formula/expr.py": "import numpy"}, "formula may not import numpy"),
    "unknown package": ({"nn/modules.py": "import requests"}, "nn may not import requests"),
    "matplotlib too low": ({"catalog/names.py": "import matplotlib.pyplot"}, "catalog may not import matplotlib"),
    "sympy at once": ({"theory/limits.py": "import sympy"}, "sympy is imported at once"),
    "the root from inside": ({"nn/modules.py": "from actlab import gain"}, "the root is for users"),
    "the root, at once": ({"__init__.py": "from actlab.nn import modules"}, "the root imports lazily"),
    "no layer": ({"verbs/shown.py": "from actlab.helpers import show"}, "helpers belongs to no layer"),
}


@pytest.mark.parametrize(("files", "fault"), COUNTEREXAMPLES.values(), ids=COUNTEREXAMPLES)
def test_a_forbidden_import_is_found(tmp_path, files, fault):
    planted(tmp_path, files)
    found = faults(tmp_path)
    assert any(fault in line for line in found), found


def test_an_allowed_import_passes(tmp_path):
    planted(
        tmp_path,
        {
            "__init__.py": "import lazy_loader as lazy",
            "extras_import.py": "from actlab.errors import MissingExtra",
            "errors.py": "",
            "lower/choose.py": "from actlab.lower import to_numpy, to_torch",
            "lower/to_numpy.py": "import math",
            "lower/to_torch.py": "from actlab.formula.expr import walk",
            "formula/expr.py": "from .atoms import ATOMS",
            "formula/atoms.py": "",
            "sites/recognize/softmax.py": "from actlab.sites.trace import recorder\nfrom actlab.sites.site import Site",
            "sites/trace/recorder.py": "from actlab.sites.trace.calls import name_of",
            "theory/limits.py": "def limit():\n    import sympy\n",
            "kernels/runtime/jit.py": "import llvmlite, torch",
            "report/figures.py": "def draw():\n    from matplotlib import pyplot\n    import torch\n",
        },
    )
    assert faults(tmp_path) == []


def planted(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / "actlab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
