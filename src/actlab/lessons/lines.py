"""The data of a figure of computed lines, with one choice that switches between settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Series:
    """One line: a value for each x of its setting."""

    label: str
    y: Sequence[float]


@final
@dataclass(frozen=True)
class Setting:
    """One position of the figure's choice, such as a depth or a learning rate."""

    label: str
    x: Sequence[float]
    series: Sequence[Series]


@final
@dataclass(frozen=True)
class Lines:
    """What a figure of lines shows.

    Attributes:
        x: the label of the horizontal axis, with its unit.
        y: the label of the vertical axis, with its unit.
        choice: what the settings differ in; empty if there is only one.
        settings: at least one, each with series of the same labels.
        log: whether the vertical axis is logarithmic.
        first: the setting that is shown first.
    """

    x: str
    y: str
    choice: str
    settings: Sequence[Setting]
    log: bool = False
    first: int = 0
