"""What the page Compare says is free of options of the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from actlab import study
from actlab.web.page_words import in_page_words

# Where the sentences of a plan, of its forecast and of a stored study are written.
FILES = ("plan.py", "forecast.py", "archive.py", "suite.py", "suite_store.py", "more_seeds.py", "power.py")


def sentences(file: Path) -> Iterator[str]:
    """Every text in a file that names an option, with 6 for each value."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) in inside:
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
        text = "".join(str(each.value) if isinstance(each, ast.Constant) else "6" for each in parts)
        if " --" in text or "(--" in text:
            yield text


TEXTS = [text for name in FILES for text in sentences(Path(study.__file__).with_name(name))]


@pytest.mark.parametrize("text", TEXTS)
def test_no_sentence_of_a_plan_names_an_option(text):
    assert "--" not in in_page_words(text)


def test_the_sentences_are_found():
    assert any("seeds are needed (--seeds 6)" in text for text in TEXTS)


def test_answers_keep_their_shape():
    assert in_page_words({"a": [1, "(--init gain)", None], "b": 0.5}) == {"a": [1, "(--init gain)", None], "b": 0.5}
    assert in_page_words(["Continue it with --resume."]) == ["Continue it here."]
