"""Note in which line of the user's code a module is constructed, while the user's file is loaded."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from threading import Lock
from types import FrameType
from typing import Any

import torch
from torch import nn

_TORCH = str(Path(torch.__file__).parent) + os.sep
_KERAS = f"{os.sep}keras{os.sep}src{os.sep}"
_OURS = str(Path(__file__).parents[1]) + os.sep
_PYTHON = sysconfig.get_paths()["stdlib"] + os.sep
_BUILT_IN = (str(Path(__file__).parents[1] / "train" / "mlp.py"),)
"""Networks that actlab brings along: their lines count like the user's."""

_NOTED = "_actlab_constructed_at"

_lock = Lock()
_open = 0
_original = nn.Module.__init__


@lru_cache(maxsize=4096)
def owner_of(file: str) -> str:
    """Return whose code the file is: `ours` (with Python's own library), `torch` (with Keras) or `user`."""
    if file.startswith((_OURS, "<frozen")) or (file.startswith(_PYTHON) and "site-packages" not in file):
        return "ours"
    return "torch" if file.startswith(_TORCH) or _KERAS in file else "user"


def noted_line(module: nn.Module) -> tuple[str, int] | None:
    """Return the file and the line that construct the module; None if nobody noted them."""
    found: tuple[str, int] | None = module.__dict__.get(_NOTED)
    return found


@contextmanager
def noting_lines() -> Iterator[None]:
    """Note the line of every module that is constructed within the block.

    Example:
        >>> with noting_lines():
        ...     made = nn.ReLU()
        >>> noted_line(made) is None, noted_line(nn.ReLU()) is None
        (False, True)
    """
    _install(+1)
    try:
        yield
    finally:
        _install(-1)


def _install(change: int) -> None:
    global _open, _original
    with _lock:
        if _open == 0:
            _original = nn.Module.__init__
            nn.Module.__init__ = _noting(_original)  # type: ignore[method-assign]  # the only place all constructors pass
        _open += change
        if _open == 0:
            nn.Module.__init__ = _original  # type: ignore[method-assign]  # as it was


def _noting(original: Any) -> Any:
    @wraps(original)
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        line = _line_of(self, sys._getframe(1))
        if line is not None:
            self.__dict__.setdefault(_NOTED, line)  # a copy of the module has it too

    return __init__


def _line_of(module: nn.Module, frame: FrameType | None) -> tuple[str, int] | None:
    """Return the innermost line of the user's that is not in a constructor of the module itself."""
    while frame is not None:
        code = frame.f_code
        if owner_of(code.co_filename) == "user" or code.co_filename in _BUILT_IN:
            own = code.co_argcount > 0 and frame.f_locals.get(code.co_varnames[0]) is module
            if not own:
                return code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None
