"""The command `actlab advise`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Quiet, Target, listed
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import STOPPED, show_answer
from actlab.cli.progress import ProgressBar

PLACE = Place(Panel.CHOICE, 1)
TableOrTask = Annotated[
    str | None, typer.Argument(help="A table (data.csv, with --target) or a task (file.py:make_task).")
]


def command(
    data: TableOrTask = None,
    target: Target = None,
    task: BuiltIn = None,
    activations: Annotated[str | None, typer.Option(help="Candidates, by comma; formulas are welcome.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Fresh seeds for the verdict; the fewest that can decide if left out.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Learning rates to try per activation.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes that train at once; one a core if left out.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    init: Annotated[str, typer.Option(help="as-is, or gain: weights drawn with each activation's own gain.")] = "as-is",
    store: Annotated[str, typer.Option(help="Where runs are kept: a file or a database URL.")] = "actlab-runs.db",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs that the store holds.")] = False,
    report: Annotated[Path, typer.Option(metavar="FILE", help="File for the HTML report.")] = Path(
        "actlab-report.html"
    ),
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML report.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Recommend an activation: diagnose the model, compare candidates fairly, report."""
    with ProgressBar(shown=not quiet) as progress:
        try:
            answer = verbs.advise(
                data,
                target=target,
                task=task,
                activations=listed(activations),
                seeds=seeds,
                budget=budget,
                jobs=cores() if jobs is None else jobs,
                seed=seed,
                init=init,
                store=store,
                resume=resume,
                report=None if no_report else report,
                command=shlex.join(["actlab", *sys.argv[1:]]),
                say=progress.say,
                progress=progress.advance,
            )
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(
                f"Interrupted. Finished runs are stored in {store}; repeat the command with --resume to continue.",
                err=True,
            )
            raise typer.Exit(STOPPED) from None
    show_answer(answer, as_json=json)


def cores() -> int:
    """Return the number of processors that this process may use, or else that the machine has."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
