"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from actlab.errors import BadInput


def check_place(path: Path) -> None:
    """Nothing, where a file could be written there; to be asked before a long run.

    Raises:
        BadInput: the folder is missing, or a folder lies there.
    """
    if path.is_dir():
        raise BadInput(f"cannot write '{path}': it is a folder; name a file.")
    if not path.parent.is_dir():
        raise BadInput(f"cannot write '{path}': there is no folder '{path.parent}'; make it, or name another place.")


def write_whole(path: Path, data: bytes) -> Path:
    """The path, once the file lies there with this content; a reader sees the old content or the new, never a part.

    Raises:
        BadInput: it cannot be written; what was there before is as it was.
    """
    check_place(path)
    # Beside it, because only within one file system is renaming one step.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise BadInput(f"cannot write '{path}': {error.strerror}; name another place.") from error
    finally:
        part.unlink(missing_ok=True)
    return path
