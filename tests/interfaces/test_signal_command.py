"""`actlab signal`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Run, caller

NET = """
import torch
from torch import nn
torch.manual_seed(0)
ready = (nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 2)), torch.randn(16, 8))
broken = (nn.Sequential(nn.Linear(9, 32), nn.Tanh()), torch.randn(16, 8))
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return caller(capsys, monkeypatch)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    file = tmp_path / "net.py"
    file.write_text(NET, encoding="utf-8")
    return file


def test_the_table_and_the_numbers_are_those_of_the_verb(run: Run, net: Path) -> None:
    said = run("signal", f"{net}:ready")
    assert said.status == 0
    assert "tanh" in said.out
    found = run("signal", f"{net}:ready", "--json").json
    assert found["examples"] == 16
    (site,) = found["sites"]
    assert site["sigma_w"] == pytest.approx(3**-0.5, rel=0.2)  # PyTorch's own initialization
    assert f"{site['square']['measured']:.4g}" in said.out


def test_the_report_of_a_check_has_the_signal(run: Run, net: Path, tmp_path: Path) -> None:
    assert run("check", f"{net}:ready", "--fail-on", "never", "--report", str(tmp_path / "r.html")).status == 0
    assert "Signal over depth" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_model_that_raises_is_one_sentence(run: Run, net: Path) -> None:
    said = run("signal", f"{net}:broken")
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert "the model" in said.err
