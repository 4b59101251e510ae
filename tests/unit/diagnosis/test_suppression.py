"""Comments that suppress findings."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.diagnosis.suppression import ignores, suppressed
from unit.report.findings import finding, site

LINE = "    return torch.relu(x)"


@pytest.mark.parametrize(
    ("comment", "is_suppressed"),
    [
        ("# actlab: ignore[AL101]", True),
        ("# actlab: ignore[AL102, AL101]", True),
        ("# actlab: ignore[al1]", True),
        ("# actlab: ignore", True),
        ("#actlab:ignore", True),
        ("# noqa: E501  # actlab: ignore[AL101] the input is never negative", True),
        ("# actlab: ignore[AL102]", False),
        ("# actlab: ignore[]", False),
        ("# actlab: ignored", False),
        ("# ignore[AL101]", False),
        ("", False),
    ],
)
def test_a_comment_suppresses_the_findings_that_it_names(comment: str, is_suppressed: bool) -> None:
    assert ignores(f"{LINE}  {comment}", "AL101") is is_suppressed


def test_only_the_line_that_the_finding_names_counts(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(f"{LINE}  # actlab: ignore\n{LINE}\n")
    there, elsewhere, nowhere = (
        finding(where=site(file=str(file), line=1)),
        finding(where=site(file=str(file), line=2)),
        finding(where=site(file="<stdin>", line=1)),
    )
    assert suppressed([there, elsewhere, nowhere]) == [there]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    found = [finding(where=site(file=str(file), line=1))]
    file.write_text(f"{LINE}\n")
    assert suppressed(found) == []
    file.write_text(f"{LINE}  # actlab: ignore\n")
    assert suppressed(found) == found
