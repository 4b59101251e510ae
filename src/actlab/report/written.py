"""Atomic writing of files."""

from __future__ import annotations

import os
from pathlib import Path

from actlab.errors import BadInput


def check_place(path: Path) -> None:
    """Raise `BadInput` if a file cannot be written there; call it before a long run.

    Raises:
        BadInput: the folder does not exist, or the path is a folder.
    """
    if path.is_dir():
        raise BadInput(f"cannot write '{path}': it is a folder; choose a file name.")
    if not path.parent.is_dir():
        raise BadInput(f"cannot write '{path}': there is no folder '{path.parent}'; create it, or choose another path.")


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file atomically and return its path: readers get the old content or the new, never a part.

    Raises:
        BadInput: the file cannot be written; an old file is unchanged.
    """
    check_place(path)
    # In the same folder, because renaming is atomic only within one file system.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise BadInput(f"cannot write '{path}': {error.strerror}; choose another path.") from error
    finally:
        part.unlink(missing_ok=True)
    return path
