"""The examples that the documentation shows, found and run."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

FENCE = re.compile(r"^```(python|pycon)[^\n]*\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class ExampleFailed(AssertionError):
    """An example that raised, or gave something else than it shows."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, and the line on which its code begins."""

    code: str
    line: int

    @property
    def is_session(self) -> bool:
        return self.code.lstrip().startswith(">>>")


def blocks(text: str) -> list[Block]:
    return [Block(found[2], text.count("\n", 0, found.start(2)) + 1) for found in FENCE.finditer(text)]


def run_page(page: Path) -> int:
    """The number of blocks run, top to bottom in one namespace, as a reader would type them."""
    names: dict[str, object] = {"__name__": "__main__"}
    found = blocks(page.read_text(encoding="utf-8"))
    for block in found:
        if block.is_session:
            run_session(block.code, names, name=page.name, file=page, line=block.line)
        else:
            # Blank lines in front, so that a traceback names the line of the page.
            exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), names)
    return len(found)


def run_docstrings(module: str) -> int:
    """The number of examples run in the docstrings of a module, each docstring on its own."""
    loaded = import_module(module)
    file = Path(str(loaded.__file__))
    ran = 0
    for name, text, line in docstrings(file):
        ran += run_session(text, dict(vars(loaded)), name=f"{module}.{name}", file=file, line=line)
    return ran


def docstrings(file: Path) -> Iterator[tuple[str, str, int]]:
    """Name, text and line of every docstring with an example, also of functions that a decorator replaced."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and ">>>" in text:
                yield getattr(node, "name", "module"), text, node.body[0].lineno


def run_session(text: str, names: dict[str, object], *, name: str, file: Path, line: int) -> int:
    test = doctest.DocTestParser().get_doctest(text, names, name, str(file), line - 1)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    if result.failed:
        raise ExampleFailed("".join(said))
    return result.attempted
