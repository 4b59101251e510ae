"""The page Function in a browser, and what its interface answers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import mpmath
import pytest

import actlab
from actlab import verbs
from actlab.web.workbench import Workbench
from web_server import serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Workbench(token="key")) as found:
        yield found


def api(address: str, path: str, formula: str, rest: str = "") -> Any:
    host = address.partition("/?")[0]
    with urllib.request.urlopen(f"{host}/api/{path}?f={quote(formula)}&token=key{rest}") as answer:
        return json.load(answer)


def test_the_interface_answers_the_facts_and_the_curves(address):
    found = api(address, "function", "gelu", "&from=-2&to=2&points=5")
    assert verbs.show("gelu").to_json().items() <= found.items()
    assert found["x"] == [-2, -1, 0, 1, 2]
    exact = [mpmath.mpf(x) * mpmath.ncdf(x) for x in found["x"]]
    slopes = [mpmath.ncdf(x) + x * mpmath.npdf(x) for x in found["x"]]
    bends = [(2 - x * x) * mpmath.npdf(x) for x in found["x"]]
    for name, truth in (("y", exact), ("dy", slopes), ("d2y", bends)):
        assert found[name] == pytest.approx([float(each) for each in truth], rel=1e-12, abs=1e-15)


def test_a_gated_unit_is_computed_over_its_gate(address):
    found = api(address, "function", "swiglu", "&from=-1&to=1&points=3&held=2")
    assert (found["along"], found["held"]) == ("gate", {"value": 2.0})
    assert found["y"][2] == pytest.approx(2 / (1 + float(mpmath.exp(-1))), rel=1e-12)


def test_what_acts_along_an_axis_has_facts_and_no_curve(address):
    found = api(address, "function", "softmax")
    assert found["name"] == "softmax"
    assert found["x"] == []


@pytest.mark.parametrize("formula", ["gelu", "swiglu", "softmax", "x*sigmoid(b*x); b=1.7"])
def test_every_kind_has_its_mathematics_and_code(address, formula):
    found = api(address, "function/details", formula)
    assert found["mathematics"].startswith("<math")
    assert set(found["code"]) == {"PyTorch", "NumPy", "JavaScript"}


@pytest.mark.parametrize("query", ["&points=1", "&points=1e9", "&from=3&to=1", "&from=x", "&to=inf", "&held=nan"])
def test_unusable_limits_are_refused(address, query):
    with pytest.raises(urllib.error.HTTPError) as refused:
        api(address, "function", "gelu", query)
    assert refused.value.code == 400
    assert "error" in json.load(refused.value)


def drawn(visitor: Any) -> Any:
    """The curves that the page has drawn, once it has."""
    place = visitor.at("curves").locator("div").first
    handle = visitor.page.wait_for_function("(place) => place.drawn", arg=place.element_handle())
    return handle.json_value()


def test_the_curves_are_those_of_the_formula(visitor_of):
    visitor = visitor_of()
    visitor.visit("/function?f=gelu&f=" + quote("x*sigmoid(b*x); b=1.7") + "&show=value,derivative,second%20derivative")
    found = drawn(visitor)
    for at, formula in enumerate(("gelu", "x*sigmoid(b*x); b=1.7")):
        truth = verbs.curves(formula)
        assert found["x"] == pytest.approx(truth.x, abs=1e-12)
        for order, name in enumerate(("y", "dy", "d2y")):
            assert found["ys"][3 * at + order] == pytest.approx(getattr(truth, name), abs=1e-9)
    assert visitor.at("facts").locator("th", has_text="gelu").count() == 1
    visitor.at("mathematics").locator("math").first.wait_for()


def test_a_formula_is_checked_as_one_types_and_added_with_enter(visitor_of):
    visitor = visitor_of()
    visitor.expected.append("400")
    page = visitor.visit("/function?f=relu")
    drawn(visitor)
    box = visitor.at("formula")
    box.press_sequentially("x*sigmod(x)")
    visitor.at("error").wait_for()
    assert "sigmod" in visitor.at("error").inner_text()
    assert box.get_attribute("aria-invalid") == "true"
    box.fill("x*sigmoid(2*x)")
    visitor.at("error").wait_for(state="hidden")
    page.keyboard.press("Enter")
    visitor.at("chip").nth(1).wait_for()
    page.wait_for_function("() => location.search.includes('sigmoid')")
    page.reload()
    visitor.at("chip").nth(1).wait_for()
    assert visitor.at("chip").all_inner_texts() == ["relu", "x*sigmoid(2*x)"]


def test_a_slider_moves_the_curve_and_the_address(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/function?f=elu")
    drawn(visitor)
    slider = page.locator('[data-test="slider-elu: alpha"]')
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_function("() => location.search.includes('alpha')")
    alpha = float(slider.input_value())
    assert alpha > 1
    found = drawn(visitor)
    assert found["ys"][0] == pytest.approx(verbs.curves("elu", alpha=alpha).y, abs=1e-9)
    # facts and code are those of the moved slider
    page.wait_for_function("() => document.querySelector('#selected').textContent.startsWith('elu; alpha=')")
    assert f"alpha={alpha:g}"[:8] in visitor.at("facts").inner_text()
    page.reload()
    assert drawn(visitor)["ys"][0] == pytest.approx(found["ys"][0], abs=1e-6)


def test_a_function_with_no_curve_says_why_and_the_others_are_drawn(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/function?f=softmax&f=tanh")
    assert len(drawn(visitor)["ys"]) == 2
    assert "acts along an axis" in page.locator("#undrawn").inner_text()


def test_exactness_and_cost_are_measured_on_request(visitor_of):
    visitor = visitor_of()
    visitor.visit("/function?f=mish&f=" + quote("x/(1+exp(-1.3*x))"))
    drawn(visitor)
    assert visitor.at("facts").inner_text().count("not measured") == 2
    visitor.at("measure").click()
    visitor.at("exactness-of").nth(1).locator("canvas").nth(1).wait_for(timeout=60_000)
    assert visitor.at("exactness-of").locator("h3").all_inner_texts() == ["mish", "x/(1+exp(-1.3*x))"]
    visitor.at("facts").locator("td", has_text="measured now").nth(1).wait_for()
    assert "not measured" not in visitor.at("facts").inner_text()
    visitor.at("time").click()
    visitor.at("cost").locator("table").nth(1).wait_for(timeout=60_000)
    assert visitor.at("cost").locator("caption").all_inner_texts() == ["mish", "x/(1+exp(-1.3*x))"]
    assert "PyTorch" in visitor.at("cost").inner_text()


def test_a_formula_that_is_rewritten_says_what_is_computed(visitor_of):
    visitor = visitor_of()
    visitor.visit("/function?f=" + quote("x/(1+exp(-1.3*x))") + "&f=" + quote("x * sigmoid(b*x); b=2"))
    drawn(visitor)
    visitor.at("summary").get_by_text("It is computed as x*sigmoid(1.3*x)").wait_for()
    visitor.at("chip").nth(1).click()
    visitor.at("selected").get_by_text("b*x").wait_for()
    visitor.at("summary").get_by_text("A formula given as text.", exact=True).wait_for()


def test_wrong_formulas_in_the_address_are_named_and_the_others_shown(visitor_of):
    visitor = visitor_of()
    visitor.expected.append("400")
    visitor.visit("/function?f=gleu&f=own.py:one&f=tanh")
    drawn(visitor)
    assert visitor.at("chip").all_inner_texts() == ["tanh"]
    assert "own.py" in visitor.at("error").inner_text()


def test_the_largest_error_over_magnitudes_is_that_of_the_certificate():
    found = verbs.exactness("mish").to_json()
    largest = max(ulp for part in ("negative", "positive") for ulp in found[part]["rows"][0]["ulp"] if ulp is not None)
    assert 0.5 < largest < 2
    composite = max(ulp for ulp in found["negative"]["rows"][2]["ulp"] if ulp is not None)
    assert composite > 50  # what the step-by-step formula loses in its tail
    assert actlab.get("mish").name == "mish"
