"""A patch as git and patch take it, and files written all or none."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from actlab.errors import BadInput
from actlab.remedy.edit import RemoveActivation, ReplaceActivation
from actlab.remedy.patch import Patch, patched, write
from actlab.remedy.syntax import change
from actlab.remedy.syntax.change import Swap
from actlab.remedy.syntax.program import Program, Refused

NET = "from torch import nn\n\nnet = nn.Sequential(\n    nn.Linear(4, 8),\n    nn.Sigmoid(),  # ±σ\n)\n"
FORMS = {
    "plain": NET.encode(),
    "line ends of Windows": NET.replace("\n", "\r\n").encode(),
    "a mark of the byte order": b"\xef\xbb\xbf" + NET.encode(),
    "no newline at the end": NET.rstrip("\n").encode(),
    "tabs": NET.replace("    ", "\t").encode(),
    "another encoding": b"# coding: latin-1\n" + NET.replace("σ", "s").encode("latin-1"),
    "a form feed and page breaks in text": NET.replace("\n\n", "\n\x0c\ntext = 'a\\x0cb\x0bc\u2028d'\n", 1).encode(),
}


def edit_of(file: Path) -> ReplaceActivation:
    line = next(at for at, line in enumerate(file.read_bytes().split(b"\n"), start=1) if b"Sigmoid" in line)
    return ReplaceActivation(str(file), line, "nn.Sigmoid", "swish")


def git(folder: Path, *arguments: str, text: bytes = b"") -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ran = subprocess.run(
        ["git", "-c", "core.autocrlf=false", *arguments],
        cwd=folder,
        input=text,
        capture_output=True,
        check=False,
        env=clean,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode()


@pytest.mark.parametrize("form", FORMS)
def test_git_applies_the_diff_from_the_root_and_the_file_is_as_expected(form, tmp_path):
    git(tmp_path, "init", "-q")
    file = tmp_path / "sub folder" / "net.py"
    file.parent.mkdir()
    file.write_bytes(FORMS[form])
    patch = patched([edit_of(file)])
    encoding = "latin-1" if form == "another encoding" else "utf-8"
    git(tmp_path, "apply", "-", text=patch.diff.encode(encoding))
    assert file.read_bytes() == patch.data[str(file)]
    newline = b"\r\n" if form == "line ends of Windows" else b"\n"
    expected = FORMS[form].replace(b"nn.Sigmoid()", b'actlab.module("swish")')
    assert file.read_bytes() == expected.replace(
        b"import nn" + newline, b"import nn" + newline + b"import actlab" + newline
    )


@pytest.mark.skipif(shutil.which("patch") is None, reason="the program patch is not installed")
@pytest.mark.parametrize("name", ["net.py", "my net.py"])
def test_patch_applies_the_diff_outside_a_repository(name, tmp_path):
    file = tmp_path / name
    file.write_text(NET, encoding="utf-8")
    patch = patched([edit_of(file)])
    ran = subprocess.run(["patch", "-p1"], cwd=tmp_path, input=patch.diff.encode(), capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert file.read_text(encoding="utf-8") == patch.texts[str(file)]


def test_a_diff_concerns_several_files(tmp_path):
    git(tmp_path, "init", "-q")
    files = [tmp_path / "one.py", tmp_path / "two" / "three.py"]
    files[1].parent.mkdir()
    for file in files:
        file.write_text(NET, encoding="utf-8")
    patch = patched([edit_of(file) for file in files])
    git(tmp_path, "apply", "-", text=patch.diff.encode())
    assert [file.read_text(encoding="utf-8") for file in files] == list(patch.texts.values())
    assert "a/two/three.py" in patch.diff


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path, Patch]:
    """Two files of a repository, and the patch of both."""
    git(tmp_path, "init", "-q")
    first, second = tmp_path / "one.py", tmp_path / "two.py"
    for file in (first, second):
        file.write_text(NET, encoding="utf-8")
    return first, second, patched([edit_of(first), edit_of(second)])


def test_files_are_written_with_their_permissions(two):
    first, second, patch = two
    first.chmod(0o750)
    assert write(patch, task_file=first) == (first.resolve(), second.resolve())
    assert first.read_text(encoding="utf-8") == patch.texts[str(first)]
    assert first.stat().st_mode & 0o777 == 0o750
    assert sorted(path.name for path in first.parent.iterdir()) == [".git", "one.py", "two.py"]


def refused(patch: Patch, file: Path, reason: str) -> None:
    before = {path: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    with pytest.raises(BadInput, match=reason):
        write(patch, task_file=file)
    assert {path: path.read_bytes() for path in file.parent.iterdir() if path.is_file()} == before


def test_none_is_written_if_one_has_changed(two):
    first, second, patch = two
    second.write_text(NET + "# later\n", encoding="utf-8")
    refused(patch, first, "has changed since")


def test_none_is_written_if_one_is_gone(two):
    first, second, patch = two
    second.unlink()
    refused(patch, first, "must be readable")


def test_none_is_written_outside_the_repository(two, tmp_path_factory):
    first, *_ = two
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "net.py"
    elsewhere.write_text(NET, encoding="utf-8")
    outside = patched([edit_of(first), edit_of(elsewhere)])
    refused(outside, first, "must lie in")
    assert elsewhere.read_text(encoding="utf-8") == NET


def test_a_read_only_file_is_refused(two, monkeypatch):
    first, second, patch = two
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != second.resolve() and allowed(path, mode))
    refused(patch, first, "must be writable")


def test_what_is_written_is_undone_if_a_later_file_fails(two, monkeypatch):
    first, second, patch = two
    replacing = os.replace

    def fail(source, target):
        if Path(target) == second.resolve():
            raise OSError(28, "No space left on device")
        replacing(source, target)

    monkeypatch.setattr(os, "replace", fail)
    refused(patch, first, "No space left on device")


def test_a_link_stays_a_link(two):
    first, *_ = two
    link = first.parent / "link.py"
    link.symlink_to(first)
    patch = patched([edit_of(link)])
    write(patch, task_file=first)
    assert link.is_symlink()
    assert "swish" in first.read_text(encoding="utf-8")


def test_a_link_that_leads_out_of_the_repository_is_refused(two, tmp_path_factory):
    first, *_ = two
    outside = tmp_path_factory.mktemp("outside") / "net.py"
    outside.write_text(NET, encoding="utf-8")
    link = first.parent / "link.py"
    link.symlink_to(outside)
    refused(patched([edit_of(link)]), first, "must lie in")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("", "unknown"),
        ("<stdin>", "unknown"),
        ("/lib/python3/site-packages/timm/net.py", "installed package"),
        ("/nowhere/net.py", "cannot be read"),
        ("/nowhere/net.ipynb", "not a Python file"),
    ],
)
def test_a_place_without_a_file_of_the_user_is_refused(file, reason):
    patch = patched([RemoveActivation(file, 1, "nn.ReLU")])
    assert (patch.diff, patch.texts) == ("", {})
    assert reason in patch.refused[0][1]


def test_the_check_notices_a_change_that_was_not_intended():
    program = Program(b"x = f(1)\ny = f(2)\n")
    first, second = program.all(change.cst.Call)
    swap = Swap(first, "g(1)")
    change.check(program, [swap], "x = g(1)\ny = f(2)\n")
    for wrong in ("x = g(1)\ny = g(2)\n", "x = g(1)\n", "x = f(1)\ny = f(2)\n", "x = g(1\n"):
        with pytest.raises(Refused):
            change.check(program, [swap], wrong)
    with pytest.raises(Refused):
        change.check(program, [swap, replace(swap, node=second)], "x = g(1)\ny = f(2)\n")
