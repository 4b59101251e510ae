"""The kernel cache held to a size: what was used last stays, and nobody's entry is an obstacle."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from actlab.errors import BadInput
from actlab.kernels.runtime import cache, eviction

CODE = bytes(1000)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, looked at with every entry."""
    folder = tmp_path / "kernels"
    monkeypatch.setenv("ACTLAB_CACHE", str(folder))
    monkeypatch.setattr(eviction, "is_due", lambda key: True)
    return folder


def written(place: Path, *, count: int) -> list[str]:
    """Entries, the first of them not used for longest."""
    keys = [cache.key_of(f"kernel {each}", machine="a machine") for each in range(count)]
    for age, key in enumerate(reversed(keys)):
        cache.write(key, CODE)
        os.utime(place / f"{key}.o", (time.time() - 100 * (age + 1),) * 2)
    return keys


def test_what_was_used_last_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = written(place, count=10)
    assert cache.read(keys[0]) == CODE
    size = (place / f"{keys[0]}.o").stat().st_size
    eviction.evict(place, most=10 * size)
    assert len(list(place.iterdir())) == 10
    eviction.evict(place, most=8 * size)  # to three quarters of it
    assert [key for key in keys if cache.read(key)] == [keys[0], *keys[5:]]


def test_a_full_cache_makes_room_when_an_entry_is_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "limit", lambda: 5000)
    written(place, count=40)
    assert 0 < sum(file.stat().st_size for file in place.iterdir()) <= 5000


def test_files_left_behind_go_and_files_being_written_stay(place: Path) -> None:
    place.mkdir()
    for name, age in (("old.part", 2 * 3600), ("new.part", 0), ("old.txt", 2 * 3600)):
        (place / name).write_bytes(CODE)
        os.utime(place / name, (time.time() - age,) * 2)
    eviction.evict(place, most=0)
    assert sorted(file.name for file in place.iterdir()) == ["new.part", "old.txt"]


def test_an_entry_deleted_by_another_process_is_not_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(place, count=4)
    listed = list(place.iterdir())
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(listed))
    listed[0].unlink()  # before it is looked at
    eviction.evict(place, most=0)
    assert not any(path.exists() for path in listed)
    eviction.used(listed[0])


def test_about_one_entry_in_sixteen_checks_the_folder() -> None:
    due = [eviction.is_due(cache.key_of(str(each), machine="a machine")) for each in range(1600)]
    assert 50 < sum(due) < 200


@pytest.mark.parametrize(("said", "most"), [("", 256_000_000), ("0", 0), ("12", 12_000_000), (" 3 ", 3_000_000)])
def test_the_user_sets_the_limit(said: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTLAB_CACHE_MB", said)
    assert eviction.limit() == most


@pytest.mark.parametrize("said", ["much", "-1", "1.5"])
def test_an_invalid_limit_is_an_error(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTLAB_CACHE_MB", said)
    with pytest.raises(BadInput, match=f"ACTLAB_CACHE_MB must be a whole number of megabytes; got '{said}'."):
        eviction.limit()
