"""The command `memory`, as a user runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from actlab.cli import main

TASK = """
import torch
from torch import nn
from actlab import Task

def make_task():
    inputs = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    model = lambda: nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    return Task("signs", model, train=(inputs, (inputs[:, 0] > 0).long()))
"""


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["actlab", "memory", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_answer_goes_to_stdout_and_progress_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "my_task.py").write_text(TASK)
    assert run(monkeypatch, f"{tmp_path}/my_task.py:make_task", "--no-compiled", "--json") == 0
    said = capsys.readouterr()
    assert [row["choice"] for row in json.loads(said.out)["choices"]][:2] == ["as it is", "few-bit, 1 bit"]
    assert "few-bit, 4 bits" in said.err


def test_a_model_a_batch_and_a_loss_are_accepted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = [
        "import torch",
        "from torch import nn",
        "model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))",
    ]
    lines += ["ready = model, (torch.ones(3, 4), torch.zeros(3).long()), nn.CrossEntropyLoss()"]
    (tmp_path / "net.py").write_text("\n".join(lines))
    assert run(monkeypatch, f"{tmp_path}/net.py:ready", "--no-compiled", "--json") == 0
    assert [row["activation"] for row in json.loads(capsys.readouterr().out)["places"]] == ["gelu"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.py:make_task",), "BadTask: there is no file 'missing.py'"),
        (("--task", "digit"), "BadTask: no built-in task is named 'digit'. Did you mean 'digits'?"),
        (("data.csv",), "BadTask: data.csv is read as a table: name the column to predict with --target."),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert run(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(message)
    assert said.err.count("\n") == 1
