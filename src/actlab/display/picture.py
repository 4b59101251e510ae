"""A picture as plain data, and the one place that draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["line", "dashed", "dotted", "bar", "dots", "interval"]
_STYLES = {"line": "-", "dashed": "--", "dotted": ":"}


@final
@dataclass(frozen=True)
class Series:
    """Numbers that are drawn together.

    Attributes:
        label: their name in the legend; none if empty.
        y: the numbers; NaN is left out.
        x: where they stand; by default 0, 1, 2 …
        kind: a line, bars, or points with intervals.
        low, high: the ends of the intervals.
        color: the number of the color in the reader's color cycle; by default the position of the series.
    """

    label: str
    y: Sequence[float]
    x: Sequence[float] = ()
    kind: Kind = "line"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    color: int | None = None


@final
@dataclass(frozen=True)
class Picture:
    """What an answer draws.

    Attributes:
        title, x_label, y_label: its texts.
        series: what is drawn.
        names: the names of the positions 0, 1, 2 … on the axis of positions.
        is_log: whether the axis of values is logarithmic.
        limits: the part of the axis of values that is shown.
    """

    title: str
    series: tuple[Series, ...]
    x_label: str = ""
    y_label: str = ""
    names: tuple[str, ...] = ()
    is_log: bool = False
    limits: tuple[float, float] | None = None


def draw(picture: Picture, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw a picture in the reader's own Matplotlib style, and return the axes.

    Args:
        picture: what to draw. Positions with names run downwards, so that long names stay readable.
        ax: the axes to draw on; by default new ones.
        style: passed to Matplotlib for every line, bar or point, such as `linewidth=3` or `alpha=0.5`.
    """
    ax = _new_axes() if ax is None else ax
    for number, series in enumerate(picture.series):
        color = f"C{number if series.color is None else series.color}"
        _draw_series(ax, series, {"color": color, "label": series.label or None, **style}, sideways=bool(picture.names))
    value_label, place_label = picture.y_label, picture.x_label
    if picture.names:
        ax.set_yticks(range(len(picture.names)), [*picture.names], parse_math=False)
        ax.set_ylim(len(picture.names) - 0.5, -0.5)
        value_label, place_label = place_label, value_label
        if picture.is_log:
            ax.set_xscale("log")
    elif picture.is_log:
        ax.set_yscale("log")
    ax.set_title(picture.title, parse_math=False)
    ax.set_xlabel(place_label, parse_math=False)
    ax.set_ylabel(value_label, parse_math=False)
    if picture.limits is not None:
        (ax.set_xlim if picture.names else ax.set_ylim)(*picture.limits)
    if any(series.label for series in picture.series):
        for text in ax.legend().get_texts():
            text.set_parse_math(False)
    return ax


def _draw_series(ax: Axes, series: Series, style: dict[str, Any], *, sideways: bool) -> None:
    places = list(series.x) or list(range(len(series.y)))
    if series.kind == "bar":
        (ax.barh if sideways else ax.bar)(places, series.y, **style)
    elif series.kind == "interval":
        below = [at - low for at, low in zip(series.y, series.low, strict=True)]
        above = [high - at for at, high in zip(series.y, series.high, strict=True)]
        if sideways:
            ax.axvline(0, color="0.6", linewidth=0.8)
            ax.errorbar(series.y, places, xerr=[below, above], fmt="o", capsize=3, **style)
        else:
            ax.errorbar(places, series.y, yerr=[below, above], fmt="o", capsize=3, **style)
    elif series.kind == "dots":
        ax.plot(
            *(series.y, places) if sideways else (places, series.y), **{"linestyle": "none", "marker": "o", **style}
        )
    else:
        ax.plot(places, series.y, **{"linestyle": _STYLES[series.kind], **style})


def _new_axes() -> Axes:
    """Return new axes that a notebook shows; without a display they can still be saved to a file."""
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    try:
        return plt.subplots(layout="constrained")[1]
    except ImportError:  # the chosen backend needs a display, and there is none
        return Figure(layout="constrained").add_subplot()
