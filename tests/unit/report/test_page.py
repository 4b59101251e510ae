from __future__ import annotations

import re
from pathlib import Path

import pytest

from actlab.diagnosis.report import Report
from actlab.report.diagnosis import diagnosis
from actlab.report.page import page, write_report
from unit.report.comparisons import ERRORS, TESTS, errors, made
from unit.report.elements import Elements
from unit.report.findings import finding, site
from unit.report.quantities import quantities

PROVENANCE = {"command": "actlab advise", "actlab": "0.1.0", "date": "2026-01-05"}
HOSTILE = "<script>alert(1)</script>"


TWO = {name: TESTS[name] for name in ("sigmoid", "relu")}


@pytest.fixture(scope="module")
def plain():
    return page(made(notes=("2 sigmoid modules are replaced.",)), provenance=PROVENANCE)


@pytest.fixture(scope="module")
def hostile():
    tests = {
        HOSTILE: TESTS["sigmoid"],
        '"><img src=x onerror=alert(2)>$\\frac$': TESTS["relu"],
        "中文\x00\ud800": TESTS["tanh"],
    }
    comparison = made(tests, task=HOSTILE + "&amp;", sentence=HOSTILE, notes=(HOSTILE,))
    return page(comparison, provenance={HOSTILE: HOSTILE})


def test_page_needs_nothing_else(plain, hostile):
    for text in (plain, hostile):
        assert "http:" not in text
        assert "https:" not in text
        assert "@import" not in text
        assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
        assert not {"script", "link", "iframe", "object", "img", "base"} & {tag for tag, _ in Elements(text).tags}


def test_names_from_users_are_escaped(hostile):
    elements = Elements(hostile)
    assert "<script" not in hostile
    assert not [name for _, attributes in elements.tags for name in attributes if name.startswith("on")]
    assert elements.text.count(HOSTILE) >= 5  # task, sentence, note, name, provenance: shown as they are
    assert "中文\ufffd\ufffd" in hostile.encode().decode()


def test_a_dollar_sign_is_not_math():
    tests = {"sigmoid": TESTS["sigmoid"], "a$b_c$d": TESTS["relu"]}
    pictures = re.findall(r"<svg.*?</svg>", page(made(tests), provenance={}), flags=re.DOTALL)
    assert any(">a$b_c$d</text>" in picture for picture in pictures)


def test_every_arm_has_its_row_and_every_number_its_place(plain):
    assert len(Elements(plain).named("tr")) == 1 + len(TESTS)
    for text in (
        "91.25 ± 0.93",
        "+18.00 to +24.00",
        "0.031",
        "Replace sigmoid by relu",
        "2 sigmoid modules are replaced.",
    ):
        assert text in plain


def test_every_picture_has_an_alternative_text(plain):
    pictures = Elements(plain).named("svg")
    assert len(pictures) >= len(TESTS) + 2 + len(TESTS)  # courses, differences and prices, shapes
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 40 for picture in pictures)
    labels = " ".join(picture["aria-label"] for picture in pictures)
    assert "relu, better: +21.00, interval +18.00 to +24.00" in labels
    assert "goes from 10.00 points after the first epoch to 91.00 after epoch 3" in labels


def test_identifiers_are_unique_and_references_lead_somewhere(plain):
    elements = Elements(plain)
    identifiers = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = set(re.findall(r"url\(#([\w-]+)\)", plain)) | set(re.findall(r'href="#([\w-]+)"', plain))
    used |= {attributes["aria-labelledby"] for _, attributes in elements.tags if "aria-labelledby" in attributes}
    assert used
    assert used <= set(identifiers)


def test_colors_follow_the_page(plain):
    pictures = "".join(re.findall(r"<svg.*?</svg>", plain, flags=re.DOTALL))
    assert "var(--better)" in pictures
    assert "<style" not in pictures  # it would hold for the whole page
    assert not re.findall(r"#[0-9a-f]{6}", pictures)
    used = set(re.findall(r"var\(--([a-z]+)\)", plain))
    assert used <= set(re.findall(r"--([a-z]+):", plain))


def test_headings_go_down_one_step_at_a_time(plain):
    levels = [int(tag[1]) for tag, _ in Elements(plain).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels == [1] + [2] * (len(levels) - 1)


def test_page_is_the_same_whatever_the_users_settings_and_leaves_them_alone():
    import matplotlib as mpl

    once = page(made(TWO), provenance=PROVENANCE)
    with mpl.rc_context({"axes.facecolor": "#ff0000", "font.size": 40, "axes.ymargin": 0.4, "svg.hashsalt": "x"}):
        before = dict(mpl.rcParams)
        again = page(made(TWO), provenance=PROVENANCE)
        assert dict(mpl.rcParams) == before
    assert again == once


def test_the_page_says_if_less_is_better():
    text = page(errors({name: ERRORS[name] for name in ("sigmoid", "relu")}), provenance=PROVENANCE)
    assert "less is better" in text
    assert "Down is better" in text


def test_missing_parts_are_named():
    tests = {"sigmoid": TESTS["sigmoid"], "MyModule": TESTS["relu"]}
    text = page(made(tests, costs={}, curves={name: [[]] * 8 for name in tests}), provenance={})
    assert "MyModule is not drawn: not in the catalog." in text
    assert "No step was timed." in text
    assert "No run completed its first epoch." in text


def test_diverged_seeds_are_named_at_their_curve():
    curves = {name: [[10.0, 20.0]] * 8 for name in TESTS} | {"relu": [[10.0]] * 3 + [[10.0, 20.0]] * 5}
    assert "3 of 8 seeds diverged" in page(made(TWO, curves=curves), provenance={})


def test_report_is_written_whole(tmp_path):
    path = write_report(made(TWO), tmp_path / "r.html", provenance=PROVENANCE)
    assert path.read_text(encoding="utf-8") == page(made(TWO), provenance=PROVENANCE)
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_a_diagnosis_is_a_section_of_its_page_and_escaped(plain):
    found = Report((finding(message=HOSTILE, evidence={HOSTILE: 1}, where=site(HOSTILE)),), (), (), quantities())
    text = page(made(), provenance=PROVENANCE, diagnosis=diagnosis(found, root=Path("/")))
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)" in text
    shown = Elements(text)
    assert "measured over 100 training steps before the comparison: 1 error." in shown.text
    assert len(shown.named("svg")) == len(Elements(plain).named("svg")) + 3
    assert "Diagnosis of the control" not in Elements(plain).text
