"""The catalog's recipes are chosen beforehand."""

from __future__ import annotations

import json

import pytest

from actlab.catalog.index import get
from actlab.formula.expr import Input
from actlab.kernels import generate
from actlab.kernels.elementwise import stored_choices, strategies
from actlab.kernels.elementwise.plan import Shape
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.version import VERSION
from actlab.lower.arithmetic import Recipe

CHOICES = generate.choices()
STALE = "choices.json is of another version of the kernels; run `python -m actlab.kernels.generate`"


def test_exactly_the_catalog_has_stored_choices() -> None:
    assert stored_choices.stored(), STALE
    assert stored_choices.stored().keys() == CHOICES.keys()


@pytest.mark.parametrize("key", list(CHOICES)[::177], ids=str)
def test_a_sample_is_chosen_again(key: str) -> None:
    shape, wide, avx512 = CHOICES[key]
    if avx512 and not machine().scalef:
        pytest.skip("this CPU has no AVX-512")
    assert stored_choices.stored(), STALE
    assert strategies.tried(shape, wide, avx512=avx512) == stored_choices.index_of(key)


def test_a_stored_choice_is_taken_without_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(get("x*tanh(1.25*x)").formula, (Input("x"),), ("stream",))
    key = strategies.key_of(shape, "double", avx512=machine().scalef)
    monkeypatch.setattr(stored_choices, "stored", lambda: {key: 2})
    monkeypatch.setattr(strategies, "tried", None)
    found = strategies.recipe(shape, memory="double", mode="accurate")
    assert found == strategies.candidates("double", avx512=machine().scalef)[2] != Recipe("full")
    strategies._careful.cache_clear()


@pytest.mark.parametrize("version", [VERSION, "of another day"])
def test_choices_count_only_for_the_kernels_that_made_them(version: str, tmp_path, monkeypatch) -> None:
    (tmp_path / stored_choices.DATA).write_text(json.dumps({"kernels": version, "choices": {"one": 1}}))
    monkeypatch.setattr(stored_choices, "files", lambda package: tmp_path)
    stored_choices.stored.cache_clear()
    assert stored_choices.index_of("one") == (1 if version == VERSION else None)
    stored_choices.stored.cache_clear()
