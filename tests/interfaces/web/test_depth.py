"""The page Depth in a browser, and what its interface answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from actlab import verbs
from actlab.theory.mean_field import mean_field
from actlab.web.workbench import Workbench
from web_server import serving

NET = """
import torch
from torch import nn
torch.manual_seed(0)
layers = [nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.ELU(2.0), nn.Linear(64, 64), nn.Tanh()]
for layer in layers[::2]:
    nn.init.normal_(layer.bias, std=0.3)
ready = (nn.Sequential(*layers), torch.randn(16, 8))
broken = (nn.Sequential(nn.Linear(9, 2)), torch.randn(16, 8))
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return f"{tmp_path / 'net.py'}:ready"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Workbench(token="key")) as found:
        yield found.partition("/?")[0]


def api(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}/api/depth/{path}&token=key") as answer:
        return json.load(answer)


def test_the_interface_answers_what_theory_computes(address: str) -> None:
    found = api(address, f"here?f={quote('x*sigmoid(2*x)')}&sigma_w=1.4&sigma_b=0.2")
    field = mean_field("x*sigmoid(2*x)", sigma_w=1.4, sigma_b=0.2)
    q = found["variance"]["at"]
    assert field.variance(q) == pytest.approx(q, rel=1e-9)
    assert found["chi"] == pytest.approx(field.chi(q), rel=1e-9)
    plane = api(address, "plane?f=gelu&most_w=2&most_b=1")
    assert {"ordered", "lost"} <= {each["region"] for each in plane["cells"]}
    assert {run["stable"] for run in plane["edge"]} == {True, False}
    assert plane["said"] == "Part of the edge, dashed, is unstable."


@pytest.mark.parametrize(
    "query",
    [
        "here?f=x*sigmod(x)",
        "here?f=",
        "here?f=swiglu",
        "here?f=softmax",
        "here?f=tanh&sigma_w=-1",
        "plane?f=tanh&most_w=inf",
        "plane?f=1/x",
        "here?f=net.py:act",
    ],
)
def test_what_cannot_be_drawn_is_refused(address: str, query: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        api(address, query)
    assert refused.value.code == 400
    assert json.load(refused.value)["error"]


def drawn(visitor: Any, formula: str) -> Any:
    """What the page has drawn, once it is this formula's."""
    place = visitor.at("plane").element_handle()
    wanted = "([place, formula]) => place.drawn && place.drawn.formula === formula && place.drawn"
    return visitor.page.wait_for_function(wanted, arg=[place, formula]).json_value()


def test_the_network_stands_where_its_weights_put_it(visitor_of: Any, net: str) -> None:
    visitor = visitor_of(Workbench(data=net))
    page = visitor.visit("/depth")
    found = drawn(visitor, "tanh")
    first, second, third = verbs.signal(net).signal.sites
    assert found["sigma_w"] == pytest.approx(first.sigma_w, abs=1e-3)
    assert found["sigma_b"] == pytest.approx(first.sigma_b, abs=1e-3)
    assert page.locator("svg .layer-point").count() == 2  # the layers with tanh
    rows = visitor.at("layers").locator("tbody tr")
    assert rows.count() == 3
    assert f"{third.sigma_w:.3g}" in rows.nth(2).inner_text()
    rows.nth(1).locator("button").focus()
    page.keyboard.press("Enter")
    found = drawn(visitor, "elu(alpha=2)")
    assert found["sigma_w"] == pytest.approx(second.sigma_w)
    assert "sigma_w" in page.url


def test_sliders_move_the_mark_and_the_facts(visitor_of: Any) -> None:
    visitor = visitor_of()
    page = visitor.visit("/depth?f=tanh&sigma_w=1.2&sigma_b=0.1")
    drawn(visitor, "tanh")
    assert visitor.at("said").inner_text().startswith("Chaotic")
    visitor.at("sigma-w").focus()
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('[data-test=said]').textContent.startsWith('Ordered')")
    assert "sigma_w=0.05" in page.url
    assert "layers" in visitor.at("facts").inner_text()
    visitor.expected.append("400")
    visitor.at("formula").fill("x*sigmod(x)")
    page.keyboard.press("Enter")
    visitor.at("error").wait_for()
    assert "sigmod" in visitor.at("error").inner_text()
    visitor.at("formula").fill("x*sigmoid(3*x)")
    page.keyboard.press("Enter")
    drawn(visitor, "x*sigmoid(3*x)")
    assert visitor.at("error").is_hidden()


def test_a_network_that_cannot_run_leaves_the_rest_working(visitor_of: Any, net: str) -> None:
    visitor = visitor_of(Workbench(data=net.replace("ready", "broken")))
    visitor.expected.append("400")
    visitor.visit("/depth")
    drawn(visitor, "tanh")
    assert "the model" in visitor.at("unfollowed").inner_text()
    assert "works without a network" in visitor.at("about").inner_text()
