"""Keep what measuring raises out of the loop that is measured."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from types import TracebackType
from typing import final

import torch

from actlab.errors import shortened
from actlab.sites.site import Unseen


@final
class Guard:
    """Names each part that cannot be measured once, and lets the loop go on.

    Attributes:
        spares: whether the loop goes on; else errors are raised.
        unseen: the parts, with the reason, by key.
    """

    def __init__(self, *, spares: bool = True) -> None:
        self.spares = spares
        self.unseen: dict[Hashable, Unseen] = {}

    def around(self, key: Hashable, path: str, what: str) -> Around:
        """Return a block in which errors are caught; it must not call the user's code."""
        return Around(self, key, path, what)

    def failed(self, key: Hashable, path: str, what: str, error: Exception) -> None:
        """Name a part that is not measured any more because measuring it raised."""
        text = shortened(str(error), limit=120) or "no message"
        self.name(key, Unseen(path, what, f"measuring it raised {type(error).__name__}: {text}"))

    def name(self, key: Hashable, unseen: Unseen) -> None:
        """Name a part that is not measured, the first time with a warning."""
        if key in self.unseen:
            return
        self.unseen[key] = unseen
        place = f" in {unseen.path}" if unseen.path else ""
        warnings.warn(
            f"actlab.watch does not measure {unseen.what}{place}: {unseen.why}. Training goes on unchanged.",
            UserWarning,
            stacklevel=2,
        )


@final
class Around:
    """A block of measuring, which neither a function mode nor the class of a tensor notices."""

    __slots__ = ("_guard", "_key", "_path", "_plain", "_what")

    def __init__(self, guard: Guard, key: Hashable, path: str, what: str) -> None:
        self._guard, self._key, self._path, self._what = guard, key, path, what
        self._plain = torch._C.DisableTorchFunction()

    def __enter__(self) -> None:
        self._plain.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._plain.__exit__(kind, error, trace)
        if not isinstance(error, Exception) or not self._guard.spares:
            return False
        self._guard.failed(self._key, self._path, self._what, error)
        return True
