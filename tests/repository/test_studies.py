"""Every study has a page with its result, and its script runs."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "docs" / "studies"
SCRIPTS = sorted(path for path in STUDIES.glob("*.py") if path.name != "page.py")
DATA = STUDIES.parents[2] / "shared" / "data"
NEEDED = {"adult": DATA / "adult.csv", "shakespeare": DATA / "tinyshakespeare.txt", "transfer": DATA}


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(STUDIES)
    return import_module("page")


def page_of(script: Path) -> Path:
    return script.with_name(f"{script.stem.replace('_', '-')}.md")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_study_has_a_page_with_its_command_and_its_result(script, page):
    text = page_of(script).read_text(encoding="utf-8")
    assert f"python docs/studies/{script.name}" in text
    result = text.partition(page.BEGIN.format(name=script.stem))[2].partition(page.END)[0]
    assert "| --- |" in result
    assert "Cost: " in result
    assert f"({page_of(script).name})" in (STUDIES / "index.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_study_runs(script, tmp_path):
    before = page_of(script).read_text(encoding="utf-8")
    data = NEEDED.get(script.stem)
    if data is not None and not data.exists():
        pytest.skip(f"{data.name} is not there")
    command = [sys.executable, script, "--quick", "--jobs", "1", *(["--data", data] if data else [])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| --- |" in done.stdout
    assert page_of(script).read_text(encoding="utf-8") == before


def test_a_result_is_written_between_the_marks(page, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    place = tmp_path / "one-thing.md"
    place.write_text(f"before\n{page.BEGIN.format(name='one_thing')}\nold\n{page.END}\nafter\n", encoding="utf-8")
    page.publish("one_thing", ["new"], quick=True)
    assert "old" in place.read_text(encoding="utf-8")
    page.publish("one_thing", ["new"], quick=False)
    text = place.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nnew\n" in text
    assert capsys.readouterr().out == "new\nnew\n"


def test_an_interval_encloses_the_mean(page):
    assert page.interval([2.0, 2.0]) == "2.0"
    middle, rest = page.interval([0.0, 10.0, 20.0, 10.0], digits=2).split(" (")
    low, high = map(float, rest.strip(")").split(" to "))
    assert 0.0 < low < float(middle) < high < 20.0
