"""The command `actlab fix`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Quiet, Target, model_argument
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import FAULT, STOPPED, say, say_if_example, show_answer
from actlab.cli.progress import ProgressBar
from actlab.report.written import check_place

PLACE = Place(Panel.MODELS, 2)


def command(
    data: Annotated[str | None, model_argument("repair", "a tuple (model, (inputs, targets), loss)")] = None,
    target: Target = None,
    task: BuiltIn = None,
    budget: Annotated[
        str, typer.Option(metavar="RUNS", help="Training runs to spend, such as 40, or a time, such as 10m.")
    ] = "40",
    write: Annotated[
        bool, typer.Option("--write", help="Write the diff to the file; only if it is unchanged since it was read.")
    ] = False,
    sarif: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the findings to this file as SARIF 2.1.0, with the diff as their fix."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print how often each remedy repaired each finding, and stop.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Repair a training: choose a remedy, apply it to a copy, measure, keep it or not.

    A remedy is kept only if the finding is gone, none has come, and the validation metric is better, or at least
    equivalent, on fresh paired seeds. The kept changes are printed as a diff; files are changed only with --write.
    Exit status: 0 = repaired or nothing to repair, 1 = not repaired, 2 = usage error, 130 = interrupted.
    """
    if explain:
        show_answer(verbs.remedy_table(), as_json=json)
        return
    if sarif is not None:
        check_place(sarif)
    say_if_example("fix", data, target, task)
    with ProgressBar(shown=not quiet) as progress:
        answer = verbs.fix(data, target=target, task=task, budget=budget, progress=progress.advance)
    if answer.was_stopped:
        say(f"Interrupted after {answer.outcome.runs} training runs; showing what was found so far.")
    show_answer(answer, as_json=json)
    if sarif is not None:
        say(f"SARIF written to {answer.write_sarif(sarif)}.")
    if write and answer.diff:
        for path in answer.write():
            say(f"Written: {path}.")
    elif write and not answer.was_stopped:
        say("No file was changed, as no kept change can be written as a diff.")
    if answer.was_stopped:
        raise typer.Exit(STOPPED)
    if not answer.is_well:
        raise typer.Exit(FAULT)
