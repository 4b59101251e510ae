"""Through which lines of the user's code a call came, and what stands around it that a swap must know of."""

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

from actlab.sites.site import Line, Lines
from actlab.sites.trace.source_location import owner_of

_FUNCTION = os.path.join(str(Path(torch.__file__).parent), "autograd", "function.py")
_CHECKPOINT = os.path.join(str(Path(torch.__file__).parent), "utils", "checkpoint.py")
_SITES = Path(__file__).parents[1]
_REROUTING = str(_SITES / "swap" / "rerouting.py")
_ENDS = (str(_SITES / "trace" / "run.py"), str(_SITES / "listening.py"))


@final
@dataclass(frozen=True)
class Stack:
    """The lines that lead to a call, the innermost first.

    Attributes:
        lines: of the user's functions, from the call to the model's `forward`: the function's name, and the line
            counted from its first, and the column. They do not change where a file is moved, or edited elsewhere.
        own_backward: whether the call is inside a `torch.autograd.Function` of the user's.
        recomputed: where `torch.utils.checkpoint` calls it again for backward, the path of the outermost module inside
            of that; empty where there is none. None where nothing is computed again.
        swaps: how many activations that were swapped in it is inside of.
    """

    lines: Lines
    own_backward: bool = False
    recomputed: str | None = None
    swaps: int = 0


def stack_here(paths: Mapping[int, str], *, depth: int = 2) -> Stack:
    """The lines that lead to the call that is being made: from the frame `depth` above this one."""
    frame: FrameType | None = sys._getframe(depth)
    lines: list[Line] = []
    inside: list[FrameType] = []
    own_backward, checkpoint, swaps = False, False, 0
    while frame is not None and frame.f_code.co_filename not in _ENDS:
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
    """The same lines, as far as the frame `outer`; None for a call that an activation that was swapped in makes."""
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
    """Whether the frame calls an activation that was swapped in."""
    return frame.f_code.co_name == "swapped_in" and frame.f_code.co_filename == _REROUTING


def line_of(frame: FrameType) -> Line:
    """Where in its function the frame is."""
    return _line_of(frame.f_code, frame.f_lasti)


@lru_cache(maxsize=65536)
def _line_of(code: CodeType, at: int) -> Line:
    line, _, column, _ = next(islice(code.co_positions(), at // 2, None), (None, None, None, None))
    return code.co_qualname, (line or code.co_firstlineno) - code.co_firstlineno, -1 if column is None else column


@lru_cache(maxsize=4096)
def _shared(lines: Lines) -> Lines:
    """One tuple for equal ones: a deep model makes many calls from few lines."""
    return lines


def _outermost(frames: list[FrameType], paths: Mapping[int, str]) -> str:
    """The path of the outermost module that one of the frames belongs to."""
    for frame in reversed(frames):
        if frame.f_code.co_argcount and frame.f_code.co_varnames[0] == "self":
            path = paths.get(id(frame.f_locals.get("self")))
            if path:
                return path
    return ""
