"""A lesson: a Markdown file, parsed into sections of prose, figures and choices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import final

from actlab.errors import BadInput
from actlab.lessons.fill import filled
from actlab.lessons.state import State

FOLDER = Path(__file__).parent
KINDS = ("function", "playground", "lines")
"""The kinds of figures."""

_FENCE = re.compile(r"```(\w*)\s*(.*)")
_OPTION = re.compile(r"- \[([ x])\] (.+?) — (.+)")


@final
@dataclass(frozen=True)
class Prose:
    """Markdown, with its facts filled in."""

    text: str


@final
@dataclass(frozen=True)
class Figure:
    """A figure that can be moved.

    Attributes:
        kind: one of `KINDS`.
        state: what it shows first.
        caption: Markdown below it.
    """

    kind: str
    state: State
    caption: str


@final
@dataclass(frozen=True)
class Option:
    """One answer to choose, and why it is right or wrong."""

    text: str
    explanation: str
    is_right: bool


@final
@dataclass(frozen=True)
class Choice:
    """A question with answers to choose from, of which exactly one is right."""

    question: str
    options: tuple[Option, ...]


Part = Prose | Figure | Choice


@final
@dataclass(frozen=True)
class Section:
    """A section: the text under one `##` heading; the first one of a file may have an empty title."""

    title: str
    parts: tuple[Part, ...]


@final
@dataclass(frozen=True)
class Lesson:
    """One lesson, or the page of questions.

    Attributes:
        file: the Markdown file.
        title: its first line.
        sections: its text.
    """

    file: Path
    title: str
    sections: tuple[Section, ...]

    @property
    def slug(self) -> str:
        """The name of the file without its ending: `03-sigmoid`."""
        return self.file.stem

    @property
    def number(self) -> int:
        """The number of the lesson; 0 for the questions."""
        head = self.slug.partition("-")[0]
        return int(head) if head.isdigit() else 0

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures, in their order on the page."""
        return tuple(part for section in self.sections for part in section.parts if isinstance(part, Figure))

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices, in their order on the page."""
        return tuple(part for section in self.sections for part in section.parts if isinstance(part, Choice))


def files(folder: Path = FOLDER) -> tuple[Path, ...]:
    """Return the files of the lessons, in order."""
    return tuple(sorted(folder.glob("[0-9][0-9]-*.md")))


def lessons() -> tuple[Lesson, ...]:
    """Return all lessons, in order."""
    return tuple(read(file) for file in files())


def questions(folder: Path = FOLDER) -> tuple[Lesson, ...]:
    """Return the page of frequent questions, if there is one."""
    return tuple(read(file) for file in folder.glob("questions.md"))


@lru_cache(maxsize=64)
def read(file: Path) -> Lesson:
    """Read a lesson.

    Raises:
        BadInput: the file does not have the format; the error names file and line.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0].startswith("# "):
        raise BadInput(f"{file.name}:1: the first line must be '# Title'; got '{lines[0] if lines else ''}'.")
    texts = [filled(line, f"{file.name}:{number}") for number, line in enumerate(lines, start=1)]
    return Lesson(file, texts[0].removeprefix("# ").strip(), tuple(_sections(texts, file.name)))


def _sections(lines: Sequence[str], name: str) -> Iterator[Section]:
    title: str = ""
    parts: list[Part] = []
    prose: list[str] = []
    number = 1
    while number < len(lines):
        line = lines[number]
        number += 1
        fence = _FENCE.fullmatch(line)
        if fence:
            body = list(takewhile(lambda each: each.rstrip() != "```", lines[number:]))
            if number + len(body) == len(lines):
                raise BadInput(f"{name}:{number}: the block that begins here has no end; add a line ```.")
            if fence[1] in {"figure", "choice"}:
                parts.extend(_prose(prose))
                parts.append(_block(fence[1], fence[2].strip(), body, f"{name}:{number}"))
                prose = []
            else:
                prose += [line, *body, "```"]
            number += len(body) + 1
        elif line.startswith("## "):
            yield from _section(title, [*parts, *_prose(prose)])
            title, parts, prose = line.removeprefix("## ").strip(), [], []
        else:
            prose.append(line)
    yield from _section(title, [*parts, *_prose(prose)])


def _section(title: str, parts: Sequence[Part]) -> Iterator[Section]:
    if title or parts:
        yield Section(title, tuple(parts))


def _prose(lines: Sequence[str]) -> Iterator[Prose]:
    text = "\n".join(lines).strip()
    if text:
        yield Prose(text)


def _block(word: str, kind: str, body: Sequence[str], place: str) -> Part:
    return _figure(kind, body, place) if word == "figure" else _choice(body, place)


def _figure(kind: str, body: Sequence[str], place: str) -> Figure:
    if kind not in KINDS:
        raise BadInput(f"{place}: a figure is one of {', '.join(KINDS)}; got '{kind}'.")
    if len(body) < 2:
        raise BadInput(f"{place}: a figure has a line of state and a caption; got {len(body)} lines.")
    return Figure(kind, State(body[0].strip()), "\n".join(body[1:]).strip())


def _choice(body: Sequence[str], place: str) -> Choice:
    question = [line for line in body if line.strip() and not line.startswith("- [")]
    found = [_OPTION.fullmatch(line.strip()) for line in body if line.startswith("- [")]
    options = tuple(Option(each[2], each[3], each[1] == "x") for each in found if each)
    if len(options) != len(found) or not question:
        raise BadInput(
            f"{place}: a choice has a question, and options '- [ ] option — explanation', one of them with [x]."
        )
    if sum(option.is_right for option in options) != 1 or len(options) < 2:
        raise BadInput(f"{place}: a choice has several options, one of them right; got {len(options)}.")
    return Choice(" ".join(question), options)
