"""Kernels kept on disk: found again, and never trusted where they are damaged, of another machine or anybody's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from actlab.kernels.runtime import cache

CODE = bytes(range(256)) * 4
KEY = cache.key_of("a kernel", machine="a machine")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    folder = tmp_path / "kernels"
    monkeypatch.setenv("ACTLAB_CACHE", str(folder))
    return folder


def test_what_was_written_is_read(place: Path) -> None:
    assert cache.read(KEY) is None
    cache.write(KEY, CODE)
    assert cache.read(KEY) == CODE
    assert [each.name for each in place.iterdir()] == [f"{KEY}.o"]
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kept", [0, 1, 40, 200, 500, -1])
def test_a_truncated_entry_is_ignored(place: Path, kept: int) -> None:
    cache.write(KEY, CODE)
    file = place / f"{KEY}.o"
    file.write_bytes(file.read_bytes()[:kept])
    assert cache.read(KEY) is None


def test_an_entry_with_any_byte_changed_is_ignored(place: Path) -> None:
    cache.write(KEY, CODE)
    file = place / f"{KEY}.o"
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert cache.read(KEY) is None, at
    file.write_bytes(whole)
    assert cache.read(KEY) == CODE


def test_an_entry_under_another_name_is_ignored(place: Path) -> None:
    cache.write(KEY, CODE)
    other = cache.key_of("a kernel", machine="another machine")
    assert other != KEY
    (place / f"{other}.o").write_bytes((place / f"{KEY}.o").read_bytes())
    assert cache.read(other) is None


def test_an_entry_of_another_version_is_ignored(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(KEY, CODE)
    monkeypatch.setattr(cache, "VERSION", "of another day")
    assert cache.read(KEY) is None
    assert cache.key_of("a kernel", machine="a machine") != KEY


@pytest.mark.parametrize("head", [b"", b"[]\n", b"{}\n", b"\xff\xfe\n", b'{"kernel": 1}\n', b"null\n"])
def test_an_entry_without_a_header_is_ignored(place: Path, head: bytes) -> None:
    place.mkdir()
    (place / f"{KEY}.o").write_bytes(head + CODE)
    assert cache.read(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the system has no owners of files")
def test_an_entry_that_others_may_write_is_ignored(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(KEY, CODE)
    file = place / f"{KEY}.o"
    for path, mode, usual in ((place, 0o770, 0o700), (place, 0o702, 0o700), (file, 0o620, 0o600), (file, 0o602, 0o600)):
        path.chmod(mode)
        assert cache.read(KEY) is None, (path, mode)
        path.chmod(usual)
        assert cache.read(KEY) == CODE
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.read(KEY) == (CODE if file.stat().st_uid == 0 else None)
    if file.stat().st_uid == 0:  # root's files are as good as one's own; those of a third person are not
        os.chown(file, 54321, -1)
        assert cache.read(KEY) is None


def test_a_read_only_folder_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("ACTLAB_CACHE", str(blocked / "kernels"))
    with pytest.warns(
        RuntimeWarning, match="cannot save its kernels in .*every process compiles them again. Set ACTLAB_CACHE"
    ):
        cache.write(KEY, CODE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.write(KEY, CODE)
        cache.write(cache.key_of("another", machine="a machine"), CODE)
    assert cache.read(KEY) is None


def test_nothing_half_written_stays_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        cache.write(KEY, CODE)
    assert list(place.iterdir()) == []


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACTLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder() == Path("/somewhere/actlab/kernels")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache" / "actlab" / "kernels"
    monkeypatch.setenv("ACTLAB_CACHE", "/elsewhere")
    assert cache.folder() == Path("/elsewhere")


# Whole processes. Each prints what its kernels gave, and how many of them came from the disk.
PROGRAM = textwrap.dedent("""
    import json, warnings
    import torch
    from actlab.kernels.runtime import jit
    from actlab.nn import functional
    codes = []
    make = jit.cache.write
    jit.cache.write = lambda key, code: (codes.append(key), make(key, code))
    x = torch.linspace(-6, 6, 1001, requires_grad=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        y = functional("x*sin(1.25*x)")(x)
        y.sum().backward()
    print(json.dumps({"made": len(codes), "y": y.sum().item(), "dx": x.grad.double().square().sum().item(),
                      "said": [str(each.message) for each in said]}))
""")


def started(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "ACTLAB_CACHE": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    told: dict[str, object] = json.loads(out)
    return told


def test_a_second_process_compiles_nothing_and_replaces_a_damaged_entry(place: Path) -> None:
    first = ended(started(place))
    assert first["made"]
    assert first["said"] == []
    second = ended(started(place))
    assert second == {**first, "made": 0}
    for file in place.iterdir():
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert ended(started(place)) == first
    assert ended(started(place)) == second


@pytest.mark.slow
def test_processes_that_start_at_once_share_a_cache(place: Path) -> None:
    alone = ended(started(place.with_name("alone")))
    for told in [ended(each) for each in [started(place) for _ in range(4)]]:
        assert {**told, "made": alone["made"]} == alone
    assert ended(started(place)) == {**alone, "made": 0}
    assert not list(place.glob("*.part"))


@pytest.mark.slow
def test_without_a_cache_that_can_be_written_results_are_the_same(place: Path) -> None:
    usual = ended(started(place))
    blocked = place.with_name("blocked")
    blocked.write_text("in the way", encoding="utf-8")
    told = ended(started(blocked / "kernels"))
    (said,) = told["said"]  # type: ignore[misc]  # one warning, whatever the number of kernels
    assert "cannot save its kernels" in str(said)
    assert {**told, "said": []} == usual
