"""The place of each call of a pass, found once for the calls that a loop repeats."""

from __future__ import annotations

from types import CodeType, FrameType
from typing import final

from torch import nn

from actlab.nn.user_lines import owner_of
from actlab.sites.trace.call_stack import Stack, stack_of
from actlab.sites.trace.source_location import Place, Places, is_outside, spot


@final
class CallPlaces:
    """Find the place of a call and the lines that lead to it.

    Both follow from the instructions at which the frames stand and from the innermost module of the model: a loop over
    time has few of them.
    """

    def __init__(self, paths: Places) -> None:
        self._paths = paths
        self._known: dict[tuple[int, ...], tuple[Place, Stack]] = {}
        # by identity, which must not be reused: a number for each instruction, and what must be known of the function
        self._codes: dict[int, tuple[CodeType, int, bool, bool]] = {}

    def of(self, frame: FrameType) -> tuple[Place, Stack]:
        """Return the place of the call that the frame makes, and its stack."""
        key = self._key(frame)
        found = None if key is None else self._known.get(key)
        if found is None:
            found = spot(self._paths, frame), stack_of(self._paths, frame)
            if key is not None and found[1].recomputed is None:
                self._known[key] = found
        return found

    def _key(self, frame: FrameType) -> tuple[int, ...] | None:
        """Return what place and stack follow from; None if a module that the model does not own makes the call."""
        key: list[int] = []
        codes, paths, is_owned = self._codes, self._paths, False
        at: FrameType | None = frame
        while at is not None:
            code = at.f_code
            about = codes.get(id(code)) or self._about(code, at)
            _, first, is_method, is_end = about
            if is_end:
                break
            key.append(first + at.f_lasti)
            if is_method and not is_owned:
                owner = at.f_locals.get("self")
                if id(owner) in paths:
                    is_owned = True
                    key.append(-id(owner))
                elif isinstance(owner, nn.Module):
                    return None
            at = at.f_back
        return tuple(key)

    def _about(self, code: CodeType, frame: FrameType) -> tuple[CodeType, int, bool, bool]:
        is_method = code.co_argcount > 0 and code.co_varnames[0] == "self" and owner_of(code.co_filename) != "ours"
        about = self._codes[id(code)] = code, len(self._codes) << 32, is_method, is_outside(frame)
        return about
