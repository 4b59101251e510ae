"""The command `actlab check`."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Quiet, Shapes, Target, listed, model_argument
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import FAULT, STOPPED, say, say_if_example, show_answer
from actlab.cli.progress import ProgressBar
from actlab.errors import BadInput
from actlab.report.written import check_place

PLACE = Place(Panel.MODELS, 1)
STDOUT = Path("-")


def command(
    data: Annotated[str | None, model_argument("check", "a tuple (model, (inputs, targets), loss)")] = None,
    target: Target = None,
    task: BuiltIn = None,
    input: Shapes = None,
    train_steps: Annotated[
        int,
        typer.Option(
            metavar="STEPS", help="Also train a copy of the model for this many steps; most AL1xx findings need it."
        ),
    ] = 0,
    select: Annotated[
        str | None, typer.Option(metavar="IDS", help="Report only these ids or prefixes, such as AL101,AL2.")
    ] = None,
    ignore: Annotated[
        str | None, typer.Option(metavar="IDS", help="Do not report these ids or prefixes, such as AL101,AL2.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ignore the findings listed in this file.")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the current findings to this baseline file.")
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write SARIF 2.1.0 to this file; - for standard output.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML report to this file.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="SEVERITY",
            help="Minimum severity that makes the command exit with status 1: error, warning (default), information"
            " or never.",
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Diagnose a model's activations.

    Settings are read from the section [tool.actlab] of the nearest pyproject.toml above the checked file: select,
    ignore, fail-on, thresholds. The comment `# actlab: ignore[AL101]` on the reported line suppresses that finding.
    Exit status: 0 = no findings at or above --fail-on, 1 = findings, 2 = usage error, 130 = interrupted.
    """
    if json and sarif == STDOUT:
        raise BadInput("--json and --sarif - both go to standard output; name a file for one of them.")
    for place in (write_baseline, sarif, report):
        if place not in (None, STDOUT):
            check_place(place)  # now, not after a long run
    say_if_example("check", data, target, task)
    with ProgressBar(shown=not quiet) as progress:
        answer = verbs.check(
            data,
            target=target,
            task=task,
            input=input or (),
            train_steps=train_steps,
            baseline=baseline,
            select=listed(select),
            ignore=listed(ignore),
            fail_on=fail_on,
            progress=progress.advance,
        )
    if answer.was_stopped:
        _say_interrupted(answer, train_steps, write_baseline=write_baseline)
    elif write_baseline is not None:
        count = answer.accept_all(write_baseline)
        say(f"Baseline of {count} finding{'' if count == 1 else 's'} written to {write_baseline}.")
    if report is not None:
        say(f"Report written to {answer.write_report(report)}.")
    if sarif == STDOUT:
        typer.echo(json_text.dumps(answer.to_sarif(), indent=2, allow_nan=False))
    else:
        if sarif is not None:
            say(f"SARIF written to {answer.write_sarif(sarif)}.")
        show_answer(answer, as_json=json)
    if answer.was_stopped:
        raise typer.Exit(STOPPED)
    if write_baseline is None and not answer.is_well:
        raise typer.Exit(FAULT)


def _say_interrupted(answer: verbs.Checked, train_steps: int, *, write_baseline: Path | None) -> None:
    ran = answer.report.quantities
    done = 0 if ran is None else ran.steps
    left_out = "" if write_baseline is None else f" {write_baseline} was not written: a baseline needs a whole run."
    say(f"Interrupted after {done} of {train_steps} steps; showing the findings so far.{left_out}")
