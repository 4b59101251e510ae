"""The verbs: their answers as JSON and as text."""

from __future__ import annotations

import pytest

from actlab import verbs
from actlab.catalog import index
from actlab.catalog.index import CATALOG
from actlab.errors import BadInput, CannotLower
from actlab.train.builtin import TASKS


def test_a_listing_is_grouped_by_family() -> None:
    lines = verbs.listing(family="gated").lines()
    assert lines[0] == "gated"
    assert lines[1].split()[0] == "glu"
    members = [act for act in CATALOG.values() if act.family == "gated"]
    assert lines[-1].startswith(f"{len(members)} activations")


def test_show_prints_one_fact_per_line() -> None:
    lines = verbs.show("leaky_relu", negative_slope=0.2).lines()
    by_label = {line.split()[0]: line for line in lines if line.strip()}
    assert lines[0] == "leaky_relu"
    assert by_label["formula"].split(maxsplit=1)[1] == "where(x <= 0, negative_slope*x, x)"
    assert "negative_slope = 0.2" in by_label["parameters"]
    assert "0 at 0, derivative 0.2" in by_label["kinks"]


def test_a_gain_that_does_not_exist_is_unknown_with_its_reason() -> None:
    shown = verbs.show("exp(x*x)").to_json()
    assert shown["gains"]["second_moment"] is None
    assert "does not exist" in shown["unknown"]["gains.second_moment"]


def test_the_derivative_of_an_activation_along_an_axis_is_a_matrix() -> None:
    shown = verbs.show("softmax").to_json()
    assert shown["derivative"].startswith("a matrix")
    assert shown["range"] == {"lower": 0, "upper": 1}


def test_a_gated_unit_has_one_derivative_per_input() -> None:
    assert verbs.show("bilinear").to_json()["derivatives"] == {"value": "gate", "gate": "value"}


def test_a_typed_formula_becomes_a_program_named_activation() -> None:
    assert "def activation(x):" in verbs.source("x*sigmoid(2*x)", "numpy").text
    with pytest.raises(CannotLower, match="no target 'fortran'"):
        verbs.source("gelu", "fortran")


def test_an_activation_along_an_axis_cannot_be_plotted(tmp_path) -> None:
    with pytest.raises(BadInput, match="softmax acts along an axis and cannot be plotted"):
        verbs.draw("softmax", tmp_path / "softmax.svg")


def test_the_tasks_are_the_built_in_ones() -> None:
    assert [name for name, _ in verbs.tasks().rows] == list(TASKS)


def test_advise_refuses_an_argument_of_another_type() -> None:
    with pytest.raises(BadInput, match=r"advise requires a table's path, file\.py:name or an actlab\.Task; got int"):
        verbs.advise(5)


def test_a_typed_formula_names_its_equal_in_the_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "same_as", lambda act: "quick_gelu", raising=False)
    typed, named = verbs.show("x*sigmoid(1.702*x)"), verbs.show("gelu")
    assert (typed.to_json()["same_as"], named.to_json()["same_as"]) == ("quick_gelu", None)
    assert any(line.split() == ["note", "the", "same", "as", "quick_gelu"] for line in typed.lines())
