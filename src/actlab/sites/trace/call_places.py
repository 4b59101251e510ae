"""The place of each call of a pass, found once for the calls that a loop repeats."""

from __future__ import annotations

import dis
import inspect
from types import CodeType, FrameType
from typing import Any, NamedTuple, final

from torch import nn

from actlab.nn.user_lines import owner_of
from actlab.sites.trace.call_stack import Stack, stack_of
from actlab.sites.trace.source_location import Place, Places, is_outside, spot


class CallPlace(NamedTuple):
    """Where calls are made.

    Attributes:
        place, stack: the place of the calls and the lines that lead to it.
        repeated: what a recorder knows of calls that are made here, by what they have in common.
    """

    place: Place
    stack: Stack
    repeated: dict[tuple[Any, ...], Any]


class _Code(NamedTuple):
    """What must be known of a function.

    Attributes:
        code: the function, whose identity must not be reused.
        first: a number for its instructions.
        is_method: whether it may be a module's method.
        is_end: whether it calls the model or the loss.
        is_steady: whether a frame of it keeps its caller and its `self`: not so a generator's.
    """

    code: CodeType
    first: int
    is_method: bool
    is_end: bool
    is_steady: bool


@final
class CallPlaces:
    """Find the place of a call and the lines that lead to it.

    Both follow from the instructions at which the frames stand and from the innermost module of the model: a loop over
    time has few of them.
    """

    def __init__(self, paths: Places) -> None:
        self._paths = paths
        self._known: dict[tuple[int, ...], CallPlace] = {}
        self._codes: dict[int, _Code] = {}
        # a frame that makes many calls, and by whether a module that it calls is owned, what its callers add to a key
        self._frame: FrameType | None = None
        self._callers: dict[bool, tuple[int, ...] | None] = {}
        self._numbers: dict[tuple[int, ...], int] = {}

    def of(self, frame: FrameType) -> CallPlace:
        """Return the place of the call that the frame makes."""
        key = self._key(frame, is_owned=False)
        found = None if key is None else self._known.get(key)
        if found is None:
            found = CallPlace(spot(self._paths, frame), stack_of(self._paths, frame), {})
            if key is not None and found.stack.recomputed is None:
                self._known[key] = found
        return found

    def forget(self) -> None:
        """Let go of the frame whose calls were recorded last, and with it of its variables."""
        self._frame = None
        self._callers.clear()

    def _key(self, frame: FrameType, *, is_owned: bool) -> tuple[int, ...] | None:
        """Return what place and stack follow from; None if a module that the model does not own makes the call."""
        key: list[int] = []
        codes, paths, steady = self._codes, self._paths, None
        at: FrameType | None = frame
        while at is not None:
            code = at.f_code
            about = codes.get(id(code)) or self._about(code, at)
            if about.is_end:
                break
            key.append(about.first + at.f_lasti)
            if at is self._frame:
                callers = self._callers.get(is_owned, _UNKNOWN)
                callers = self._callers_of(at, is_owned=is_owned) if callers is _UNKNOWN else callers
                return None if callers is None else (*key, *callers)
            if steady is None and about.is_steady:
                steady = at
            if about.is_method and not is_owned:
                owner = at.f_locals.get("self")
                if id(owner) in paths:
                    is_owned = True
                    key.append(-id(owner))
                elif isinstance(owner, nn.Module):
                    return None
            at = at.f_back
        if steady is not None:
            self._frame = steady
            self._callers.clear()
        return tuple(key)

    def _callers_of(self, frame: FrameType, *, is_owned: bool) -> tuple[int, ...] | None:
        """Find what the module and the callers of the steady frame add to a key."""
        self._frame = None
        whole = self._key(frame, is_owned=is_owned)
        self._frame = frame
        if whole is not None:  # as one number, since frames lie deep
            whole = (-1, self._numbers.setdefault((is_owned, *whole[1:]), len(self._numbers)))
        self._callers[is_owned] = whole
        return whole

    def _about(self, code: CodeType, frame: FrameType) -> _Code:
        owner = owner_of(code.co_filename)
        is_method = code.co_argcount > 0 and code.co_varnames[0] == "self" and owner != "ours"
        is_steady = owner == "user" and not code.co_flags & _RESUMED and not _rebinds_self(code)
        found = self._codes[id(code)] = _Code(code, len(self._codes) << 32, is_method, is_outside(frame), is_steady)
        return found


_UNKNOWN = (-2,)
_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _rebinds_self(code: CodeType) -> bool:
    return any(each.argval == "self" for each in dis.get_instructions(code) if each.opname in _BINDS)


_BINDS = frozenset({"STORE_FAST", "STORE_DEREF", "DELETE_FAST", "DELETE_DEREF"})
