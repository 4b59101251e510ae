"""Drawing of a quantity over depth: a line for every step, later ones darker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actlab.report.chart import Key
from actlab.report.moments import Moment
from actlab.report.style import COLORS, INK, axes, image, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL = (252.0, 184.0)  # points; one of several side by side
PANEL_TEXT = 9.0
PALEST = 0.25
DECADE = 10.0

LEGEND = (Key("pale", "step {first}"), Key("value", "later"), Key("latest", "step {last}, the last"))


def share_svg(moments: Sequence[Moment]) -> bytes:
    """Draw a share of the units over depth, from none to all."""
    with look(points=PANEL_TEXT, text_as="none"):
        figure, ax = axes(*PANEL)
        _lines(ax, moments)
        ax.set_ylim(-0.03, 1.03)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        ax.set_ylabel("share of units")
        return image(figure, "svg")


def logarithmic_svg(moments: Sequence[Moment], *, label: str) -> bytes:
    """Draw a positive quantity over depth, on a logarithmic axis."""
    with look(points=PANEL_TEXT, text_as="none"):
        figure, ax = axes(*PANEL)
        # 0 has no place on a logarithmic axis: the line is broken there.
        _lines(ax, [Moment(one.step, tuple(value or None for value in one.values)) for one in moments])
        if any(value for one in moments for value in one.values):
            ax.set_yscale("log")
            powers(ax)
        ax.set_ylabel(label)
        return image(figure, "svg")


def moments_in_words(moments: Sequence[Moment], *, of: str) -> str:
    """Describe a quantity over depth at the first and the last step in words."""
    each = "; ".join(
        f"at step {moment.step}: {', '.join('none' if value is None else f'{value:.2g}' for value in moment.values)}"
        for moment in (moments[0], moments[-1])
    )
    return f"{of} at every site from input to output; {each}."


def _lines(ax: Axes, moments: Sequence[Moment]) -> None:
    last = len(moments) - 1
    for number, moment in enumerate(moments):
        depth = range(1, len(moment.values) + 1)
        values = [math.nan if value is None else value for value in moment.values]
        share = number / last if last else 1.0
        color = INK if number == last else COLORS["better"]
        ax.plot(depth, values, color=color, alpha=PALEST + (1 - PALEST) * share, marker="o", markersize=3)
    ax.set_xlabel("site, from input to output")
    whole_numbers(ax, sites=max((len(moment.values) for moment in moments), default=1))


def whole_numbers(ax: Axes, *, sites: int) -> None:
    """Mark whole numbers from 1 along the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(0.7, sites + 0.3)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def powers(ax: Axes) -> None:
    """Write powers of ten along a logarithmic vertical axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = ax.get_ylim()
    if high < DECADE * low:
        # Powers of ten alone would leave an axis with one tick or none.
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = min(low, middle / math.sqrt(DECADE)), max(high, middle * math.sqrt(DECADE))
        ax.set_ylim(low, high)
    few = high < DECADE**2 * low
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    # Matplotlib would write powers as mathematics, which the look of these pictures leaves as plain text.
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_text(value)))
    ax.yaxis.set_minor_formatter(NullFormatter())


def power_text(value: float) -> str:
    """Return a number to one digit with its power of ten.

    Example:
        >>> power_text(2e-5), power_text(1.0), power_text(3e12)
        ('2e−5', '1', '3e12')
    """
    digit, _, power = f"{value:.0e}".partition("e")
    return f"{digit}e{int(power)}".replace("-", "−") if int(power) else digit
