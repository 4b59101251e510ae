"""The HTML file of `actlab check`: self-contained, escaped, well-formed, and with everything that was found."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from actlab.diagnosis.report import Report
from actlab.errors import BadInput
from actlab.report.diagnosis_page import diagnosis_page, write_diagnosis
from actlab.rules.registry import kinds
from actlab.rules.remedies import REMEDIES
from actlab.sites.site import Unseen
from unit.report.elements import Elements
from unit.report.findings import finding, site
from unit.report.quantities import quantities

HOSTILE = "<script>alert(1)</script>"
FULL = Report(
    (
        finding(where=site(line=4), evidence={"classes": 4}, remedies=("remove-output-activation",)),
        *(
            finding("AL305", "information", message=f"rate {n / 10}", where=site(f"layers.{n}.drop"))
            for n in range(1, 9)
        ),
        finding("AL101", "warning", message=HOSTILE, evidence={HOSTILE: 1}),
    ),
    tuple(Unseen(f"layers.{n}.attn", "nn.MultiheadAttention", "it is fused") for n in range(8)),
    tuple(site(f"layers.{n}.act") for n in range(8)),
    quantities(),
)


@pytest.fixture(scope="module")
def text():
    return diagnosis_page(FULL, title=f"net.py:{HOSTILE}", root=Path("/"))


def test_the_file_needs_nothing_else_and_runs_nothing(text):
    elements = Elements(text)
    assert "http:" not in text
    assert "https:" not in text
    assert not {"script", "link", "iframe", "object", "img", "base"} & {tag for tag, _ in elements.tags}
    assert not [name for _, attributes in elements.tags for name in attributes if name.startswith("on")]
    assert elements.text.count(HOSTILE) >= 3  # title, message, evidence: shown as they are


def test_the_file_is_well_formed(text):
    elements = Elements(text)
    assert elements.unclosed == []
    identifiers = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = {attributes["aria-labelledby"] for _, attributes in elements.tags if "aria-labelledby" in attributes}
    used |= set(re.findall(r"url\(#([\w-]+)\)", text))
    assert used <= set(identifiers)
    levels = [int(tag[1]) for tag, _ in elements.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_everything_that_was_found_is_there(text):
    shown = " ".join(Elements(text).text.split())
    for part in (
        "1 error, 1 warning, 8 informational.",
        f"AL201 {kinds()['AL201'].title}",
        "net.py:4, module head (nn.Softmax)",
        "Evidence: classes: 4",
        f"Fix: {REMEDIES['remove-output-activation']}",
        "net.py:12, modules layers.*.drop, 8 places (nn.Softmax)",
        "Rate 0.1–0.8.",
        "the model as a whole",
        "Measured at every element-wise activation over 100 training steps.",
        "1–8 = layers.*.act",
        "layers.*.act, 8 places",
        "layers.*.attn, 8 places (nn.MultiheadAttention): it is fused",
    ):
        assert part in shown, part


def test_severity_is_a_word_as_well_as_a_color(text):
    badges = [one["class"] for one in Elements(text).named("span") if one.get("class", "").startswith("badge")]
    assert badges == ["badge error", "badge warning", "badge information"]
    assert [one["class"] for one in Elements(text).named("li") if one.get("class")] == [
        "error",
        "warning",
        "information",
    ]


def test_the_health_charts_are_drawn_with_alternative_texts(text):
    pictures = Elements(text).named("svg")
    assert len(pictures) == 3
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 40 for picture in pictures)


def test_a_report_without_findings_says_so(tmp_path):
    text = diagnosis_page(Report((), (), (site(),)), title="net.py:model", root=tmp_path)
    assert "Nothing found." in text
    headings = re.findall(r"<h2[^>]*>([^<]*)", text)
    assert headings == ["Result", "Activations in the model", "Provenance"]


def test_the_file_is_written_whole(tmp_path):
    path = write_diagnosis(FULL, tmp_path / "found.html", title="net.py:model")
    assert path == tmp_path / "found.html"
    assert "Diagnosis of net.py:model" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["found.html"]
    with pytest.raises(BadInput, match="there is no folder"):
        write_diagnosis(FULL, tmp_path / "nowhere" / "found.html", title="net.py:model")


def test_the_page_says_with_what_the_copy_was_trained():
    page = diagnosis_page(replace(FULL, notes=("Trained with Adam.",)), title="net.py", root=Path("/"))
    assert "Trained with Adam." in Elements(page).text
