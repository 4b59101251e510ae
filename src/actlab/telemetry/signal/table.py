"""The signal at each site as a table for a terminal."""

from __future__ import annotations

import math

from actlab.telemetry.signal.answer import Compared, Signal, SiteSignal


def signal_lines(signal: Signal) -> list[str]:
    """Return the table of a signal, and why measurement and theory part."""
    if not signal.sites:
        return ["No element-wise activation was found."]
    heading = ("site", "activation", "q", "predicted", "E f²", "predicted", "SE apart", "χ₁", "predicted", "c",
               "predicted", "note")  # fmt: skip
    notes: dict[str, int] = {}
    rows = [heading]
    for each in signal.sites:
        text = note_text(each)
        note = f"[{notes.setdefault(text, len(notes) + 1)}]" if text else ""
        apart = each.square.errors_apart if each.is_predicted else each.pre_square.errors_apart
        rows.append(
            (
                each.site.name,
                each.site.activation,
                *_pair(each.pre_square),
                *_pair(each.square),
                "" if math.isnan(apart) else f"{apart:+.1f}",
                *_pair(each.chi),
                *_pair(each.correlation),
                note,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)  # two columns of words
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    legend = (
        f"q, E f²: mean square before and behind the activation, {signal.examples} examples; SE apart: standard errors"
        " between measured and predicted E f²; c: correlation of two inputs."
    )
    return [*table, "", *(f"[{number}] {text}" for text, number in notes.items()), *[""] * bool(notes), legend]


def note_text(each: SiteSignal) -> str:
    """Return why theory and measurement part at a site, or where its prediction starts; empty if they agree."""
    if each.reason is not None:
        return f"{each.reason}: {each.sentence}"
    return f"predicted from what was measured behind this: {each.since}" if each.since else ""


def _pair(compared: Compared) -> tuple[str, str]:
    return _text(compared.measured), _text(compared.predicted)


def _text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"
