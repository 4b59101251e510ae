"""The control is diagnosed before the comparison, and the answer holds both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from actlab import verbs
from actlab.diagnosis.report import Report
from actlab.study import advise
from actlab.train.task import Task
from unit.report.findings import finding
from unit.report.quantities import quantities

KEYS = {"task", "arms", "verdict", "report", "sentence", "plan", "metric", "baseline", "region", "target", "look"}


def task() -> Task:
    inputs = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))

    def model(activation: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 2))

    return Task("signs", model, train=(inputs, (inputs[:, 0] > 0).long()), epochs=1, kind="classification")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of the diagnosis."""
    seen: list[dict[str, Any]] = []

    def diagnosed(given: Task, **options: Any) -> Report:
        seen.append(options)
        return Report((finding("AL103", "warning", message="It vanishes."),), (), (), quantities())

    monkeypatch.setattr(advise, "diagnosed", diagnosed)
    return seen


def test_the_control_is_diagnosed_and_its_findings_are_in_every_output(
    asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    said: list[str] = []
    place = tmp_path / "report.html"
    answer = verbs.advise(task(), activations=["tanh"], seeds=2, budget=1, report=place, say=said.append, seed=3)
    assert any("watched for 2 training steps." in line for line in said)
    assert [(one["train_steps"], one["seed"]) for one in asked] == [(2, 3)]
    text = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert set(text) >= KEYS
    assert text["diagnosis"]["findings"][0]["id"] == "AL103"
    assert len(text["diagnosis"]["health"]["gradients"]) == 5
    lines = "\n".join(answer.lines())
    assert lines.index("AL103") < lines.index("signs: ")
    assert "It vanishes." in place.read_text()


def test_the_diagnosis_can_be_left_out(asked: list[dict[str, Any]]) -> None:
    answer = verbs.advise(task(), activations=["tanh"], seeds=2, budget=1, diagnose=False)
    assert asked == []
    assert answer.to_json()["diagnosis"] is None


def test_a_plan_that_can_never_decide_is_warned_about_before_anything_is_run(asked: list[dict[str, Any]]) -> None:
    events: list[str] = []
    warning = "With 2 seeds no difference between 2 arms can be shown, however clear; at least 6 are needed."
    verbs.advise(task(), activations=["tanh"], seeds=2, budget=1, say=events.append, warn=events.append)
    assert events.index(warning) == 0
    assert events.count(warning) == 1
    events.clear()
    verbs.advise(task(), activations=["tanh"], seeds=2, budget=1, say=lambda line: None, warn=events.append)
    assert events == [warning]
