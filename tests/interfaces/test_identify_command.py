"""`actlab identify` and `actlab novel`: exit status and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actlab.cli.entry import app
from actlab.errors import BadInput

FILE = """
import torch

def gate(x):
    return x * torch.sigmoid(1.702 * x)

def other(x):
    return torch.sin(x) * torch.tanh(x * x)
"""


def test_identify_prints_what_others_rely_on(tmp_path: Path) -> None:
    file = tmp_path / "boxes.py"
    file.write_text(FILE)
    found = CliRunner().invoke(app, ["identify", f"{file}:gate", "--json"])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert answer["name"] == "quick_gelu"
    assert {"parameters", "layout", "max_difference", "parts_at", "nearest"} <= answer.keys()
    none = CliRunner().invoke(app, ["identify", f"{file}:other"])
    assert none.exit_code == 1
    assert "None of the catalog's activations." in none.stdout


@pytest.mark.parametrize("subject", ["gate", "absent.py:gate", "absent.onnx:node", "absent.so:tanh", "math:absent"])
def test_a_subject_that_is_not_there_is_misuse(subject: str) -> None:
    found = CliRunner().invoke(app, ["identify", subject])
    assert isinstance(found.exception, BadInput)


def test_novel_prints_what_others_rely_on() -> None:
    found = CliRunner().invoke(app, ["novel", "2*tanh(3*x - 1) + 0.5*x", "--json"])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert answer["same_as"] == "tanh"
    assert answer["scaling"] == pytest.approx({"a": 2, "b": 3, "c": -1, "d": 0.5, "e": 0}, abs=1e-6)
    assert CliRunner().invoke(app, ["novel", "x*atan(exp(x))"]).exit_code == 1
