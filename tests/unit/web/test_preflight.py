"""What cannot work is refused before a browser opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.errors import BadStudy, BadTask
from actlab.web.preflight import check
from actlab.web.workbench import Workbench


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "houses.csv"
    path.write_text("area,price\n" + "".join(f"{at * at % 7 + at / 9:.2f},{3 * at}\n" for at in range(60)))
    return str(path)


def test_a_usable_table_and_a_store_that_is_not_there_yet_pass(table, tmp_path):
    check(Workbench(data=table, target="price", store=str(tmp_path / "new.db")))
    check(Workbench(data=f"{table}:price", store=str(tmp_path / "new.db")))
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("named", [{"target": "prize"}, {}, {"target": "price", "task": "digits"}])
def test_a_table_without_its_target_is_refused(table, tmp_path, named):
    with pytest.raises(BadTask, match=r"price|--target|name one"):
        check(Workbench(data=table, store=str(tmp_path / "new.db"), **named))


def test_a_target_without_a_table_is_refused():
    with pytest.raises(BadTask, match="requires a table"):
        check(Workbench(target="price"))


def test_a_store_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    with pytest.raises(BadStudy, match="cannot be opened"):
        check(Workbench(store=str(tmp_path / "broken.db")))
    with pytest.raises(BadStudy, match="there is no folder"):
        check(Workbench(store=str(tmp_path / "none" / "new.db")))
    with pytest.raises(BadStudy, match="cannot be opened"):
        check(Workbench(store="mysql://host/runs"))


def test_a_program_is_not_run(tmp_path):
    (tmp_path / "net.py").write_text("raise SystemExit('it was run')")
    check(Workbench(data=f"{tmp_path / 'net.py'}:make_task", store=str(tmp_path / "new.db")))
