"""Plot one activation."""

from __future__ import annotations

from pathlib import Path

from actlab.errors import BadInput
from actlab.formula.along_axis import AxisActivation
from actlab.report.curve import draw_curve
from actlab.verbs.activation_lookup import activation_named


def draw(formula: str, path: Path, **params: float) -> Path:
    """Plot an activation and its derivative to an SVG or PNG file and return its path.

    Raises:
        BadInput: the file name ends in neither .svg nor .png, or the activation has several inputs.
    """
    act = activation_named(formula, **params)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{act.name} acts along an axis and cannot be plotted; choose an element-wise activation.")
    if len(act.inputs) > 1:
        raise BadInput(f"{act.name} has {len(act.inputs)} inputs and cannot be plotted; choose one of one input.")
    return draw_curve(act, path)
