"""The charts of a comparison as picture files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from actlab.formula.activation import Activation
from actlab.report.chart import Compared
from actlab.report.sections import charts
from actlab.report.style import drawn_as
from actlab.study.comparison import Comparison


def figures(
    comparison: Comparison, form: str, *, own: Mapping[str, Activation] = MappingProxyType({})
) -> dict[str, bytes]:
    """Return the picture files of a comparison by name; a chart of several pictures has one file for each.

    Args:
        comparison: the comparison.
        form: "svg" with text as outlines, which looks the same in any program, or "png" on white.
        own: the user's own activations, by the names of their arms.
    """
    files: dict[str, bytes] = {}
    with drawn_as(form):
        for chart in charts("comparison"):
            for picture in chart.draw(chart.facts(Compared(comparison, own))):
                stem = f"{chart.name}-{_slug(picture.name)}" if picture.name else chart.name
                files[_unused(stem, form, files)] = picture.svg
    return files


def _slug(name: str) -> str:
    """Return a name that is safe in a file system: letters, digits, points and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9.]+", "-", plain).strip("-.")[:60] or "arm"


def _unused(stem: str, form: str, files: Mapping[str, bytes]) -> str:
    number, name = 1, f"{stem}.{form}"
    while name in files:
        number += 1
        name = f"{stem}-{number}.{form}"
    return name
