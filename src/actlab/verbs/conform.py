"""Compare the activations that a model runs with those that it should run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlab.diagnosis.conformance.conform import Conformance, SiteConformance
from actlab.diagnosis.conformance.conform import conform as compared
from actlab.diagnosis.conformance.ranges import FORMATS, SiteRange
from actlab.diagnosis.conformance.ranges import ranges as ranges_of
from actlab.errors import BadInput
from actlab.report.folding import grouped, places_text, without_numbers
from actlab.sites.site_text import line_text, place_name, unseen_text
from actlab.train.subject import Subject, names_program
from actlab.train.task import Task
from actlab.verbs.task_lookup import subject_named

RANGE_HEADINGS = ("place", "runs", "format", "overflows at", "outputs beyond", "zero gradients", "headroom")
HEADINGS = ("place", "declared", "runs", "largest difference", "line", "")


@dataclass(frozen=True)
class Conformed:
    """What is declared at each activation of a model, what runs there, and by how much they differ.

    Attributes:
        found: the rows.
        root: the folder that paths are relative to.
        ranges: how the values fit narrower number formats, if that was asked for.
    """

    found: Conformance
    root: Path
    ranges: tuple[SiteRange, ...] = ()

    @property
    def conforms(self) -> bool:
        """Whether every site runs what is declared for it."""
        return self.found.conforms

    def to_json(self) -> dict[str, Any]:
        """Return the sites, whether they all conform, and the ranges if they were asked for."""
        ranges = {"ranges": [each.to_json() for each in self.ranges]} if self.ranges else {}
        return {**self.found.to_json(), **ranges}

    def lines(self) -> list[str]:
        """Return a table of the sites, those alike in one row, and the conclusion."""
        if not self.found.sites:
            return ["No activation was found."]
        rows = [HEADINGS, *map(self._row, grouped(self.found.sites, key=_kind))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        more = [f"  {each}" for each in self.found.elsewhere]
        unseen = [f"  {unseen_text(each)}" for each in self.found.unseen]
        return [
            *table,
            *(["", "Where no activation stands:", *more] if more else []),
            *(["", "Not inspected:", *unseen] if unseen else []),
            *(["", *range_lines(self.ranges)] if self.ranges else []),
            "",
            self._conclusion(),
        ]

    def _row(self, alike: Sequence[SiteConformance]) -> tuple[str, ...]:
        first = alike[0]
        differences = [each.max_difference for each in alike if each.max_difference is not None]
        largest = f"{max(differences):.2g} in {first.site.dtype}" if differences else ""
        verdict = "" if not first.declared else "same" if first.conforms else f"DIFFERS: {first.reason}"
        return (
            places_text([place_name(each.site) for each in alike]),
            first.declared or "-",
            first.runs,
            largest,
            line_text(first.site.file, first.site.line, root=self.root) if first.site.file else "",
            verdict,
        )

    def _conclusion(self) -> str:
        declared = [each for each in self.found.sites if each.declared]
        wrong = [each for each in declared if not each.conforms]
        if not declared:
            return "Nothing is declared for these activations."
        if wrong:
            return f"{len(wrong)} of {len(declared)} activations do not run what is declared."
        return f"All {len(declared)} activations for which one is declared run it."


def range_lines(found: Sequence[SiteRange]) -> list[str]:
    """Return a table of how the values at each site fit each number format, the worst of sites that are alike."""
    rows = [RANGE_HEADINGS]
    for alike in grouped(found, key=lambda each: (without_numbers(each.site.name), each.site.formula.label)):
        places = places_text([place_name(each.site) for each in alike])
        for format in FORMATS:
            worst = min(alike, key=lambda each: each.formats[format.name].headroom)
            fits = worst.formats[format.name]
            edges = " and ".join(f"{edge:.4g}" for edge in fits.overflows_at if edge is not None) or "never"
            rows.append(
                (
                    places,
                    worst.site.formula.label,
                    format.name,
                    edges,
                    f"{100 * fits.overflow_share:.2g} %",
                    f"{100 * fits.zero_gradient_share:.2g} %",
                    f"{fits.headroom:.1f} octaves",
                )
            )
            places = ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def conform(
    data: str | Path | Task | Subject | None = None,
    *,
    to: str | Path | None = None,
    input: Sequence[str] = (),
    ranges: bool = False,
) -> Conformed:
    """Compare what runs at each activation of a model with its configuration, or with another implementation.

    Args:
        data: as for `sites`: `file.py:name` of a model with inputs, or of a function that returns them.
        to: a `config.json`, or `file.py:name` of the other implementation; by default the model's own `config`.
        input: the shapes of random inputs, such as `["2,16:int64"]`, for a model without a batch.
        ranges: whether to compare the values with the ranges of float16, bfloat16, e4m3 and e5m2 as well.

    Raises:
        BadTask, BadInput: the message says what to change.
    """
    if data is None:
        raise BadInput("conform: a model must be named, as in model.py:load; got none.")
    subject = _subject(data, input)
    other = _subject(to, input).model if to is not None and names_program(str(to)) else None
    found = compared(subject.model, subject.inputs, to=to if other is None else other)
    return Conformed(found, Path.cwd(), ranges_of(subject.model, subject.inputs) if ranges else ())


def _subject(data: str | Path | Task | Subject, shapes: Sequence[str]) -> Subject:
    found = subject_named(data, target=None, task=None, verb="conform", input=shapes)
    if isinstance(found, Task):
        raise BadInput(f"'{data}': a model with its inputs is required; got a task. Return (model, inputs).")
    return found


def _kind(row: SiteConformance) -> tuple[Any, ...]:
    return without_numbers(row.site.name), row.declared, row.runs, row.conforms, row.reason
