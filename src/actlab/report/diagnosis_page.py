"""A diagnosis as one self-contained HTML file."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from actlab.diagnosis.report import Report
from actlab.report.diagnosis import diagnosis
from actlab.report.site_table import site_rows
from actlab.report.template import rendered
from actlab.report.written import write_whole
from actlab.sites.site_text import COLUMNS
from actlab.telemetry.signal.answer import Signal

FINE = "fine"
"""The tone of a page without findings."""


def write_diagnosis(report: Report, path: Path, *, title: str, signal: Signal | None = None) -> Path:
    """Write the findings and the health charts of a report as one HTML file, atomically.

    Args:
        report: what a check or a watched run found; paths in it are shown relative to the current folder.
        path: the file to write; its folder must exist.
        title: what was diagnosed, such as `net.py:ready`.
        signal: the signal in the model, if it was followed.

    Returns:
        The path.

    Raises:
        BadInput: the file cannot be written.
    """
    return write_whole(path, diagnosis_page(report, title=title, root=Path.cwd(), signal=signal).encode())


def diagnosis_page(report: Report, *, title: str, root: Path, signal: Signal | None = None) -> str:
    """Return a report as HTML, with paths relative to the folder `root`."""
    shown = diagnosis(report, root=root, signal=signal)
    return rendered(
        "diagnosis.html.j2",
        title=title,
        worst=shown.rows[0].severity if shown.rows else FINE,
        result=f"{shown.count[0].upper()}{shown.count[1:]}.",
        notes=report.remarks,
        summary=_summary(report),
        diagnosis=shown,
        columns=COLUMNS,
        sites=[(place + count, rest) for place, count, rest in site_rows(report.sites, root=root)],
        provenance={"Versions": f"actlab {version('actlab')}, torch {version('torch')}, "
                                f"Python {platform.python_version()}"},
    )  # fmt: skip


def _summary(report: Report) -> tuple[tuple[str, str], ...]:
    quantities = report.quantities
    steps = () if quantities is None else (("training steps", f"{quantities.steps:,}"),)
    unseen = (("parts not inspected", str(len(report.unseen))),) if report.unseen else ()
    return (("activations in the model", str(len(report.sites))), *steps, *unseen)
