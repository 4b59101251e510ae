"""A comparison as one HTML file that needs nothing else and opens anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from actlab.formula.activation import Activation
from actlab.report import alt_text, facts, figures
from actlab.report.diagnosis import Diagnosis
from actlab.report.inline import inline
from actlab.report.shape import Shapes, shapes
from actlab.report.style import PALETTE
from actlab.report.table import ranked, rows
from actlab.report.wording import MARKS, name_text, number_text, places_of, seconds_text
from actlab.report.written import write_whole
from actlab.study.comparison import Comparison

# Neither HTML nor UTF-8 has a place for them: controls other than tab and line feed, and halves of characters.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Picture:
    """A picture on the page, with the name that stands above it.

    The SVG goes in as it is: every text in it was escaped when it was built.
    """

    svg: str
    name: str = ""
    verdict: str = ""
    remark: str = ""


def write_report(
    comparison: Comparison,
    path: Path,
    *,
    provenance: Mapping[str, str],
    own: Mapping[str, Activation] = MappingProxyType({}),
    diagnosis: Diagnosis | None = None,
) -> Path:
    """The path, once the page lies there, whole.

    Args:
        comparison: what is reported.
        path: where the page goes; the folder must exist.
        provenance: what the page says of its origin, in order: versions, command, date.
        own: activations that only the user knows, by the names of their arms.
        diagnosis: what was found about the control; the page says nothing of it if left out.

    Raises:
        BadInput: the place cannot be written.
    """
    return write_whole(path, page(comparison, provenance=provenance, own=own, diagnosis=diagnosis).encode())


def page(
    comparison: Comparison,
    *,
    provenance: Mapping[str, str],
    own: Mapping[str, Activation] = MappingProxyType({}),
    diagnosis: Diagnosis | None = None,
) -> str:
    """The whole report as HTML: the same text for the same comparison and provenance."""
    drawn = shapes(tuple(arm.activation for arm in ranked(comparison)), own=own)
    plan, metric, places = comparison.plan, comparison.metric, _places(comparison)
    text = _template().render(
        comparison=comparison,
        plan=plan,
        metric=metric,
        tone=facts.tone(comparison),
        marks=MARKS,
        palette=PALETTE,
        rows=rows(comparison),
        summary=_summary(comparison),
        diagnosis=diagnosis,
        courses=_courses(comparison),
        shows_baseline=facts.courses(comparison).shows_baseline,
        gaps=_gaps(comparison),
        prices=_prices(comparison),
        shapes=_shapes(drawn),
        missing_shapes=drawn.missing,
        missing_prices=facts.prices(comparison).missing,
        target=number_text(comparison.target, places),
        baseline=number_text(comparison.baseline, places),
        region=f"{comparison.region:.3g} {metric.unit}",
        alpha=f"{plan.alpha:g}",
        provenance={**provenance, "Seed": str(plan.seed), "Task digest": plan.fingerprint[:16]},
    )
    return _UNFIT.sub("\ufffd", text)


@lru_cache(maxsize=1)
def _template() -> Template:
    # Names of tasks, columns and activations come from strangers: everything is escaped.
    environment = Environment(
        loader=PackageLoader("actlab.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = name_text
    return environment.get_template("page.html.j2")


def _places(comparison: Comparison) -> int:
    return places_of(comparison.metric, region=comparison.region)


def _summary(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    seeds = comparison.plan.looks[comparison.look].seeds
    runs = sum(arm.runs for arm in comparison.arms)
    summary = (
        ("activations", str(len(comparison.arms))),
        ("fresh seeds each", str(seeds)),
        ("training runs", f"{runs:,}"),
        ("best constant answer", number_text(comparison.baseline, _places(comparison))),
    )
    took = comparison.cost.seconds
    return (*summary, ("in all", seconds_text(took))) if took > 0 else summary


def _courses(comparison: Comparison) -> tuple[Picture, ...]:
    found = facts.courses(comparison)
    pictures = []
    for number, course in enumerate(found.arms):
        if course.epochs:
            svg = figures.course_svg(course, found, metric=comparison.metric)
            label = alt_text.course_in_words(course, metric=comparison.metric, places=_places(comparison))
            remark = f"{course.ended} of {len(comparison.arms[0].tests)} seeds diverged" if course.ended else ""
            pictures.append(_picture(svg, f"course{number}-", label, name=course.arm, of=course.verdict, remark=remark))
    return tuple(pictures)


def _gaps(comparison: Comparison) -> Picture:
    found = facts.gaps(comparison)
    svg = figures.gaps_svg(found, metric=comparison.metric, control=comparison.control.activation)
    return _picture(svg, "gaps-", alt_text.gaps_in_words(found, metric=comparison.metric, places=_places(comparison)))


def _prices(comparison: Comparison) -> Picture | None:
    found = facts.prices(comparison)
    if not found.arms:
        return None
    svg = figures.prices_svg(found, metric=comparison.metric)
    return _picture(
        svg, "prices-", alt_text.prices_in_words(found, metric=comparison.metric, places=_places(comparison))
    )


def _shapes(drawn: Shapes) -> tuple[Picture, ...]:
    return tuple(
        _picture(figures.shape_svg(one), f"shape{number}-", alt_text.shape_in_words(one), name=one.arm)
        for number, one in enumerate(drawn.arms)
    )


def _picture(svg: bytes, prefix: str, label: str, *, name: str = "", of: str = "", remark: str = "") -> Picture:
    return Picture(inline(svg, prefix=prefix, label=label), name, of, remark)
