"""Wordings that nobody in the field uses do not come back."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "changelog.d").glob("*.md"))]
FILES = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "src").rglob("*.j2"))]

# What not to write, and what to write instead.
WORDINGS = {
    r"\b(is|are|was|were|be|been) told\b|\btells? (it|them) apart\b": "is reported",
    r"(?<!there )\b(is|are) no (?!longer\b|more\b|larger\b|smaller\b|further\b|better\b|faster\b)[a-z]+": "is not a",
    r"\bhang(s|ing)? on\b": "depends on",
    r"\b(gravest|mildest|graver)\b": "most severe, least severe",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bin the place of\b": "instead of",
    r"\basked wrongly\b": "usage error",
    r"(?<!\")\b(sinners?|of the house|the house|rooms?|journeys?|twins?)\b": "a standard term",
    r"\bfor ever\b": "never changes",
    r"\b(what|whatever) (enters|leaves) it\b": "its input, its output",
    r"\bbends between\b": "no non-linearity between",
    r"\b(Nothing|None),? where\b": "Raise ... if, or None if",
    r"\bas (they|it) (is|are) spelled\b|\bhowever (it|they) (is|are) spelled\b": "module, function or formula",
    r"\bare meant so\b|\bmeant so\b": "intentional",
    r"\bhow that is known\b|\bwhat answers (it|them|a)\b": "evidence, fix",
    r"\bkept for backward\b|\bkeeps? for backward\b": "saved for backward",
    r"\bcome by\b|\bcame by\b": "happens",
    r"\bis thrown (up|there)\b": "rises",
}


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and text of what a person reads: whole pages, and the strings and comments of a program."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), start=1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in {tokenize.STRING, tokenize.COMMENT}:
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def faults(path: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{number}: '{found[0]}': {better}"
        for number, line in prose(path)
        for wording, better in WORDINGS.items()
        if (found := re.search(wording, line, flags=re.IGNORECASE))
    ]


def test_pages_and_programs_use_the_words_of_the_field():
    found = [fault for path in (*PAGES, *FILES) for fault in faults(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "Each finding is told once.",
        "A ReLU is no sigmoid.",
        "The answers hang on the batch.",
        "Nothing, where none of the models is watched.",
        "What the activations keep for backward.",
    ],
)
def test_a_wording_that_must_not_return_is_found(tmp_path, line):
    (tmp_path / "page.md").write_text(f"# Title\n\n{line}\n", encoding="utf-8")
    (tmp_path / "program.py").write_text(f'def one():\n    """{line}"""\n', encoding="utf-8")
    assert len(faults(tmp_path / "page.md")) == len(faults(tmp_path / "program.py")) == 1


@pytest.mark.parametrize("line", ["There is no kernel for it.", "The error is no longer bounded.", "told = 1"])
def test_plain_english_passes(tmp_path, line):
    (tmp_path / "program.py").write_text(f"told = 1\n# {line}\n" if "=" not in line else f"{line}\n", encoding="utf-8")
    assert faults(tmp_path / "program.py") == []
