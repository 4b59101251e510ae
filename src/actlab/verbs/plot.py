"""Draw activations and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlab.display.picture import Picture
from actlab.display.picture import draw as draw_picture
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.jsonable import plain
from actlab.report.style import PAPER, axes, image, look
from actlab.report.written import write_whole
from actlab.theory.curve_picture import curve_picture
from actlab.verbs.activation_lookup import activation_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMS = (".svg", ".png", ".pdf")


def plot(
    *formulas: str | Activation | AxisActivation,
    low: float = -5.0,
    high: float = 5.0,
    derivatives: int = 1,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw activations and their derivatives, and return the Matplotlib axes, which can be styled further.

    Args:
        formulas: names, typed formulas, `file.py:name`, or activations; a color for each. A gated unit is drawn over
            its gate.
        low, high: the ends of the interval of inputs.
        derivatives: how many derivatives are drawn: 0, 1 or 2.
        ax: the axes to draw on; by default new ones, which a notebook shows.
        style: passed to Matplotlib for every line, such as `linewidth=3`.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: no activation, one along an axis, or unusable ends.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = plot("gelu", "x*sigmoid(1.702*x)", ax=Figure().add_subplot())
        >>> [line.get_label() for line in axes.lines][:2]
        ['gelu', 'derivative of gelu']
    """
    acts = [activation_named(each) if isinstance(each, str) else each for each in formulas]
    return draw_picture(curve_picture(acts, low=low, high=high, derivatives=derivatives), ax, **style)


@dataclass(frozen=True)
class Drawn:
    """A picture of activations in a file.

    Attributes:
        path: the file.
        picture: what it shows.
    """

    path: Path
    picture: Picture

    def to_json(self) -> dict[str, Any]:
        """Return the file and the points of every curve."""
        curves = [{"label": each.label, "x": each.x, "y": each.y} for each in self.picture.series]
        plainly: dict[str, Any] = plain({"file": str(self.path), "curves": curves})
        return plainly

    def lines(self) -> list[str]:
        """Return where the picture is."""
        return [f"Plot written to {self.path}."]


def plotted(formulas: Sequence[str], path: Path, *, low: float, high: float, derivatives: int = 1) -> Drawn:
    """Draw activations to a file; nothing is written unless all of them can be drawn.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: the file name has another suffix than .svg, .png or .pdf, or as `plot`.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise BadInput(f"the picture's file name must end in {', '.join(FORMS)}; got '{path.name}'.")
    acts = [activation_named(each) for each in formulas]
    picture = curve_picture(acts, low=low, high=high, derivatives=derivatives)
    with look(points=10, text_as="path"):
        figure, ax = axes(460, 290, margin=9)
        figure.set_facecolor(PAPER)
        draw_picture(picture, ax)
        ax.legend(frameon=False)
        return Drawn(write_whole(path, image(figure, form[1:])), picture)
