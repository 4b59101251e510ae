"""The charts of a page, found in the folder `charts` and prepared for the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, final

from actlab.report import charts as folder
from actlab.report.chart import Chart, Key, Page
from actlab.report.inline import inline


@final
@dataclass(frozen=True)
class Panel:
    """A picture as an element of the page.

    The SVG is inserted as it is: every text in it was escaped when it was built.
    """

    svg: str
    name: str
    verdict: str
    remark: str


@final
@dataclass(frozen=True)
class Section:
    """A chart as the template shows it, with all texts filled in; attributes as in `Chart`."""

    name: str
    title: str
    caption: str
    legend: tuple[Key, ...]
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]
    empty: str
    is_half: bool


def charts(page: Page) -> tuple[Chart[Any, Any], ...]:
    """Return the charts of a page in their order: one for every file in the folder `charts`."""
    modules = (import_module(f"{folder.__name__}.{found.name}") for found in iter_modules(folder.__path__))
    every: list[Chart[Any, Any]] = [module.CHART for module in modules]
    return tuple(sorted((chart for chart in every if chart.page == page), key=lambda chart: (chart.order, chart.name)))


def sections(page: Page, data: Any, *, words: Mapping[str, str]) -> tuple[Section, ...]:
    """Draw all charts of a page, without those that have nothing to show or to say.

    Args:
        page: which page.
        data: `Compared` for the comparison page, `Quantities` for the diagnosis page, `Signal` for its signal.
        words: values for the fields of the charts' texts.
    """
    drawn = (_section(chart, data, words=words) for chart in charts(page))
    return tuple(section for section in drawn if section.panels or section.notes or section.empty)


def _section(chart: Chart[Any, Any], data: Any, *, words: Mapping[str, str]) -> Section:
    facts = chart.facts(data)
    return Section(
        name=chart.name,
        title=chart.title.format_map(words),
        caption=chart.caption.format_map(words),
        legend=tuple(Key(key.style, key.text.format_map(words)) for key in chart.legend(facts)),
        panels=tuple(
            Panel(
                inline(picture.svg, prefix=f"{chart.name}{number}-", label=picture.alt_text),
                picture.name,
                picture.verdict,
                picture.remark,
            )
            for number, picture in enumerate(chart.draw(facts))
        ),
        notes=chart.notes(facts),
        empty=chart.empty,
        is_half=chart.is_half,
    )
