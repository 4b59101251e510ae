"""Report a stored comparison: as a page, a table for a paper, a bibliography, figures or data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actlab.errors import BadInput
from actlab.report.bibtex import bibliography
from actlab.report.csv_rows import arms_csv, measured_csv, replicates_csv
from actlab.report.figures import figures
from actlab.report.page import page
from actlab.report.paper import latex_table, markdown_table
from actlab.report.suite_page import suite_page
from actlab.report.suite_paper import suite_csv, suite_latex, suite_markdown
from actlab.report.written import check_place, write_whole
from actlab.study.again import original
from actlab.study.archive import comparison_of, study_named
from actlab.study.comparison import Comparison
from actlab.study.earlier import earlier_than
from actlab.study.store import Store
from actlab.study.suite_store import conclusion_of, suite_named
from actlab.verbs.advise import Advice
from actlab.verbs.comparing import provenance
from actlab.verbs.runs import STORE
from actlab.verbs.suites import SuiteAdvice


@dataclass(frozen=True)
class Reported:
    """A stored comparison in one form.

    Attributes:
        text: the report, if it was not written to files.
        files: the files that were written.
    """

    text: str = ""
    files: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return text and files."""
        return {"text": self.text, "files": [str(each) for each in self.files]}

    def lines(self) -> list[str]:
        """Return the text, or one line per file."""
        return self.text.rstrip("\n").split("\n") if self.text else [f"Written: {each}" for each in self.files]


def stored(run: str | int | None = None, *, store: str | Path = STORE) -> Advice | SuiteAdvice:
    """Return a comparison that was run before, without running anything.

    Args:
        run: The number or the name of the study, or the number of a comparison on several tasks, such as S1; the newest
            by default.
        store: The file or database URL that holds it.

    Raises:
        BadStudy: the store does not hold the study, or it is not finished.
    """
    with Store.existing(store) as opened:
        suite = suite_named(opened, run)
        if suite is not None:
            return SuiteAdvice(*conclusion_of(opened, suite), number=suite.shown)
        study = study_named(opened, run)
        return Advice(comparison_of(opened, study), earlier=earlier_than(opened, study.study.id))


def report(
    run: str | int | None = None,
    *,
    store: str | Path = STORE,
    format: str = "html",
    out: str | Path | None = None,
    command: str = "",
) -> Reported:
    """Report a comparison that was run before; the task and its data are not needed.

    Args:
        run: The number or the name of the study, or the number of a comparison on several tasks, such as S1; the newest
            by default.
        store: The file or database URL that holds it.
        format: html, json, csv (tables of arms and of replicates; for several tasks also of tasks and of pairs),
            markdown or latex (a table for a paper), bibtex (the sources of the activations), svg or png (the figures).
        out: The file to write; a folder for csv, svg and png. By default html, csv, svg and png are written to files of
            this folder, and the other formats are returned as text.
        command: The command line, for the page.

    Raises:
        BadStudy: the store does not hold the study, or it is not finished.
        BadInput: the format is unknown, or a comparison on several tasks does not have it, or the files cannot be
            written.
    """
    if format not in FORMATS:
        raise BadInput(f"format must be one of {', '.join(FORMATS)}; got '{format}'.")
    is_many = format in FILES
    place = Path(out) if out is not None else DEFAULTS.get(format)
    if place is not None:
        _check(place, is_many=is_many)
    found = stored(run, store=store)
    if isinstance(found, SuiteAdvice):
        texts, tables = _of_suite(found, command), _files_of_suite(found)
        if format not in (texts | tables):
            first = found.overall.tasks[0].study
            raise BadInput(
                f"the figures are those of one study; got a comparison on {len(found.comparisons)} tasks. Report one of"
                f" them, such as `actlab report {first} --format {format}`."
            )
    else:
        texts = {name: partial(text, found, command) for name, text in TEXTS.items()}
        tables = {name: partial(make, found.comparison) for name, make in FILES.items()}
    if not is_many:
        text = texts[format]()
        return Reported(text) if place is None else Reported(files=(write_whole(place, text.encode()),))
    assert place is not None
    place.mkdir(exist_ok=True)
    files = tables[format]()
    return Reported(files=tuple(write_whole(place / name, data) for name, data in files.items()))


def _check(place: Path, *, is_many: bool) -> None:
    if not is_many:
        check_place(place)
    elif place.exists() and not place.is_dir():
        raise BadInput(f"cannot write to the folder '{place}': it is a file; choose a folder.")
    elif not place.exists():
        check_place(place)


def _of_suite(found: SuiteAdvice, command: str) -> dict[str, Callable[[], str]]:
    overall, comparisons = found.overall, found.comparisons
    return {
        "html": lambda: suite_page(overall, comparisons, provenance=provenance(command)),
        "json": lambda: _json_text(found.to_json()),
        "markdown": lambda: suite_markdown(overall, comparisons),
        "latex": lambda: suite_latex(overall, comparisons),
        "bibtex": lambda: bibliography(original(arm.activation) for arm in overall.arms),
    }


def _files_of_suite(found: SuiteAdvice) -> dict[str, Callable[[], Mapping[str, bytes]]]:
    tables = partial(suite_csv, found.overall, found.comparisons)
    return {"csv": lambda: {name: text.encode() for name, text in tables().items()}}


def _json_text(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


TEXTS: Mapping[str, Callable[[Advice, str], str]] = {
    "html": lambda found, command: page(found.comparison, provenance=provenance(command), earlier=found.earlier),
    "json": lambda found, command: _json_text(found.to_json()),
    "markdown": lambda found, command: markdown_table(found.comparison),
    "latex": lambda found, command: latex_table(found.comparison),
    "bibtex": lambda found, command: bibliography(original(arm.activation) for arm in found.comparison.arms),
}
FILES: Mapping[str, Callable[[Comparison], Mapping[str, bytes]]] = {
    "csv": lambda comparison: {
        "arms.csv": arms_csv(comparison).encode(),
        "replicates.csv": replicates_csv(comparison).encode(),
        **({"measured.csv": measured_csv(comparison).encode()} if comparison.is_measured else {}),
    },
    "svg": lambda comparison: figures(comparison, "svg"),
    "png": lambda comparison: figures(comparison, "png"),
}
FORMATS = ("html", "json", "csv", "markdown", "latex", "bibtex", "svg", "png")
DEFAULTS = {"html": Path("actlab-report.html"), **dict.fromkeys(FILES, Path("actlab-report"))}
