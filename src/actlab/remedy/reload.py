"""Load the user's program afresh from patched text that is written nowhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from types import ModuleType

from torch import nn

from actlab.errors import BadInput
from actlab.nn.user_lines import noting_lines
from actlab.remedy.training import Origin
from actlab.train.examples import article
from actlab.train.subject import Subject, subject
from actlab.train.task import Task
from actlab.user_code import their_code


def reloaded(origin: Origin, texts: Mapping[str, str]) -> Task | Subject:
    """Return the task or the subject of a program, with other text in place of some of its files.

    Nothing is written: the text is compiled under the name of its file.

    Raises:
        BadInput: the changed program raises, or no longer holds the name.
    """
    new = {str(Path(file).resolve()): text for file, text in texts.items()}
    main = Path(origin.file).resolve()
    with _fresh_modules(new), noting_lines():
        text = new.get(str(main))
        module = _executed(main, main.read_text(encoding="utf-8") if text is None else text)
        found = getattr(module, origin.name, None)
        if callable(found) and not isinstance(found, nn.Module):
            with their_code(f"'{main.name}:{origin.name}', when patched,", error=BadInput):
                found = found()
    if isinstance(found, Task):
        return replace(found, origin=("file", f"{main}:{origin.name}"))
    if found is None:
        raise BadInput(f"'{main.name}' must hold '{origin.name}' after the patch; got {article(found)}.")
    return subject(found, name=f"{main.name}:{origin.name}")


@contextmanager
def _fresh_modules(texts: Mapping[str, str]) -> Iterator[None]:
    """Import the user's files that are patched anew within the block; other modules stay."""
    stale = {
        name: module
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and str(Path(file).resolve()) in texts
    }
    folders = list(dict.fromkeys(str(Path(file).parent) for file in texts))
    sys.path[:0] = folders
    try:
        for name, module in stale.items():
            sys.modules[name] = _executed(
                Path(str(module.__file__)), texts[str(Path(str(module.__file__)).resolve())], name
            )
        yield
    finally:
        del sys.path[: len(folders)]
        sys.modules.update(stale)


def _executed(path: Path, text: str, name: str | None = None) -> ModuleType:
    module = ModuleType(name or f"actlab_own_{path.stem}")
    module.__file__ = str(path)
    with their_code(f"'{path.name}', when patched and imported,", error=BadInput):
        previous = sys.modules.get(module.__name__)
        sys.modules[module.__name__] = module
        try:
            exec(compile(text, str(path), "exec"), module.__dict__)  # the user's own program, as an import
        finally:
            if previous is not None:
                sys.modules[module.__name__] = previous
    return module


def line_map(old: str, new: str) -> dict[int, int]:
    """Return the lines of a new text that stand in the old one too, with their lines there.

    Example:
        >>> line_map("a\\nb\\n", "a\\nc\\nb\\n")
        {1: 1, 3: 2}
    """
    blocks = SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False).get_matching_blocks()
    return {block.b + at + 1: block.a + at + 1 for block in blocks for at in range(block.size)}
