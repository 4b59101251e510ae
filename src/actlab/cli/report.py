"""The command `actlab report`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import show_answer
from actlab.cli.runs import StoreOption

PLACE = Place(Panel.CHOICE, 4)


def command(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="Number or name of a run, such as S1; `actlab runs` lists them. Default: the newest."
        ),
    ] = None,
    store: StoreOption = "actlab-runs.db",
    format: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="html, json, csv, markdown or latex (a table for a paper), bibtex (the sources of the activations),"
            " svg or png (the figures).",
        ),
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="File to write; for csv, svg and png a folder. Default: actlab-report.html, the folder actlab-report,"
            " or standard output for json, markdown, latex and bibtex.",
        ),
    ] = None,
) -> None:
    """Report a stored comparison, without running anything: a page, a table for a paper, figures, data."""
    command_line = shlex.join(["actlab", *sys.argv[1:]])
    show_answer(verbs.report(run, store=store, format=format, out=out, command=command_line), as_json=False)
