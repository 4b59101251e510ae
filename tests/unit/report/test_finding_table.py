"""Findings in a terminal: readable at 80 columns, errors first."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.report.finding_table import FindingTable, table_lines
from actlab.rules.finding_text import evidence_text, place_text
from actlab.rules.registry import kinds
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
        kinds()["AL201"].title,
        "where: net.py:12, module head (nn.Softmax)",
        "examples: 64",
        "0.0469",
        "Give the loss the logits.",
        "fix: other",
        "Not inspected:",
        "rnn (nn.LSTM): it is fused",
        "1 error, 1 informational, 1 accepted.",
    ):
        assert told in words, told


def test_errors_come_first() -> None:
    text = "\n".join(table_lines(TABLE, 80))
    assert text.index("AL201") < text.index("AL101")


def test_no_findings_are_one_line() -> None:
    assert table_lines(FindingTable((), (), {}, Path("/x")), 80) == ["Nothing found."]


def test_brackets_are_not_read_as_markup() -> None:
    text = "\n".join(table_lines(FindingTable([finding(message="[red]x[/red]")], (), {}, Path("/x")), 80))
    assert "[red]x[/red]" in text
    assert "the model as a whole" in text


def test_places_are_relative_to_the_folder() -> None:
    assert (
        place_text(finding(where=site(file="/data/net.py")), root=Path("/data"))
        == "net.py:12, module head (nn.Softmax)"
    )
    assert place_text(finding(where=site(file="/else/net.py")), root=Path("/data")).startswith("/else/net.py:12")


def test_evidence_that_is_not_finite_can_be_read() -> None:
    assert evidence_text({"worst": float("nan"), "unit": None}) == "worst: nan"


def test_without_a_site_the_lines_of_the_evidence_are_its_place_and_no_number():
    evidence = {"weights": 3, "lines": ["/data/net.py:4", "/data/net.py:4", "/data/net.py:9"]}
    found = finding("AL301", evidence=evidence)
    assert place_text(found, root=Path("/data")) == "net.py:4, net.py:9"
    assert evidence_text(evidence) == "weights: 3"
    assert place_text(finding("AL301"), root=Path("/data")) == "the model as a whole"


def test_a_finding_reads_title_place_message_fix():
    found = finding(message="the loss takes it too", where=site(line=4), remedies=("drop-it",))
    assert table_lines(FindingTable([found], (), {"drop-it": "Give the loss the logits."}, Path("/x")), 90) == [
        f"error AL201  {kinds()['AL201'].title}",
        "    where: net.py:4, module head (nn.Softmax)",
        "    The loss takes it too.",
        "    fix: Give the loss the logits.",
        "",
        "1 error.",
    ]


def test_alike_findings_are_one_block_and_are_all_counted():
    many = [
        finding("AL101", "warning", message=f"{place + 2} of 64 units are dead", where=site(f"layers.{place}.act"))
        for place in range(8)
    ]
    lines = table_lines(FindingTable(many, [Unseen(f"layers.{n}.rnn", "nn.LSTM", "it is fused") for n in range(8)],
                                     {}, Path("/x")), 90)  # fmt: skip
    assert "    where: net.py:12, modules layers.*.act, 8 places (nn.Softmax)" in lines
    assert "    2–9 of 64 units are dead." in lines
    assert "  layers.*.rnn, 8 places (nn.LSTM): it is fused" in lines
    assert lines[-1] == "8 warnings."
