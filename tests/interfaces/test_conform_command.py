"""The command `conform`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Run, caller

FORMATS = ("float16", "bfloat16", "e4m3", "e5m2")
MODEL = """
import torch
from torch import nn


def load():
    torch.manual_seed(0)
    layers = []
    for _ in range(3):
        layers += [nn.Linear(8, 8), nn.ACT]
    return nn.Sequential(*layers, nn.Linear(8, 2)), torch.randn(16, 8)
"""


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL.replace("ACT", "SiLU()"))
    (tmp_path / "other.py").write_text(MODEL.replace("ACT", "GELU(approximate='tanh')"))
    (tmp_path / "config.json").write_text('{"hidden_act": "gelu_pytorch_tanh"}')
    (tmp_path / "empty.json").write_text("{}")
    return caller(capsys, monkeypatch)


@pytest.mark.parametrize("to", ["config.json", "other.py:load"])
def test_a_model_that_runs_another_function_exits_with_1(call: Run, to: str) -> None:
    said = call("conform", "model.py:load", "--to", to)
    assert said.status == 1
    assert "DIFFERS: another function" in said.out
    assert said.out.rstrip().endswith("3 of 3 activations do not run what is declared.")

    answer = call("conform", "model.py:load", "--to", to, "--json").json
    assert not answer["conforms"]
    assert {row["runs"] for row in answer["sites"]} == {"silu"}
    assert all(set(row) >= {"path", "file", "line", "declared", "runs", "max_difference"} for row in answer["sites"])
    assert [row["line"] for row in answer["sites"]] == [10, 10, 10]


def test_one_that_runs_it_exits_with_0_and_ranges_are_shown(call: Run) -> None:
    said = call("conform", "other.py:load", "--to", "config.json", "--ranges")
    assert said.status == 0
    assert "All 3 activations for which one is declared run it." in said.out
    rows = [line.split() for line in said.out.splitlines() if "octaves" in line]
    assert [name for row in rows for name in row if name in FORMATS] == list(FORMATS)
    ranges = call("conform", "other.py:load", "--to", "config.json", "--ranges", "--json").json["ranges"]
    assert set(ranges[0]["formats"]) == set(FORMATS)


@pytest.mark.parametrize(
    ("to", "said_of_it"),
    [
        ("none.json", "a configuration must be a JSON file"),
        ("empty.json", "an activation must be named"),
        ("other.py:lode", "Did you mean 'load'?"),
    ],
)
def test_a_wrong_target_is_refused_with_2(call: Run, to: str, said_of_it: str) -> None:
    said = call("conform", "model.py:load", "--to", to)
    assert said.status == 2
    assert said_of_it in said.err
    assert not said.out
