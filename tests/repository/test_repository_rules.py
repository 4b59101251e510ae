"""Rules of this repository that no other checker knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "bench", "docs", "changelog.d", ".ci")
TEXTS = {".py", ".pyi", ".md", ".toml", ".html", ".css", ".js", ".j2", ".csv", ".json", ".txt", ".mako", ""}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "handler"}

# Each rule: what is wrong, and how a line that breaks it reads. This file quotes them and is not read.
LINE_RULES = {
    "a to-do": re.compile(r"\b(TODO|FIXME|XXX)\b"),
    "a path of one machine": re.compile(r"(?<![\w.\-/])/(root|work|Users|home)/\w"),
    "an ignore without its rule": re.compile(r"#\s*(type:\s*ignore(?!\[)|noqa(?!:\s*[A-Z]+[0-9]+))"),
    "an ignore without a reason": re.compile(r"#\s*(type:\s*ignore\[[^\]]*\]|noqa:\s*[A-Z]+[0-9, A-Z]*)\s*$"),
}


def files(*suffixes: str) -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    found += [path for path in ROOT.glob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(path for path in found if path.suffix in suffixes and "__pycache__" not in path.parts)


def broken(text: str) -> list[str]:
    """What is wrong in a text, with the line."""
    return [
        f"line {number}: {rule}"
        for number, line in enumerate(text.splitlines(), start=1)
        for rule, pattern in LINE_RULES.items()
        if pattern.search(line)
    ]


def nameless(path: Path) -> set[str]:
    """The names in a file, and its own, that do not say what they hold."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    words = {word: re.findall(r"[A-Z]?[a-z]+|[A-Z]+", word)[-1:] for word in classes}
    return {word for word, last in words.items() if {part.lower() for part in last} & NAMELESS} | (
        {path.stem} & NAMELESS
    )


def test_no_line_breaks_a_rule():
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in files(*TEXTS)
        if path != Path(__file__)
        for fault in broken(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_every_name_says_what_it_holds():
    found = {str(path.relative_to(ROOT)): bad for path in files(".py") if (bad := nameless(path))}
    assert not found, found


def test_values_are_frozen():
    thawed = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for mark in map(ast.unparse, node.decorator_list)
        if mark.startswith(("dataclass", "dataclasses.dataclass")) and "frozen=True" not in mark
    ]
    assert not thawed, thawed


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("x = 1  # TODO later", "a to-do"),
        ('open("/root/data.csv")', "a path of one machine"),
        ("x = f()  # type: ignore", "an ignore without its rule"),
        ("x = f()  # type: ignore[arg-type]", "an ignore without a reason"),
        ("x = f()  # noqa: B018", "an ignore without a reason"),
    ],
)
def test_a_line_that_breaks_a_rule_is_found(line, rule):
    assert broken(line) == [f"line 1: {rule}"]


def test_a_name_that_says_nothing_is_found(tmp_path):
    (tmp_path / "utils.py").write_text("class TaskManager: ...\nclass Database: ...\n", encoding="utf-8")
    assert nameless(tmp_path / "utils.py") == {"utils", "TaskManager"}


def test_the_pages_stay_small():
    static = ROOT / "src/actlab/web/static"
    lines = {file.name: file.read_text(encoding="utf-8").splitlines() for file in static.glob("*.js")}
    assert sum(map(len, lines.values())) <= 2500
    assert not [f"{name}:{at}" for name, of in lines.items() for at, line in enumerate(of, 1) if len(line) > 160]
    assert sum(file.stat().st_size for file in (static / "vendor").iterdir()) <= 100_000
