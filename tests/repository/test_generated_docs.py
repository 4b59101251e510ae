"""The pages that follow from the code are the ones that stand in docs/."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "generate.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_pages_are_up_to_date() -> None:
    said = checked(DOCS)
    assert said.returncode == 0, said.stderr


def test_a_page_that_is_not_is_noticed(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DOCS, tmp_path / "docs"))
    page = folder / "catalog.md"
    page.write_text(page.read_text().replace("**gelu**", "**gelo**"))
    said = checked(folder)
    assert said.returncode == 1
    assert "catalog.md" in said.stderr
