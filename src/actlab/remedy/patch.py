"""From edits to a unified diff of the user's files, and the one way to write them."""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from actlab.errors import BadInput
from actlab.remedy.edit import Edit

_NO_NEWLINE = "\n\\ No newline at end of file\n"


@final
@dataclass(frozen=True)
class Patch:
    """What edits change in the user's files; nothing is written until `write`.

    Attributes:
        diff: a unified diff that `git apply` takes in the repository's root, or `patch -p1` in the file's folder if it
            is in no repository. Empty if nothing could be done.
        texts: the new text of each changed file, by its path.
        refused: the edits that could not be done, each with the reason.
        data: the new bytes of each changed file, by its path.
        digests: of each changed file as it was read, by its path.
        old_texts: the text of each changed file as it was read, by its path.
    """

    diff: str
    texts: Mapping[str, str]
    refused: tuple[tuple[Edit, str], ...]
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)
    old_texts: Mapping[str, str] = field(default_factory=dict, repr=False)


@final
@dataclass(frozen=True)
class Replacement:
    """Lines of a file that become others.

    Attributes:
        start: the first of them, counted from 1.
        end: the position behind the last: line and column, both counted from 1, the column in characters.
        text: what replaces them.
    """

    start: int
    end: tuple[int, int]
    text: str


def replacements(old: str, new: str) -> tuple[Replacement, ...]:
    """Return the lines that differ, as replacements in the old text.

    Example:
        >>> replacements("a\\nb\\nc\\n", "a\\nB\\nc\\n")
        (Replacement(start=2, end=(3, 1), text='B\\n'),)
    """
    before, after = _lines(old), _lines(new)
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return tuple(
        Replacement(first + 1, _behind(before, last), "".join(after[start:end]))
        for kind, first, last, start, end in steps
        if kind != "equal"
    )


def _behind(lines: Sequence[str], count: int) -> tuple[int, int]:
    """Return the position behind so many lines."""
    if count == len(lines) > 0 and not lines[-1].endswith("\n"):
        return count, len(lines[-1]) + 1
    return count + 1, 1


def patched(edits: Sequence[Edit]) -> Patch:
    """Return the patch that carries out the edits, as far as they can be done without a doubt.

    Comments, line ends, the encoding and the layout are kept. After the change the text is parsed again, and exactly
    the intended nodes must differ; otherwise the edit is refused.

    Raises:
        MissingExtra: LibCST is not installed.
    """
    from actlab.remedy.syntax.rewrite import rewritten

    by_file: dict[str, list[Edit]] = {}
    for edit in edits:
        by_file.setdefault(edit.file, []).append(edit)
    texts: dict[str, str] = {}
    data: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    old_texts: dict[str, str] = {}
    refused: list[tuple[Edit, str]] = []
    diffs: list[str] = []
    for file, own in by_file.items():
        why = _unreadable(file)
        if why:
            refused += [(edit, why) for edit in own]
            continue
        old = Path(file).read_bytes()
        result = rewritten(old, own)
        refused += result.refused
        if result.data != old:
            texts[file], data[file] = _text(result.data), result.data
            digests[file], old_texts[file] = _digest(old), _text(old)
            diffs.append(unified_diff(_name_in_diff(Path(file)), old_texts[file], texts[file]))
    return Patch("".join(diffs), texts, tuple(refused), data, digests, old_texts)


def unified_diff(name: str, old: str, new: str) -> str:
    """Return a unified diff of a file, in the form of git.

    Example:
        >>> print(unified_diff("net.py", "x = 1\\n", "x = 2\\n"), end="")
        diff --git a/net.py b/net.py
        --- a/net.py
        +++ b/net.py
        @@ -1 +1 @@
        -x = 1
        +x = 2
    """
    end = "\t" if " " in name else ""  # ends a name with spaces, as git writes it
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}{end}", f"b/{name}{end}", n=3)
    body = "".join(line if line.endswith("\n") else line + _NO_NEWLINE for line in lines)
    return f"diff --git a/{name} b/{name}\n{body}" if body else ""


def write(patch: Patch, *, task_file: str | Path) -> tuple[Path, ...]:
    """Write the patched files: all of them or none.

    Args:
        patch: what to write.
        task_file: the file that the user named. Only files in its repository are written; without a repository, files
            in its folder.

    Returns:
        The paths of the written files.

    Raises:
        BadInput: a file has changed since it was read, lies elsewhere or cannot be written. No file is changed then.
    """
    home = repository_of(Path(task_file)) or Path(task_file).resolve().parent
    places = {file: Path(file).resolve() for file in patch.data}  # a link is followed, and stays a link
    for file, place in places.items():
        if not place.is_relative_to(home):
            raise BadInput(f"{file}: a file to write must lie in {home}; it does not. Apply the diff by hand.")
        _refuse_changed(file, place, patch.digests[file])
        if not os.access(place, os.W_OK):
            raise BadInput(f"{file}: the file must be writable; it is read-only. Apply the diff by hand.")
    _replace_all({places[file]: data for file, data in patch.data.items()}, patch, places)
    return tuple(places.values())


def _refuse_changed(file: str, place: Path, digest: str) -> None:
    try:
        now = _digest(place.read_bytes())
    except OSError as error:
        raise BadInput(f"{file}: the file must be readable; {error.strerror}. Run the command again.") from error
    if now != digest:
        raise BadInput(f"{file}: the file must be as it was read; it has changed since. Run the command again.")


def _replace_all(new: Mapping[Path, bytes], patch: Patch, places: Mapping[str, Path]) -> None:
    """Write every new file beside its old one, and then exchange them one by one; undo that if one fails."""
    ready: dict[Path, Path] = {}
    done: dict[Path, bytes] = {}
    try:
        for place, data in new.items():
            ready[place] = _beside(place, data)
        for file, place in places.items():
            old = place.read_bytes()
            _refuse_changed(file, place, patch.digests[file])
            os.replace(ready[place], place)
            done[place] = old
    except BaseException as error:
        for place, data in done.items():
            os.replace(_beside(place, data), place)
        if isinstance(error, OSError):
            raise BadInput(f"the files could not be written: {error.strerror}. Apply the diff by hand.") from error
        raise
    finally:
        for temporary in ready.values():
            temporary.unlink(missing_ok=True)


def _beside(place: Path, data: bytes) -> Path:
    """Write a temporary file in the same folder, with the same permissions."""
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(place.stat().st_mode)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def repository_of(path: Path) -> Path | None:
    """Return the root of the git repository that holds a file; None if there is none."""
    for folder in path.resolve().parents:
        if (folder / ".git").exists():
            return folder
    return None


def _name_in_diff(path: Path) -> str:
    """Return the path in the diff: from the repository's root, or the name alone."""
    whole = path.resolve()
    root = repository_of(whole)
    return whole.name if root is None else whole.relative_to(root).as_posix()


def _unreadable(file: str) -> str:
    """Return why a file cannot be changed; empty if it can."""
    path = Path(file)
    if not file or file.startswith("<"):
        return "the place in the code is unknown"
    if "site-packages" in path.parts or "dist-packages" in path.parts:
        return "the file belongs to an installed package"
    if path.suffix not in {".py", ".pyw"}:
        return "the file is not a Python file"
    try:
        path.read_bytes()
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(data: bytes) -> str:
    """Return a Python file's text with its line ends, by the encoding that it declares."""
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    # a mark of the byte order stays in the text, so that a diff keeps it
    return data.decode("utf-8" if encoding == "utf-8-sig" else encoding)


def _lines(text: str) -> list[str]:
    """Return the lines with their ends, separated at line feeds alone, as git does."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
