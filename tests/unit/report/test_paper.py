"""A comparison for a paper: tables, bibliography, figures, data."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from actlab.catalog.index import CATALOG
from actlab.report.bibtex import bibliography
from actlab.report.csv_rows import arms_csv, replicates_csv
from actlab.report.figures import figures
from actlab.report.page import page
from actlab.report.paper import caption, latex_table, latex_text, markdown_table
from actlab.report.table import rows
from unit.report.comparisons import TESTS, made

NAMES = ("sigmoid", "relu", "tanh")
HOSTILE = "a|b*_{c}<d>&%$#~^\\\x1b[31m\nz"


def comparison(**changes):
    return made({name: TESTS[name] for name in NAMES}, **changes)


def test_the_tables_hold_every_arm_with_its_numbers_and_the_best_group_in_bold():
    markdown, latex = markdown_table(comparison()), latex_table(comparison())
    assert "| **relu** | 91.25 ± " in markdown
    assert re.search(r"^\| sigmoid \| 70\.25 ± [\d.]+ \| – \| – \| – \| control \|$", markdown, flags=re.MULTILINE)
    assert "\\textbf{relu} & 91.25 $\\pm$" in latex
    assert latex.count("\\\\\n") == 1 + len(NAMES)
    for row in rows(comparison()):
        assert row.test in markdown
        assert row.test in latex


def test_the_caption_says_n_the_test_and_the_correction():
    text = caption(comparison())
    for part in (
        "n = 8 paired seeds",
        "exact two-sided signed-rank test",
        "Holm's correction for 2 comparisons",
        "among 2",
    ):
        assert part in text
    assert "Holm" not in caption(made({name: TESTS[name] for name in NAMES[:2]}))


def test_latex_commands_are_balanced_and_names_are_escaped():
    assert latex_text("50% of x_1 & −2 {#}~^\\") == (
        r"50\% of x\_1 \& $-$2 \{\#\}\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    text = latex_table(made({"sigmoid": TESTS["sigmoid"], HOSTILE: TESTS["relu"]}, task=HOSTILE))
    assert text.count("\\begin") == text.count("\\end") == 2
    plain = re.sub(r"\\[a-z]+|\\[{}%&$#_\\]|\$\\?[a-z-]+\$", "", text.partition("\n")[2])
    assert plain.count("{") == plain.count("}")
    assert "\x1b" not in text
    assert re.search(r"\\label\{tab:activations-[A-Za-z0-9-]+\}", text)


def test_a_name_cannot_break_a_markdown_table():
    text = markdown_table(made({"sigmoid": TESTS["sigmoid"], HOSTILE: TESTS["relu"]}, task=HOSTILE))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {7}
    assert "\x1b" not in text
    assert "<d>" not in text


def test_the_csv_tables_hold_the_numbers_exactly():
    found = comparison()
    arms = list(csv.DictReader(io.StringIO(arms_csv(found))))
    assert [row["activation"] for row in arms] == list(NAMES)
    assert [float(row["test_mean"]) for row in arms] == [arm.test for arm in found.arms]
    assert arms[0]["p_holm"] == ""
    assert float(arms[1]["p_holm"]) == found.arms[1].difference.adjusted_p
    assert [row["in_group"] for row in arms] == ["0", "1", "0"]
    each = list(csv.DictReader(io.StringIO(replicates_csv(found))))
    assert len(each) == len(NAMES) * 8
    assert [float(row["test"]) for row in each if row["activation"] == "tanh"] == list(TESTS["tanh"])
    assert float(each[8]["difference"]) == TESTS["relu"][0] - TESTS["sigmoid"][0]
    hostile = csv.DictReader(io.StringIO(arms_csv(made({"sigmoid": TESTS["sigmoid"], 'a,"b"': TESTS["relu"]}))))
    assert [row["activation"] for row in hostile] == ["sigmoid", 'a,"b"']


def test_every_source_of_the_catalog_becomes_an_entry():
    text = bibliography([*CATALOG, "x*sin(x)", "MyOwn\n@misc{evil,"])
    entries = re.findall(r"^@misc\{(\w+),\n((?:  \w+ = \{.*\},\n)+)\}$", text, flags=re.MULTILINE)
    assert len(entries) == text.count("\n@misc{") + text.startswith("@misc{") > 50
    assert len({key for key, _ in entries}) == len(entries)
    assert text.count("1606.08415") == 2  # once as eprint, once as address: gelu and silu share the entry
    entry = text.partition("eprint = {1606.08415}")[2].partition("\n}")[0]
    assert {"gelu", "silu"} <= set(re.split(r"[:,}] *", entry.rpartition("note = {")[2]))
    assert "% x*sin(x): its source is not known" in text
    assert "\n@misc{evil" not in text


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("elu", ["author = {Clevert and Unterthiner and Hochreiter}", "year = {2015}", "eprint = {1511.07289}"]),
        ("hard_swish", ["author = {Howard and others}", "title = {MobileNetV3}"]),
        ("x*sigmoid(x)", ["1702.03118", "Source of: silu"]),
    ],
)
def test_an_entry_has_authors_year_and_identifier(name, parts):
    text = bibliography([name])
    assert all(part in text for part in parts)


def test_figures_are_pictures_of_their_own_form():
    found = made({name: TESTS[name] for name in ("sigmoid", "relu")})
    before = page(found, provenance={})
    vector, pixels = figures(found, "svg"), figures(found, "png")
    assert [name.removesuffix(".svg") for name in vector] == [name.removesuffix(".png") for name in pixels]
    assert {"differences.svg", "cost.svg", "learning-relu.svg", "shapes-sigmoid.svg"} <= set(vector)
    for data in vector.values():
        assert ElementTree.fromstring(data).tag.endswith("svg")
        assert b"<text" not in data  # outlines, which look the same in any program
    assert all(data.startswith(b"\x89PNG") for data in pixels.values())
    assert page(found, provenance={}) == before


def test_names_of_figures_are_safe_and_differ():
    names = ("../../etc/x", ".../etc/x", "é")
    found = figures(made(dict.fromkeys(names, TESTS["relu"])), "svg")
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+\.svg", name) for name in found)
    assert len([name for name in found if name.startswith("learning-")]) == 3


def test_a_task_of_one_learning_rate_says_which():
    assert "the learning rate was 0.001" in caption(replace(comparison(), rates=(0.001,)))
