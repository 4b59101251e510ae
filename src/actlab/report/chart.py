"""The value that describes a chart of a report; each file in `charts` declares one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, final

from actlab.formula.activation import Activation
from actlab.study.comparison import Comparison

Page = Literal["comparison", "diagnosis", "signal"]
Data = TypeVar("Data")
Facts = TypeVar("Facts")


@final
@dataclass(frozen=True)
class Compared:
    """The data of the comparison page: a comparison, and the user's own activations by the names of their arms."""

    comparison: Comparison
    own: Mapping[str, Activation] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Picture:
    """One picture as an SVG file, with the text that replaces it for readers who cannot see it.

    Attributes:
        svg: the file.
        alt_text: what the picture shows.
        name: heading of the picture, if it is one of several.
        verdict: of the arm that it shows, if any.
        remark: a short warning next to the heading.
    """

    svg: bytes
    alt_text: str
    name: str = ""
    verdict: str = ""
    remark: str = ""


@final
@dataclass(frozen=True)
class Key:
    """An entry of a legend.

    Attributes:
        style: the name of a style class `key` of the style sheet.
        text: its meaning; a format string as in `Chart`.
    """

    style: str
    text: str


@final
@dataclass(frozen=True)
class Chart(Generic[Data, Facts]):
    """A chart: its texts, its position, the numbers that it shows, and the function that draws them.

    `title`, `caption` and the legend are format strings. On the comparison page they may use `{metric}`, `{unit}`,
    `{better}` ("Up" or "Down"), `{control}`, `{region}` and `{baseline}`; on the diagnosis page `{first}` and `{last}`,
    the first and the last step drawn.

    Attributes:
        name: identifies the chart in HTML and, on the diagnosis page, in JSON.
        title: its heading.
        caption: what it shows and how to read it.
        order: charts appear on the page in this order.
        page: the page that shows it, or the part of a page; data is `Compared`, `Quantities` or `Signal` respectively.
        facts: computes the numbers shown, as a frozen value.
        draw: draws the pictures; computes nothing that it shows.
        legend: explains lines and areas.
        notes: sentences below the pictures, such as what is missing.
        empty: the sentence shown in place of pictures if there are none.
        is_half: whether two such charts share a row.
    """

    name: str
    title: str
    caption: str
    order: int
    page: Page
    facts: Callable[[Data], Facts]
    draw: Callable[[Facts], tuple[Picture, ...]]
    legend: Callable[[Facts], tuple[Key, ...]] = lambda facts: ()
    notes: Callable[[Facts], tuple[str, ...]] = lambda facts: ()
    empty: str = ""
    is_half: bool = False
