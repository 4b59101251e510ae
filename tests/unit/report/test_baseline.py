"""A baseline accepts what it contains, new findings are reported, and other files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.errors import BadInput
from actlab.report.baseline import divided, write_baseline
from unit.report.findings import finding, site


def test_a_written_finding_is_accepted_on_another_line_too(tmp_path: Path) -> None:
    path = write_baseline([finding(where=site()), finding("AL101")], tmp_path / "accepted.json")
    found = divided([finding(where=site(line=80)), finding("AL202")], path)
    assert [one.id for one in found.accepted] == ["AL201"]
    assert [one.id for one in found.new] == ["AL202"]
    assert found.gone == 1


def test_accepting_one_does_not_hide_a_second_of_its_kind(tmp_path: Path) -> None:
    path = write_baseline([finding()], tmp_path / "accepted.json")
    found = divided([finding(), finding(message="another")], path)
    assert [one.message for one in found.new] == ["another"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no baseline '.*'; create one with --write-baseline"),
        ("{", "cannot be read as a baseline"),
        ("[]", "is not a baseline: it lacks 'version'"),
        ('{"version": 9, "accepted": []}', "is a baseline of version 9; this actlab reads version 1"),
        ('{"version": 1, "accepted": [{}]}', "is not a baseline"),
    ],
)
def test_a_file_that_is_not_a_baseline_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "accepted.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=message):
        divided([], path)
