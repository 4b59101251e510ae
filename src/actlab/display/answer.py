"""How every answer displays: in a notebook, as a data frame, as a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from actlab.display.picture import Picture, draw
from actlab.display.table import Table
from actlab.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


class Displayed(ABC):
    """An answer that a notebook shows as a table, and that gives itself as a data frame or a picture."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the answer as lines of text."""

    @abstractmethod
    def table(self) -> Table:
        """Return the answer as one table."""

    @abstractmethod
    def picture(self) -> Picture | None:
        """Return what is drawn of the answer; None if nothing can be."""

    def to_frame(self) -> DataFrame:
        """Return the table as a pandas data frame."""
        return self.table().to_frame()

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the answer with Matplotlib and return the axes, which can be styled further.

        Args:
            ax: the axes to draw on; by default new ones.
            style: passed to Matplotlib for every line, bar or point, such as `alpha=0.5`.

        Raises:
            BadInput: there is nothing to draw.
        """
        picture = self.picture()
        if picture is None:
            raise BadInput("plot: this answer has nothing to draw; use to_frame() or lines().")
        return draw(picture, ax, **style)

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return what a notebook shows: HTML without script or outside address, and text."""
        found = {"text/html": self.table().html(), "text/plain": "\n".join(self.lines())}
        return {
            kind: text
            for kind, text in found.items()
            if (include is None or kind in include) and (exclude is None or kind not in exclude)
        }
