"""Commands about what a model's activations do: sites, check, explain."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Target
from actlab.cli.printed import FAULT, STOPPED, show_answer
from actlab.cli.progress import ProgressBar
from actlab.errors import BadInput
from actlab.report.written import check_place

Program = Annotated[
    str | None,
    typer.Argument(
        help="A Task, or a model, a batch and a loss (file.py:name, package.module:name); or a table (data.csv, with"
        " --target)."
    ),
]
STDOUT = Path("-")


def sites(data: Program = None, target: Target = None, task: BuiltIn = None, json: Json = False) -> None:
    """Where a model applies an activation, however it is spelled, and where one cannot look."""
    show_answer(verbs.sites(data, target=target, task=task), as_json=json)


def check(
    data: Program = None,
    target: Target = None,
    task: BuiltIn = None,
    train_steps: Annotated[int, typer.Option(help="Train a copy for so many steps, and watch it.")] = 0,
    baseline: Annotated[Path | None, typer.Option(help="A file of accepted findings, which are no faults.")] = None,
    write_baseline: Annotated[Path | None, typer.Option(help="Accept what is found: write it to this file.")] = None,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0 to this file; - for standard output.")] = None,
    fail_on: Annotated[
        str, typer.Option(help="The mildest fault that gives exit status 1: error, warning, information or never.")
    ] = "warning",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Json = False,
) -> None:
    """What is wrong with a model's activations, where, and how sure that is."""
    if json and sarif == STDOUT:
        raise BadInput("--json and --sarif - both go to standard output; name a file for one of them.")
    for place in (write_baseline, sarif):
        if place not in (None, STDOUT):
            check_place(place)  # now, not after a long run
    with ProgressBar(shown=not quiet) as progress:
        answer = verbs.check(
            data,
            target=target,
            task=task,
            train_steps=train_steps,
            baseline=baseline,
            fail_on=fail_on,
            progress=progress.advance,
        )
    if answer.was_stopped:
        _say_stopped(answer, train_steps, write_baseline=write_baseline)
    elif write_baseline is not None:
        typer.echo(f"accepted in {write_baseline}: {answer.accept_all(write_baseline)}", err=True)
    if sarif == STDOUT:
        typer.echo(json_text.dumps(answer.to_sarif(), indent=2, allow_nan=False))
    else:
        if sarif is not None:
            typer.echo(f"SARIF written to {answer.write_sarif(sarif)}", err=True)
        show_answer(answer, as_json=json)
    if answer.was_stopped:
        raise typer.Exit(STOPPED)
    if write_baseline is None and not answer.is_well:
        raise typer.Exit(FAULT)


def _say_stopped(answer: verbs.Checked, train_steps: int, *, write_baseline: Path | None) -> None:
    """That the answer is of fewer steps than were asked for; half of a run is no baseline."""
    ran = answer.report.quantities
    kept = "" if write_baseline is None else f" {write_baseline} is not written."
    done = 0 if ran is None else ran.steps
    typer.echo(f"Stopped after {done} of {train_steps} steps; what was found until then is told.{kept}", err=True)


def explain(
    finding: Annotated[str | None, typer.Argument(help="Its id (AL101) or name (dead-units); all if left out.")] = None,
    json: Json = False,
) -> None:
    """What a kind of finding means, what follows from it, what answers it, and who says so."""
    show_answer(verbs.kinds() if finding is None else verbs.explain(finding), as_json=json)
