"""The example of the README is repaired, and git takes the diff."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from command_line import caller

EXAMPLE = Path(__file__).parents[2] / "examples" / "deep.py"


@pytest.mark.slow
def test_the_network_that_does_not_learn_is_repaired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)

    said = caller(capsys, monkeypatch)("fix", "deep.py:make_task", "--json")

    answer = said.json
    assert (said.status, answer["verdict"]) == (0, "repaired")
    assert answer["after"]["metric"] > answer["before"]["metric"] + 30
    assert [each["finding"] for each in answer["tried"] if each["kept"]] == ["AL103"]
    subprocess.run(["git", "apply", "-"], input=answer["diff"], text=True, check=True)
    assert (tmp_path / "deep.py").read_text() != EXAMPLE.read_text()
    again = caller(capsys, monkeypatch)("fix", "deep.py:make_task", "--json")
    assert again.json["verdict"] == "nothing to repair"
