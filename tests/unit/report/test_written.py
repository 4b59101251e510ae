from __future__ import annotations

import os

import pytest

from actlab.errors import BadInput
from actlab.report.written import check_place, write_whole


def test_the_old_file_stays_where_the_new_one_cannot_be_finished(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(BadInput, match=r"cannot write '.*report\.html': No space left on device; name another place\."):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_nobody_sees_a_part(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    seen = []
    replace = os.replace

    def watched(source, target):
        seen.append((path.read_text(), source.read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_whole(path, b"new")
    assert seen == [("old", b"new")]
    assert path.read_text() == "new"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"there is no folder '.*nowhere'; make it, or name another place\."):
        check_place(tmp_path / "nowhere" / "report.html")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(BadInput, match=r"it is a folder; name a file\."):
        check_place(tmp_path)
