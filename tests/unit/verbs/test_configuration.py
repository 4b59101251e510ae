"""The section `[tool.actlab]` of pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.errors import BadInput
from actlab.rules.registry import threshold_names
from actlab.verbs.configuration import Configuration, configuration, prefixes

WHOLE = """
[tool.actlab]
select = ["AL1", "al201"]
ignore = ["AL111"]
fail-on = "error"

[tool.actlab.thresholds]
dead_floor = 0.01
fewest_examples = 10
"""


def written(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_every_setting_is_read(tmp_path: Path) -> None:
    found = configuration(written(tmp_path, WHOLE))
    assert (found.select, found.ignore, found.fail_on) == (("AL1", "AL201"), ("AL111",), "error")
    assert (found.settings().dead_floor, found.settings().fewest_examples) == (0.01, 10)
    assert [id for id in ("AL101", "AL111", "AL201", "AL202") if found.selects(id)] == ["AL101", "AL201"]


def test_the_nearest_file_with_a_section_counts(tmp_path: Path) -> None:
    inner = tmp_path / "package" / "models"
    inner.mkdir(parents=True)
    written(tmp_path, '[tool.actlab]\nfail-on = "never"\n')
    written(inner, "[tool.ruff]\nline-length = 100\n")
    assert configuration(inner).fail_on == "never"
    written(inner.parent, "[tool.actlab]\n")
    assert configuration(inner).fail_on == "warning"


def test_without_a_file_all_findings_are_reported(tmp_path: Path) -> None:
    assert Configuration() == configuration(tmp_path)
    assert Configuration().selects("AL101")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('ignroe = ["AL1"]', "has the unknown name 'ignroe'. Did you mean 'ignore'?"),
        ("thresholds = {dead_flor = 0.1}", "has the unknown name 'dead_flor'. Did you mean 'dead_floor'?"),
        ('thresholds = {dead_floor = "low"}', "dead_floor must be a number; got 'low'"),
        ("thresholds = 3", "thresholds must be a table of numbers; got 3"),
        ('select = ["AX"]', "select: no finding has an id that begins with 'AX'"),
        ('ignore = "AL1"', "ignore must be a list of ids"),
        ('fail-on = "eror"', "fail-on must be error, warning, information or never; got 'eror'"),
        ("fail-on = ", "cannot read"),
    ],
)
def test_a_wrong_setting_names_the_file(tmp_path: Path, section: str, message: str) -> None:
    with pytest.raises(BadInput) as raised:
        configuration(written(tmp_path, f"[tool.actlab]\n{section}\n"))
    assert message in str(raised.value)
    assert str(tmp_path / "pyproject.toml") in str(raised.value)


def test_an_empty_prefix_is_refused() -> None:
    with pytest.raises(BadInput, match="--ignore: no finding has an id that begins with ''"):
        prefixes([""], where="--ignore")


def test_every_threshold_can_be_set(tmp_path: Path) -> None:
    lines = "\n".join(f"{name} = 0.5" for name in threshold_names())
    found = configuration(written(tmp_path, f"[tool.actlab.thresholds]\n{lines}\n"))
    assert set(found.thresholds) == set(threshold_names())
    found.settings()
