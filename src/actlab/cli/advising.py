"""The main job: tasks, advise."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, TableOrTask, Target, listed
from actlab.cli.printed import STOPPED, show_answer
from actlab.cli.progress import ProgressBar


def tasks(json: Json = False) -> None:
    """The built-in tasks that `advise --task` takes."""
    show_answer(verbs.tasks(), as_json=json)


def advise(
    data: TableOrTask = None,
    target: Target = None,
    task: BuiltIn = None,
    activations: Annotated[str | None, typer.Option(help="Candidates, by comma; formulas are welcome.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Fresh seeds for the verdict; the fewest that can decide if left out.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Trials per arm for tuning: learning rates tried.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes that train at once; one a core if left out.")] = None,
    seed: Annotated[int, typer.Option(help="What every random number is drawn from.")] = 0,
    init: Annotated[str, typer.Option(help="as-is, or gain: weights drawn with each activation's own gain.")] = "as-is",
    store: Annotated[str, typer.Option(help="Where runs are kept: a file or a database URL.")] = "actlab-runs.db",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs that the store holds.")] = False,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("actlab-report.html"),
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no words before the run.")] = False,
    json: Json = False,
) -> None:
    """Which activation to use: inspect, compare fairly, verdict, report."""
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
                warn=lambda line: typer.echo(line, err=True),
                progress=progress.advance,
            )
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(f"Stopped. What was done is kept in {store}; the same command with --resume goes on.", err=True)
            raise typer.Exit(STOPPED) from None
    show_answer(answer, as_json=json)


def cores() -> int:
    """How many processors this process may use; where the system does not tell, how many there are."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
