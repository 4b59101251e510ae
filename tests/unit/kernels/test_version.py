"""The kernels' version follows the code that decides their bits, and nothing else."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from actlab.kernels.runtime import version

PACKAGE = Path(version.__file__).parents[2]

# Imported on the way, but no bit of a result depends on them.
WITHOUT_SAY = {
    "errors", "formula/text", "kernels/elementwise/stored_choices", "kernels/runtime/cache", "kernels/runtime/cpu",
    "kernels/runtime/eviction", "kernels/runtime/jit", "kernels/runtime/launch", "kernels/runtime/threads",
    "kernels/runtime/version",
}  # fmt: skip


def imported(name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("actlab"):
            place = "/".join(node.module.split(".")[1:])
            yield from (place, *(f"{place}/{alias.name}" for alias in node.names))


def reached(start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in found and (PACKAGE / f"{name}.py").is_file():
            found.add(name)
            todo += imported(name)
    return found


def test_the_makers_are_what_the_recipes_import() -> None:
    assert set(version.MAKERS) == reached("kernels/elementwise/strategies") - WITHOUT_SAY


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in version.MAKERS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / f"{name}.py", tmp_path / f"{name}.py")
    for name in version.DATA:
        shutil.copy(PACKAGE / name, tmp_path / name)
    return tmp_path


def test_every_maker_counts(copied: Path) -> None:
    assert version.digest_of(copied) == version.VERSION
    seen = {version.VERSION}
    for name in version.MAKERS:
        file = copied / f"{name}.py"
        file.write_text(file.read_text(encoding="utf-8") + "x = 1\n", encoding="utf-8")
        seen.add(version.digest_of(copied))
    assert len(seen) == len(version.MAKERS) + 1


@pytest.mark.parametrize("name", version.MAKERS)
def test_no_docstring_counts(name: str) -> None:
    text = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
    code = {line.strip() for line in version.code_of(text)}
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    firsts = [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    assert not [first for first in firsts if first and any(first.splitlines()[0] in line for line in code)]


def test_data_counts(copied: Path) -> None:
    for name in version.DATA:
        file = copied / name
        file.write_text(file.read_text(encoding="utf-8").replace("1", "2", 1), encoding="utf-8")
        assert version.digest_of(copied) != version.VERSION


def test_comments_docstrings_and_empty_lines_do_not_count(copied: Path) -> None:
    file = copied / "kernels/elementwise/strategies.py"
    text = file.read_text(encoding="utf-8").replace('"""', '"""New words. ', 1)
    file.write_text("\n# a remark\n" + text + "\n    # another\n", encoding="utf-8")
    assert version.digest_of(copied) == version.VERSION


def test_a_string_that_is_used_counts(copied: Path) -> None:
    file = copied / "kernels/elementwise/strategies.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + 'X = """\none\n"""\n', encoding="utf-8")
    one = version.digest_of(copied)
    file.write_text(text + 'X = """\ntwo\n"""\n', encoding="utf-8")
    assert len({version.VERSION, one, version.digest_of(copied)}) == 3
