"""The lines of the user's code that lead to a call, and what encloses it that a swap must know."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import final

import torch

from actlab.nn.user_lines import owner_of
from actlab.sites.site import Line, Lines
from actlab.sites.trace.source_location import is_outside

_FUNCTION = os.path.join(str(Path(torch.__file__).parent), "autograd", "function.py")
_CHECKPOINT = os.path.join(str(Path(torch.__file__).parent), "utils", "checkpoint.py")
_SITES = Path(__file__).parents[1]
_REROUTING = str(_SITES / "swap" / "rerouting.py")


@final
@dataclass(frozen=True)
class Stack:
    """The lines that lead to a call, innermost first.

    Attributes:
        lines: of the user's functions, from the call to the model's `forward`: the function's name, the line relative
            to its first, and the column. They stay the same if the file is moved or edited elsewhere.
        own_backward: whether the call is in a `torch.autograd.Function` of the user.
        recomputed: if `torch.utils.checkpoint` calls it again for backward, the path of the outermost module inside the
            checkpoint, empty if there is none; else None.
        swaps: the number of swapped-in activations that enclose the call.
    """

    lines: Lines
    own_backward: bool = False
    recomputed: str | None = None
    swaps: int = 0


def stack_of(paths: Mapping[int, str], frame: FrameType | None) -> Stack:
    """Return the lines that lead to the call that the frame makes."""
    lines: list[Line] = []
    inside: list[FrameType] = []
    own_backward, checkpoint, swaps = False, False, 0
    while frame is not None and not is_outside(frame):
        name = frame.f_code.co_filename
        own_backward = own_backward or (name == _FUNCTION and not checkpoint)
        checkpoint = checkpoint or name == _CHECKPOINT
        swaps += is_swapped_in(frame)
        if not checkpoint:
            inside.append(frame)
        if owner_of(name) == "user":
            lines.append(line_of(frame))
        frame = frame.f_back
    return Stack(_shared(tuple(lines)), own_backward, _outermost(inside, paths) if checkpoint else None, swaps)


def lines_within(outer: FrameType, *, depth: int = 2) -> Lines | None:
    """Return the lines up to the frame `outer`; None if a swapped-in activation makes the call."""
    frame: FrameType | None = sys._getframe(depth)
    lines: list[Line] = []
    while frame is not None and frame is not outer:
        if is_swapped_in(frame):
            return None
        if owner_of(frame.f_code.co_filename) == "user":
            lines.append(line_of(frame))
        frame = frame.f_back
    return tuple(lines)


def is_swapped_in(frame: FrameType) -> bool:
    """Return whether the frame calls a swapped-in activation."""
    return frame.f_code.co_name == "swapped_in" and frame.f_code.co_filename == _REROUTING


def line_of(frame: FrameType) -> Line:
    """Return the place of the frame in its function."""
    return _line_of(frame.f_code, frame.f_lasti)


@lru_cache(maxsize=65536)
def _line_of(code: CodeType, at: int) -> Line:
    line, _, column, _ = next(islice(code.co_positions(), at // 2, None), (None, None, None, None))
    return code.co_qualname, (line or code.co_firstlineno) - code.co_firstlineno, -1 if column is None else column


@lru_cache(maxsize=4096)
def _shared(lines: Lines) -> Lines:
    """Return one tuple for all equal ones, since a deep model makes many calls from few lines."""
    return lines


def _outermost(frames: list[FrameType], paths: Mapping[int, str]) -> str:
    """Return the path of the outermost module to which a frame belongs."""
    for frame in reversed(frames):
        if frame.f_code.co_argcount and frame.f_code.co_varnames[0] == "self":
            path = paths.get(id(frame.f_locals.get("self")))
            if path:
                return path
    return ""
