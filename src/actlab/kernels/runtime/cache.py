"""Save machine code on disk. An entry is used only if it is complete, ours, and made for this text and this CPU.

A file holds one line of JSON (what it was made from, and the checksum of what follows) and the object code. It is
written under another name and moved into place, so that two processes may write the same one. All together are held to
a size by `eviction`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from functools import cache
from pathlib import Path

from actlab.kernels.runtime import eviction
from actlab.kernels.runtime.version import VERSION


def key_of(text: str, *, machine: str) -> str:
    """Return the name of the entry for a kernel's text on a machine."""
    return hashlib.sha256("\x1f".join([VERSION, machine, text]).encode()).hexdigest()


def folder() -> Path:
    """Return the cache folder: `$ACTLAB_CACHE`, else one in the user's cache folder."""
    chosen = os.environ.get("ACTLAB_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "actlab" / "kernels"


def read(key: str) -> bytes | None:
    """Return the entry's object code, or None if there is no valid one."""
    path = folder() / f"{key}.o"
    try:
        content = path.read_bytes()
        if not _is_ours(path):
            return None
    except OSError:
        return None
    head, _, code = content.partition(b"\n")
    try:
        said = json.loads(head)
    except ValueError:
        return None
    if said != _head(key, code):
        return None
    eviction.used(path)
    return code


def write(key: str, code: bytes) -> None:
    """Save the object code, evicting the least recently used entries. If it cannot be saved, warn once and go on.

    Raises:
        BadInput: `$ACTLAB_CACHE_MB` is not a number of megabytes.
    """
    place, most = folder(), eviction.limit()
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=place, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(_head(key, code)).encode() + b"\n" + code)
            os.replace(name, place / f"{key}.o")
            if eviction.is_due(key):
                eviction.evict(place, most=most)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        _say_once(str(place), error.strerror or str(error))


def _head(key: str, code: bytes) -> dict[str, str]:
    return {"kernel": key, "version": VERSION, "sha256": hashlib.sha256(code).hexdigest()}


def _is_ours(path: Path) -> bool:
    """Return whether nobody else could have written the file or put it there."""
    if not hasattr(os, "getuid"):
        return True
    return all(
        each.stat().st_uid in {os.getuid(), 0} and not each.stat().st_mode & 0o022 for each in (path, path.parent)
    )


@cache
def _say_once(place: str, reason: str) -> None:
    warnings.warn(
        f"actlab cannot save its kernels in {place} ({reason}); every process compiles them again. "
        "Set ACTLAB_CACHE to a writable folder.",
        RuntimeWarning,
        stacklevel=2,
    )
