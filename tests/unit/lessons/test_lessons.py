"""Every lesson parses and has its parts; what is wrong in a text is refused with its place."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from actlab.errors import BadInput
from actlab.lessons import draw
from actlab.lessons.fill import filled
from actlab.lessons.lesson import FOLDER, Choice, Prose, files, lessons, read
from actlab.lessons.state import State
from actlab.telemetry.playground import frame_of
from actlab.train.playground.state import parse
from actlab.train.playground.training import Training

LESSONS = lessons()


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)
def test_lesson_predicts_checks_and_names_its_sources(lesson):
    titles = [section.title for section in lesson.sections]
    by_title = {section.title: section for section in lesson.sections}
    assert next(title for title in titles if title) == "Predict"
    assert titles[-2:] == ["Check", "Sources"]
    assert any(isinstance(part, Choice) for part in by_title["Predict"].parts)
    assert any(isinstance(part, Choice) for part in by_title["Check"].parts)
    sources = "".join(part.text for part in by_title["Sources"].parts if isinstance(part, Prose))
    assert "](https://" in sources
    assert lesson.figures


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)
def test_every_figure_can_be_drawn(lesson):
    for figure in lesson.figures:
        data = {"function": draw.function, "lines": draw.lines, "playground": draw.playground}[figure.kind](
            figure.state
        )
        assert data or figure.kind == "playground"


def test_lessons_are_numbered_from_one_in_order():
    assert [file.name[:2] for file in files()] == [f"{lesson.number:02}" for lesson in LESSONS]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{slop sigmoid 0}}", "x.md:7: no fact is named 'slop'. Did you mean 'slope'?"),
        ("{{slope sigmoid}}", "x.md:7: the fact 'slope' does not take these arguments"),
        ("{{slope swsh 0}}", "x.md:7: .*swsh"),
        ("{{slope sigmoid 0 | %n}}", "x.md:7: a fact is written"),
        ("{{slope 'sigmoid 0}}", "x.md:7: No closing quotation"),
    ],
)
def test_wrong_fact_is_refused_with_file_and_line(text, sentence):
    with pytest.raises(BadInput, match=sentence):
        filled(text, "x.md:7")


def test_numbers_are_written_as_in_a_book():
    assert filled("{{value tanh -1 | .3f}}", "x") == "−0.762"
    assert filled("{{product 0.25 10 | .1e}}", "x") == "9.5 × 10⁻⁷"
    assert filled("{{value elu -1 alpha=2 | .3f}}", "x") == "−1.264"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Title\n", "x.md:1: the first line must be"),
        ("# T\n\n```figure circle\na=1\nc\n```\n", "x.md:3: a figure is one of"),
        ("# T\n\n```figure function\nf=relu\n```\n", "x.md:3: a figure has a line of state and a caption"),
        ("# T\n```choice\nq?\n- [ ] a — b\n- [ ] c — d\n```\n", "x.md:2: .* one of them right"),
        ("# T\n```choice\nq?\n- [x] a\n- [ ] c — d\n```\n", "x.md:2: a choice has a question"),
        ("# T\n```choice\nq?\n", "x.md:2: the block that begins here has no end"),
        ("# T\n\n{{nothing}}\n", "x.md:3: no fact is named"),
    ],
)
def test_wrong_text_is_refused_with_file_and_line(tmp_path: Path, text: str, sentence: str):
    file = tmp_path / "x.md"
    file.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        read(file)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("f=relu&from=3&to=2", "from must be less than to"),
        ("f=relu&show=color", "show must be one or both of value, derivative"),
        ("from=1", "f: from 1 to 8 activations are required; got 0"),
        ("f=own.py:f", "a page runs no file"),
        ("f=swiglu", "an activation of one input is required"),
        ("f=elu&alpha=2&slider=alpha:3:4", "slider alpha: limits around its value"),
        ("f=relu&from=nan", "from: a finite number is required; got 'nan'"),
        ("f=" + "x" * 3000, "at most 2000 characters"),
    ],
)
def test_wrong_state_is_refused(query: str, sentence: str):
    with pytest.raises(Exception, match=re.escape(sentence)):
        draw.function(State(query))


def test_parameters_of_the_state_are_the_sliders():
    data = draw.function(State("f=sigmoid(w*x%2Bb)&f=elu&w=3&b=-1&slider=w:-4:4"))
    assert [(each["name"], each["value"], each["least"], each["most"]) for each in data["sliders"]] == [
        ("w", 3.0, -4.0, 4.0),
        ("b", -1.0, -3.0, 1.0),
        ("alpha", 1.0, pytest.approx(0.03), 3.0),
    ]
    assert [curve["params"] for curve in data["curves"]] == [["w", "b"], ["alpha"]]


def test_program_of_one_curve_alone_takes_its_arguments_in_the_same_order():
    state = State("f=elu&f=b*x%2Balpha*x%2Bw&w=3&b=-1&alpha=2")
    alone = [draw.function(State(draw.program_query(text, state)))["curves"] for text in state.texts("f")]
    assert [curve for curves in alone for curve in curves] == draw.function(state)["curves"]


@pytest.mark.parametrize(("rate", "dead_share"), [(0.1, 0.0), (10.0, 1.0)])
def test_second_layer_of_lesson_5_dies_at_the_rate_that_its_caption_names(rate: float, dead_share: float):
    (figure,) = (each for each in read(FOLDER / "05-relu.md").figures if each.kind == "playground")
    training = Training(replace(parse(figure.state.only(("data", "layer", "seed"))), rate=rate))
    training.advance(1_000)
    assert frame_of(training).layers[1].dead_share == dead_share
