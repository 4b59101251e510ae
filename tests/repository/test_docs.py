"""Every example in the README, the docs and the docstrings runs; what the docs list is what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from repository.examples import ExampleFailed, blocks, docstrings, run_docstrings, run_page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_BLOCKS = [page for page in PAGES if blocks(page.read_text(encoding="utf-8"))]
FILES = sorted((ROOT / "src").rglob("*.py"))
WITH_EXAMPLES = [file for file in FILES if any(docstrings(file))]


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_the_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_page(page) > 0


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=dotted)
def test_examples_in_docstrings_run(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_docstrings(dotted(file)) > 0


@pytest.mark.parametrize(
    "text",
    [
        "```python\n1 / 0\n```\n",
        "```python\nx = 1\n```\n\nand\n\n```python\n>>> x\n2\n```\n",
        "```pycon\n>>> unknown\n```\n",
    ],
)
def test_a_false_page_fails(tmp_path, text):
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    with pytest.raises((ExampleFailed, ZeroDivisionError)):
        run_page(tmp_path / "page.md")


def test_a_false_docstring_fails(tmp_path, monkeypatch):
    (tmp_path / "false_example.py").write_text(
        'def one():\n    """One.\n\n    >>> one()\n    2\n    """\n    return 1\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ExampleFailed, match=r"Expected:\s+2\s+Got:\s+1"):
        run_docstrings("false_example")


def test_links_between_pages_lead_somewhere():
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not link.startswith(("https://", "http://")) and not (page.parent / link).exists()
    ]
    assert not dead, dead


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    folder = ROOT / "docs"
    lost = [
        str(page.relative_to(folder))
        for page in PAGES[1:]
        if page.name != "index.md" and page.parent == folder and f"]({page.name})" not in index
    ]
    assert not lost, lost


def test_the_table_of_dependencies_is_complete():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(need for needs in project["optional-dependencies"].values() for need in needs),
    ]
    names = {re.split(r"[\[<>=! ;]", need)[0] for need in wanted} - {"actlab"}
    table = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert names == set(re.findall(r"^\| `([\w-]+)`", table, flags=re.MULTILINE))
