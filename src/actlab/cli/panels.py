"""The groups of commands in `actlab --help`, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Panel(Enum):
    """A group of commands, with its heading."""

    MODELS = "Inspect a model"
    CHOICE = "Choose an activation"
    ACTIVATIONS = "Look up an activation"
    MEASUREMENTS = "Measure activations"


@dataclass(frozen=True)
class Place:
    """Where `actlab --help` lists a command.

    Attributes:
        panel: its group.
        order: its position within the group, counted from 1.
    """

    panel: Panel
    order: int

    @property
    def key(self) -> tuple[int, int]:
        """Sort key: by panel, then by order."""
        return list(Panel).index(self.panel), self.order
