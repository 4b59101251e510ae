"""The command `certify`, as a user runs it: text, JSON, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from actlab import verbs
from actlab.catalog.index import get
from actlab.cli import app
from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.measure.accuracy import generate


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["certify", *args])


def test_an_accurate_activation_has_status_0() -> None:
    result = run("relu", "--json", "--dtype", "float16")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert {"formula", "dtype", "mode", "forward", "backward", "non_finite", "zero_gradient"} <= set(answer)
    assert answer["rounding"] == {"forward": 0, "backward": 0, "first": None}


def test_a_formula_with_parameters_against_pytorch() -> None:
    result = run("leaky_relu", "-p", "negative_slope=0.2", "--against", "torch")
    assert result.exit_code == 0, result.output
    assert "leaky_relu(negative_slope=0.2) in float32, accurate mode" in result.stdout
    assert "torch: backward (x)" in result.stdout


def test_a_fault_has_status_1() -> None:
    # a difference that no arithmetic of one width keeps
    result = run("exp(x) - exp(x - 1e-9*sin(x)) + 1e-30*x")
    assert result.exit_code == 1, result.output
    assert "Fault: " in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "certify requires one activation, by name or formula, or --all for the whole catalog"),
        (("relu", "--all"), "or --all for the whole catalog"),
        (("relu", "--dtype", "int8"), "got 'int8'"),
        (("softmax",), "softmax acts along an axis"),
        (("--all", "--output", "/no/such/folder/file.json"), "the folder /no/such/folder does not exist"),
    ],
)
def test_a_usage_error_is_an_actlab_error(args: tuple[str, ...], message: str) -> None:
    result = run(*args)
    assert isinstance(result.exception, ActlabError)
    assert message in str(result.exception)


def test_all_writes_the_data_file_and_reports_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    act = get("relu")
    assert isinstance(act, Activation)
    monkeypatch.setattr(generate, "tasks", lambda: [(act, "fast", "float32"), (act, "accurate", "bfloat16")])
    path, seen = tmp_path / "certificates.json", []
    answer = verbs.certify_all(path, progress=lambda *each: seen.append(each))
    assert (answer.count, answer.is_well, answer.to_json()["certificates"]) == (2, True, 2)
    assert list(json.loads(path.read_text(encoding="utf-8"))) == [
        f"{act.key}:fast:float32",
        f"{act.key}:accurate:bfloat16",
    ]
    assert [each[:2] for each in seen] == [(0, 2), (1, 2), (2, 2)]
    assert answer.lines()[-1].startswith("2 certificates in ")
