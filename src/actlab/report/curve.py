"""A picture file of an activation and its derivative."""

from __future__ import annotations

from pathlib import Path

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.report.charts.functions import draw_shape
from actlab.report.shape import shape
from actlab.report.style import COLORS, DERIVATIVE, PAPER, axes, image, look
from actlab.report.written import write_whole
from actlab.sites.site_text import name_text

FORMS = (".svg", ".png")


def draw_curve(act: Activation, path: Path) -> Path:
    """Draw an activation and its derivative to a file, and return its path.

    Args:
        act: an activation of one input.
        path: ends in .svg (text as outlines, so that it looks the same anywhere) or in .png.

    Raises:
        BadInput: another suffix, another number of inputs, or a file that cannot be written.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise BadInput(f"the picture's file name must end in .svg or .png; got '{path.name}'.")
    return write_whole(path, curve_image(act, form.removeprefix(".")))


def curve_image(act: Activation, form: str) -> bytes:
    """Return the picture as "svg" or "png", on white so that it is readable on any page.

    Raises:
        BadInput: the activation has two inputs.
    """
    if len(act.inputs) != 1:
        raise BadInput(f"{act.name} has two inputs and cannot be plotted: choose an activation of one input.")
    with look(points=10, text_as="path"):
        figure, ax = axes(460, 290, margin=9)
        figure.set_facecolor(PAPER)
        found = shape(act)
        draw_shape(ax, found)
        ax.set_title(f"{name_text(found.label, limit=44)} and its derivative")
        ax.plot([], [], color=COLORS["better"], label="value")
        ax.plot([], [], color=DERIVATIVE, linestyle=(0, (4, 1.6)), label="derivative")
        ax.legend(frameon=False, loc="upper left")
        return image(figure, form)
