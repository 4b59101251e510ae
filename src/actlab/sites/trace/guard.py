"""Keep what measuring raises out of the loop that is measured."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
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

    @contextmanager
    def around(self, key: Hashable, path: str, what: str) -> Iterator[None]:
        """Catch what the block raises; it must not call the user's code."""
        try:
            with torch._C.DisableTorchFunction():
                yield
        except Exception as error:
            if not self.spares:
                raise
            self.failed(key, path, what, error)

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
