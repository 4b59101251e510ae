"""Answers as tables, data frames and pictures."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import nn

import actlab
from actlab import verbs
from actlab.display.answer import Displayed
from actlab.display.picture import Picture, Series, draw
from actlab.display.table import Table, of_facts, of_records
from actlab.errors import BadInput

mpl.use("agg")


class Shown(HTMLParser):
    """The tags, attributes and text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data + "|"


def model() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
    return net, torch.randn(16, 4), torch.randint(3, (16,))


def watched() -> Displayed:
    net, x, y = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with actlab.watch(net, every=1) as watch:
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    return watch.report()


def checked() -> Displayed:
    net, x, y = model()
    return actlab.check(net, (x, y), nn.CrossEntropyLoss())


ANSWERS = {
    "show": lambda: verbs.show("elu"),
    "properties": lambda: actlab.properties("gelu"),
    "sites": lambda: actlab.sites(*model()[:2]),
    "check": checked,
    "watch": watched,
    "certify": lambda: verbs.certify("relu"),
    "check command": lambda: verbs.check(task="digits-relu"),
    "sites command": lambda: verbs.sites(task="digits-relu"),
}


@pytest.mark.parametrize("make", ANSWERS.values(), ids=ANSWERS)
def test_every_answer_is_a_table_a_frame_and_a_picture(make):
    answer = make()
    bundle = answer._repr_mimebundle_()
    html = Shown(bundle["text/html"])
    assert set(html.tags) <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert html.attributes <= {"style"}
    assert bundle["text/plain"] == "\n".join(answer.lines())
    frame = answer.to_frame()
    assert html.tags.count("tr") == (1 + len(frame) if len(frame) else 0)
    assert answer._repr_mimebundle_(include=["text/plain"]).keys() == {"text/plain"}
    if answer.picture() is None:
        with pytest.raises(BadInput, match="nothing to draw"):
            answer.plot()
    else:
        axes = answer.plot(alpha=0.5)
        assert axes.has_data()
        mpl.pyplot.close(axes.figure)


def test_what_a_stranger_typed_is_text_and_never_a_tag():
    html = Table("<script>alert(1)</script>", ("<b>",), (("<img src=x onerror=y>\x00",),)).html()
    assert "<script" not in html
    assert "<img" not in html
    assert "\x00" not in html
    assert "&lt;img src=x" in html


def test_a_long_table_is_cut_in_html_and_whole_in_the_frame():
    table = Table("", ("n",), tuple((n,) for n in range(1000)))
    assert len(table.to_frame()) == 1000
    assert "800 more rows" in table.html()


def test_records_and_facts_are_flattened():
    table = of_records("", [{"a": 1, "in": {"x": 2.0}}, {"a": None, "list": [{"p": 1.23456}, True]}])
    assert table.columns == ("a", "in.x", "list")
    assert table.rows == ((1, 2.0, None), (None, None, "p 1.235; yes"))
    assert of_facts("", {"a": None, "b": False, "c": {"d": 0}}).rows == (("b", False), ("c.d", 0))


def test_the_drawn_curve_is_the_function_and_its_derivative():
    axes = actlab.plot("x*sigmoid(1.702*x)", "relu", low=-3, high=2, ax=mpl.figure.Figure().add_subplot())
    value, slope, *_ = axes.lines
    x = np.asarray(value.get_xdata())
    s = 1 / (1 + np.exp(-1.702 * x))
    np.testing.assert_allclose(value.get_ydata(), x * s, rtol=1e-12)
    np.testing.assert_allclose(slope.get_ydata(), s + 1.702 * x * s * (1 - s), rtol=1e-12)
    assert (x[0], x[-1]) == (-3, 2)
    assert value.get_color() == slope.get_color() != axes.lines[2].get_color()


def test_a_jump_is_a_gap():
    (line, *_) = actlab.plot("where(x > 0, 1, -1)", ax=mpl.figure.Figure().add_subplot()).lines
    assert np.isnan(line.get_ydata()).sum() == 1


@pytest.mark.parametrize(
    ("formulas", "options", "message"),
    [
        ((), {}, "name at least one activation"),
        (("softmax",), {}, "softmax acts along an axis"),
        (("relu",), {"low": 1.0, "high": 1.0}, "low and high must be finite"),
        (("relu",), {"derivatives": 3}, "derivatives must be 0, 1 or 2; got 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(formulas, options, message):
    with pytest.raises(BadInput, match=message):
        actlab.plot(*formulas, **options)


def test_without_a_display_the_picture_can_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import matplotlib.pyplot as plt

    def refuse(**_: Any) -> None:
        raise ImportError("Cannot load backend 'TkAgg' which requires the 'tk' interactive framework")

    monkeypatch.setattr(plt, "subplots", refuse)
    axes = draw(Picture("$x", (Series("a$b", [1.0, math.nan]),)))
    axes.figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_the_command_writes_every_form_and_nothing_on_an_error(tmp_path: Path):
    for form in ("svg", "png", "pdf"):
        path = tmp_path / f"f.{form}"
        found = verbs.plotted(["gelu", "tanh"], path, low=-1, high=1)
        assert path.stat().st_size > 1000
        assert [curve["label"] for curve in found.to_json()["curves"]][::2] == ["gelu", "tanh"]
    first = (tmp_path / "f.svg").read_bytes()
    verbs.plotted(["gelu", "tanh"], tmp_path / "f.svg", low=-1, high=1)
    assert (tmp_path / "f.svg").read_bytes() == first
    with pytest.raises(BadInput, match="acts along an axis"):
        verbs.plotted(["gelu", "softmax"], tmp_path / "none.svg", low=-1, high=1)
    with pytest.raises(BadInput, match="must end in"):
        verbs.plotted(["gelu"], tmp_path / "none.txt", low=-1, high=1)
    assert not list(tmp_path.glob("none*"))
