"""Findings in a terminal: all of it readable at 80 columns, the gravest first."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.report.finding_table import FindingTable, table_lines
from actlab.report.finding_text import evidence_text, place_text
from actlab.sites.site import Unseen
from unit.report.findings import finding, site

LONG = (
    "Softmax before cross-entropy: the loss takes softmax itself, so that it is taken twice and gradients shrink. " * 2
)
MANY = (
    finding("AL101", "information", where=site("encoder.layers.3.mlp.act"), evidence={"examples": 512}),
    finding(message=LONG, where=site(), evidence={"examples": 64, "rate_bound": 3 / 64}, remedies=("drop-it", "other")),
)
TABLE = FindingTable(
    MANY,
    (Unseen("rnn", "nn.LSTM", "it is fused"),),
    {"drop-it": "Give the loss the logits."},
    Path("/x"),
    last=", 1 accepted",
)


@pytest.mark.parametrize("width", [60, 80, 160])
def test_nothing_is_lost_and_nothing_is_too_wide(width: int) -> None:
    lines = table_lines(TABLE, width)
    words = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= width
    for told in (
        "AL201",
        "AL101",
        " ".join(LONG.split())[:40],
        "net.py:12",
        "head[0]",
        "nn.Softmax",
        "examples 64",
        "0.0469",
        "Give the loss the logits.",
        "→ other",
        "Not seen:",
        "rnn (nn.LSTM): it is fused",
        "1 error, 1 for information, 1 accepted.",
    ):
        assert told in words, told


def test_the_gravest_stands_first() -> None:
    text = "\n".join(table_lines(TABLE, 80))
    assert text.index("AL201") < text.index("AL101")


def test_where_nothing_is_found_that_is_said() -> None:
    assert table_lines(FindingTable((), (), {}, Path("/x")), 80) == ["Nothing found."]


def test_brackets_in_a_place_are_no_markup() -> None:
    text = "\n".join(table_lines(FindingTable([finding(message="[red]x[/red]")], (), {}, Path("/x")), 80))
    assert "[red]x[/red]" in text
    assert "the model as a whole" in text


def test_a_place_is_told_from_the_folder_one_stands_in() -> None:
    assert place_text(finding(where=site(file="/data/net.py")), root=Path("/data")) == "net.py:12  head[0]  nn.Softmax"
    assert place_text(finding(where=site(file="/else/net.py")), root=Path("/data")).startswith("/else/net.py:12")


def test_evidence_that_is_not_finite_can_be_read() -> None:
    assert evidence_text({"worst": float("nan"), "unit": None}) == "worst nan, unit –"


def test_without_a_site_the_lines_of_the_evidence_are_its_place_and_no_number():
    evidence = {"weights": 3, "lines": ["/data/net.py:4", "/data/net.py:4", "/data/net.py:9"]}
    found = finding("AL301", evidence=evidence)
    assert place_text(found, root=Path("/data")) == "net.py:4, net.py:9"
    assert evidence_text(evidence) == "weights 3"
    assert place_text(finding("AL301"), root=Path("/data")) == "the model as a whole"
