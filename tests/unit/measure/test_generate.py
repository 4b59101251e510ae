"""Certificates are measured anew only if they are missing or of other kernels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.measure.accuracy import generate, stored
from actlab.measure.accuracy.certificate import certificate
from actlab.measure.implementations import kernels

RELU, TANH = get("relu"), get("tanh")
assert isinstance(RELU, Activation)
assert isinstance(TANH, Activation)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is measured, at a few points each."""
    names: list[str] = []

    def few(act: Activation, **options: object) -> object:
        if getattr(options.get("function"), "name", "") != "torch":  # the other one, where a processor decides
            names.append(act.name)
        return certificate(act, **{**options, "against": ()}, count=1000)

    monkeypatch.setattr(generate, "certificate", few)
    return names


def catalog(monkeypatch: pytest.MonkeyPatch, *acts: Activation) -> None:
    monkeypatch.setattr(generate, "tasks", lambda: [(act, "accurate", "float32") for act in acts])


def keys(path: Path) -> set[str]:
    return set(json.loads(path.read_text(encoding="utf-8")))


def key(act: Activation) -> str:
    return stored.key_of(act, mode="accurate", dtype="float32")


def test_only_what_is_missing_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "certificates.json"
    catalog(monkeypatch, RELU)
    generate.main(["--output", str(path)])
    before = path.read_text(encoding="utf-8")
    generate.main(["--output", str(path)])
    assert measured == ["relu"]
    assert path.read_text(encoding="utf-8") == before
    catalog(monkeypatch, TANH, RELU)
    generate.main(["--output", str(path)])
    assert measured == ["relu", "tanh"]
    assert keys(path) == {key(RELU), key(TANH)}
    said = capsys.readouterr()
    assert said.err.startswith("1 certificates to measure")
    assert said.out.splitlines()[-1].startswith("2 certificates in ")


def test_an_activation_that_is_gone_leaves_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: list[str]
) -> None:
    path = tmp_path / "certificates.json"
    catalog(monkeypatch, RELU, TANH)
    generate.main(["--output", str(path)])
    catalog(monkeypatch, TANH)
    generate.main(["--output", str(path)])
    assert measured == ["relu", "tanh"]
    assert keys(path) == {key(TANH)}


@pytest.mark.parametrize("why", ["other kernels", "all"])
def test_other_kernels_or_all_measure_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: list[str], why: str
) -> None:
    path = tmp_path / "certificates.json"
    catalog(monkeypatch, RELU)
    generate.main(["--output", str(path)])
    if why == "other kernels":
        monkeypatch.setattr(generate, "VERSION", "of another day")
    generate.main(["--output", str(path), *["--all"] * (why == "all")])
    assert measured == ["relu", "relu"]


def test_the_faults_of_kept_certificates_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: list[str]
) -> None:
    path = tmp_path / "certificates.json"
    catalog(monkeypatch, RELU)
    kept = {key(RELU): {"formula": "relu", "faults": ["5 ULP"]}}
    answer = generate.certified_all(path, progress=lambda *_: None, kept=kept)
    assert answer.faults == (("relu", "float32", "accurate", "5 ULP"),)
    assert measured == []


def test_the_worse_counts_where_the_processor_decides_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = certificate(TANH, mode="fast", function=kernels(TANH, mode="fast")).measured
    monkeypatch.setattr(generate, "chosen_anywhere", lambda act, mode, dtype: "both")
    both = generate.measured(TANH, "fast", "float32")
    assert both.measured.forward == kernel.forward
    assert kernel.backward.max_ulp < 10 < 1e6 < both.measured.backward.max_ulp
    assert both.zero_gradient.right < 20
    assert both.faults == ()
    monkeypatch.setattr(generate, "chosen_anywhere", lambda act, mode, dtype: "forward")
    assert generate.measured(TANH, "fast", "float32").measured.backward == kernel.backward
