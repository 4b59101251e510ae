"""Hold a folder of entries to a size by deleting the least recently used."""

from __future__ import annotations

import os
import time
from pathlib import Path

from actlab.errors import BadInput

# Megabytes: some ten thousand kernels.
DEFAULT_LIMIT = 256

# A full folder is emptied to this share of its limit, so that the next entries fit.
_KEPT_SHARE = 0.75

# One entry in so many looks at the whole folder when it is written.
_LOOKS = 16

# A file under its first name this old, in seconds, was left behind by a process that died.
_ABANDONED = 3600.0


def limit() -> int:
    """Return how many bytes all entries may take: `$ACTLAB_CACHE_MB` megabytes, else 256.

    Raises:
        BadInput: that is not an integer.
    """
    said = os.environ.get("ACTLAB_CACHE_MB", "").strip()
    if said and not said.isdecimal():
        raise BadInput(f"ACTLAB_CACHE_MB must be a whole number of megabytes; got {said!r}.")
    return int(said or DEFAULT_LIMIT) * 1_000_000


def is_due(key: str) -> bool:
    """Return whether writing this entry checks the folder: decided by its key, as good as at random."""
    return int(key[:8], 16) % _LOOKS == 0


def used(path: Path) -> None:
    """Mark the entry as used now; do nothing if the folder is read-only or the entry was just deleted."""
    try:
        os.utime(path)
    except OSError:
        return


def evict(folder: Path, *, most: int) -> None:
    """Delete the least recently used entries if all of them take more than `most` bytes.

    Another process may do the same at once: a file that is already gone is not an error, and an open entry can be read
    to its end.
    """
    found = []
    for path in folder.iterdir():
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        if path.suffix == ".o":
            found.append((stat.st_mtime_ns, stat.st_size, path))
        elif path.suffix == ".part" and time.time() - stat.st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
    total = sum(size for _, size, _ in found)
    if total <= most:
        return
    for _, size, path in sorted(found):
        if total <= _KEPT_SHARE * most:
            return
        path.unlink(missing_ok=True)
        total -= size
