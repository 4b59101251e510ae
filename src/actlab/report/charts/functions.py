"""The compared activations themselves: value and derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlab.catalog.index import get
from actlab.display.broken_lines import Line
from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.report.chart import Chart, Compared, Key, Picture
from actlab.report.shape import ENDS, Shape, shape
from actlab.report.style import COLORS, DERIVATIVE, PANEL, PANEL_TEXT, QUIET, axes, image, look
from actlab.report.table import ranked
from actlab.sites.site_text import name_text
from actlab.study.again import is_again
from actlab.study.arm_text import activation_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Shapes:
    """The shapes of several activations; `missing` names those without a curve, each with the reason."""

    arms: tuple[Shape, ...]
    missing: tuple[tuple[str, str], ...]


def facts(data: Compared) -> Shapes:
    """Return the shapes of all arms that are the user's own, that the catalog knows, or that are formulas."""
    found: list[Shape] = []
    missing: list[tuple[str, str]] = []
    for name in (arm.activation for arm in ranked(data.comparison) if not is_again(arm.activation)):
        try:
            base = activation_of(name)
            act = data.own.get(base) or get(base)
        except ActlabError:
            missing.append((name, "not in the catalog"))
            continue
        if isinstance(act, Activation) and len(act.inputs) == 1:
            found.append(shape(act, arm=name))
        else:
            missing.append((name, "not a function of one number"))
    return Shapes(tuple(found), tuple(missing))


def svg(shown: Shape) -> bytes:
    """Draw an activation and its derivative."""
    with look(points=PANEL_TEXT, text_as="none"):
        figure, ax = axes(*PANEL)
        draw_shape(ax, shown)
        return image(figure, "svg")


def draw_shape(ax: Axes, shown: Shape) -> None:
    """Draw an activation and its derivative on these axes."""
    ax.axhline(0, color=QUIET, linewidth=0.8)
    ax.axvline(0, color=QUIET, linewidth=0.8)
    _lines(ax, shown.derivative, color=DERIVATIVE, dashes=(0, (4, 1.6)))
    _lines(ax, shown.value, color=COLORS["better"], dashes="solid")
    ax.set_xlim(*ENDS)
    ax.set_ylim(*shown.limits)
    ax.set_xlabel("input")
    ax.set_ylabel("value, derivative")


def alt_text(shown: Shape) -> str:
    """Describe an activation's curve in words."""
    (_, left), (_, right) = shown.value[0][0], shown.value[-1][-1]
    return (
        f"{shown.label} and its derivative for inputs from {ENDS[0]:g} to {ENDS[1]:g};"
        f" its value goes from {left:.3g} to {right:.3g}."
    )


def _lines(ax: Axes, lines: tuple[Line, ...], *, color: str, dashes: str | tuple[float, tuple[float, float]]) -> None:
    for line in lines:
        xs, ys = zip(*line, strict=True)
        ax.plot(xs, ys, color=color, linestyle=dashes)


CHART = Chart(
    name="shapes",
    title="The functions: value and derivative",
    caption="As in the catalog, trainable parameters at their initial values.",
    order=40,
    page="comparison",
    facts=facts,
    draw=lambda shapes: tuple(Picture(svg(one), alt_text(one), name=one.arm) for one in shapes.arms),
    legend=lambda shapes: (Key("value", "value"), Key("derivative", "derivative")) if shapes.arms else (),
    notes=lambda shapes: tuple(f"{name_text(name)} is not drawn: {reason}." for name, reason in shapes.missing),
)
