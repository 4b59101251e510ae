"""What `actlab doctor` says of this installation, and of worse ones."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
from typer.testing import CliRunner

from actlab.cli import app
from actlab.verbs.doctor import doctor

NEEDS = ["torch>=2.6", "onnx>=1.17; extra == 'onnx'", "ray[client]>=99; extra == 'ray'", "absent>=1; extra == 'web'"]


@pytest.fixture
def worse(monkeypatch):
    """An installation with an extra that is there, one that is too old, and one that is absent."""
    module = sys.modules["actlab.verbs.doctor"]

    class Metadata:
        def get_all(self, _):
            return ["onnx", "ray", "web", "dev"]

    def installed(name):
        found = {"onnx": "1.17.0", "ray": "2.60.0"}
        if name == "absent":
            raise PackageNotFoundError(name)
        return found.get(name) or version(name)

    monkeypatch.setattr(module, "metadata", lambda _: Metadata())
    monkeypatch.setattr(module, "requires", lambda _: NEEDS)
    monkeypatch.setattr(module, "version", installed)


def test_the_cpu_runs_and_the_versions_are_those_installed():
    found = doctor()
    assert found.is_well
    assert found.versions["torch"] == version("torch")
    assert "kernels run" in found.kernels[0].detail
    assert {"onnx", "tensorboard"} <= {each.extra for each in found.packages}
    assert found.to_frame()["works"].dtype == bool


def test_what_is_absent_or_too_old_is_named_with_the_line_that_installs_it(worse):
    found = doctor()
    assert [(each.extra, each.ok) for each in found.packages] == [("onnx", True), ("ray", False), ("web", False)]
    assert found.advice == ("pip install --upgrade 'actlab[ray]'", "pip install --upgrade 'actlab[web]'")
    text = "\n".join(found.lines())
    assert "ray 2.60.0, wanted >=99" in text
    assert "absent not installed" in text


def test_a_kernel_that_is_wrong_is_noticed(monkeypatch):
    module = sys.modules["actlab.verbs.doctor"]
    import actlab.nn.functions as functions

    right = functions.functional
    monkeypatch.setattr(functions, "functional", lambda name: lambda x: right(name)(x) * 1.01)
    agrees, why = module._agrees("cpu")
    assert not agrees
    assert "differs from PyTorch's by 0.0" in why


def test_the_command_prints_json():
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["kernels"][0]["ok"] is True
