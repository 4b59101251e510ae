"""What could not be established, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unknown:
    """In the place of a property that was not established: a wrong one would be worse."""

    reason: str

    def __bool__(self) -> bool:
        return False
