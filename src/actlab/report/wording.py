"""Numbers of a comparison as short text, the same wherever they are shown."""

from __future__ import annotations

import math
import re

from actlab.study.comparison import Cost, Difference
from actlab.train.kinds import Metric

MARKS = {"control": "○", "better": "▲", "worse": "▼", "minor": "⬟", "equivalent": "■", "undecided": "◆"}
"""Verdicts differ in shape as well as in color."""

NOTHING = "–"

ON_FRONT = "†"
"""Marks the arms that no other arm beats in both result and cost."""

STEP_TIMES = (
    "Step times are relative to the control's, with a 95 % interval; * marks one that is wider than ±10 %, as other"
    f" programs kept the machine busy; {ON_FRONT} marks arms that no other one beats in both test metric and step time."
)

_HYPHEN = re.compile(r"(?<!\S)-(?=\d)")


def metric_label(metric: Metric, *, limit: int) -> str:
    """Return name and unit of the metric, on two lines if they are long."""
    between = " " if len(metric.name) + len(metric.unit) < limit else "\n"
    return f"{metric.name}{between}({metric.unit})"


def places_of(metric: Metric, *, region: float) -> int:
    """Return the number of decimal places for values of the metric."""
    return metric.places(region)


def number_text(value: float, places: int) -> str:
    """Return a number to so many decimal places; a very large one to three digits.

    Example:
        >>> number_text(-0.126, 2), number_text(2e9, 2), number_text(-0.001, 2), number_text(float("inf"), 2)
        ('−0.13', '2e+09', '0.00', '∞')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    rounded = round(value, places) + 0.0  # turns −0 into 0
    return (f"{rounded:.{places}f}" if abs(value) < 1e7 else f"{value:.3g}").replace("-", "−")


def change_text(value: float, places: int) -> str:
    """Return a difference with its sign, unless it is rounded to 0.

    Example:
        >>> change_text(0.5, 2), change_text(-0.5, 2), change_text(0.001, 2), change_text(float("inf"), 2)
        ('+0.50', '−0.50', '0.00', '+∞')
    """
    text = number_text(value, places)
    return f"+{text}" if value > 0 and text != number_text(0.0, places) else text


def interval_text(difference: Difference, places: int) -> str:
    """Return the interval of a difference."""
    return f"{change_text(difference.low, places)} to {change_text(difference.high, places)}"


def with_minus_signs(text: str) -> str:
    """Return a sentence with minus signs in its numbers, as in the tables.

    Example:
        >>> with_minus_signs("x-1 is worse: -0.40 (from -0.70 to -0.14)")
        'x-1 is worse: −0.40 (from −0.70 to −0.14)'
    """
    return _HYPHEN.sub("−", text)


def p_text(p: float) -> str:
    """Return a p-value to two digits; a tiny one as a bound.

    Example:
        >>> p_text(0.00390625), p_text(1e-7), p_text(1.0)
        ('0.0039', '< 0.0001', '1')
    """
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def level_text(level: float) -> str:
    """Return a confidence level in percent.

    Example:
        >>> level_text(0.95), level_text(1 - 0.05 / 8)
        ('95 %', '99.4 %')
    """
    return f"{100 * level:.3g} %"


def rate_text(rate: float) -> str:
    """Return a learning rate to three digits."""
    return f"{rate:.3g}"


def ratio_text(ratio: float | None) -> str:
    """Return a cost relative to the control's, no more exact than it is; a dash if it was not measured.

    Example:
        >>> ratio_text(1.234), ratio_text(1.0), ratio_text(None)
        ('≈1.2×', '1×', '–')
    """
    if ratio is None:
        return NOTHING
    return "1×" if ratio == 1 else f"≈{ratio:.1f}×"


def step_time_text(cost: Cost, arm: str) -> str:
    """Return the time of a training step relative to the control's, with its interval; a star if that is wide.

    Example:
        >>> cost = Cost(60.0, {"silu": 0.001}, {"silu": 1.2}, {"silu": 1.15}, {"silu": 1.4})
        >>> step_time_text(cost, "silu"), step_time_text(cost, "gelu")
        ('1.20× (1.15–1.40)*', '–')
    """
    ratio = cost.relative_step.get(arm)
    low, high = cost.relative_low.get(arm), cost.relative_high.get(arm)
    if ratio is None or low is None or high is None or low == high == 1:
        return ratio_text(ratio)
    return f"{ratio:.2f}× ({low:.2f}–{high:.2f}){'' if cost.is_steady(arm) else '*'}"


def steps_text(steps: float | None) -> str:
    """Return a number of training steps, or a dash if the target was not reached."""
    return NOTHING if steps is None else f"{steps:,.0f}"


def seconds_text(seconds: float) -> str:
    """Return a duration for reading.

    Example:
        >>> seconds_text(0.0042), seconds_text(0.503), seconds_text(7.34), seconds_text(123.0), seconds_text(7384)
        ('4.2 ms', '500 ms', '7.3 s', '2 min 3 s', '2 h 3 min')
    """
    if seconds < 0.9995:
        return f"{float(f'{1000 * seconds:.2g}'):g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
