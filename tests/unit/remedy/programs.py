"""Programs in a folder, patched: what the lines become, or why an edit is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from actlab.remedy.edit import Edit
from actlab.remedy.patch import Patch, patched


def patch_of(folder: Path, source: str, edits: Sequence[Edit], *, name: str = "net.py") -> Patch:
    """The patch of a program, whose first line is an empty one so that lines count as they are written."""
    file = folder / name
    file.write_bytes(dedent(source).encode())
    return patched([replace(edit, file=str(file)) for edit in edits])


def changed_lines(patch: Patch) -> list[str]:
    """The removed and added lines of the diff, without the names of the files."""
    return [line for line in patch.diff.splitlines() if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}]
