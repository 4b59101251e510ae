from __future__ import annotations

import os

import pytest

from actlab.errors import BadInput
from actlab.report.written import check_place, write_whole


def test_the_old_file_is_unchanged_if_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(BadInput, match=r"report\.html': No space left on device; choose another path\."):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_readers_never_get_part_of_a_file(tmp_path, monkeypatch):
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
    with pytest.raises(BadInput, match=r"there is no folder '.*nowhere'; create it, or choose another path\."):
        check_place(tmp_path / "nowhere" / "report.html")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"it is a folder; choose a file name\."):
        check_place(tmp_path)
