"""The command `actlab advise`."""

from __future__ import annotations

import os
import shlex
import sys
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from actlab import verbs
from actlab.cli.next_command import say_how_to_go_on, say_interrupted
from actlab.cli.options import (
    BuiltIn,
    Json,
    Quiet,
    RunnerName,
    Target,
    columns_of,
    levels_of,
    listed,
    rates_of,
    values_of,
)
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import STOPPED, say, show_answer
from actlab.cli.progress import ProgressBar
from actlab.study.options import Option, options, with_parameters

PLACE = Place(Panel.CHOICE, 1)
TableOrTask = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK",
        help="The task: file.py:name, where the name is an actlab.Task or a function that returns one; a CSV file with"
        " --target, or as data.csv:column; a folder of images, in a folder for each class; or an .npz file. Default:"
        " the built-in example.",
    ),
]


def advise(
    data: TableOrTask = None,
    target: Target = None,
    task: BuiltIn = None,
    *,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            metavar="NAME=VALUE",
            help="Set a parameter of a formula given in --activations, such as beta=1.5; repeatable.",
        ),
    ] = None,
    report: Annotated[Path, typer.Option(metavar="FILE", help="File for the HTML report.")] = Path(
        "actlab-report.html"
    ),
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML report.")] = False,
    runner: RunnerName = "local",
    quiet: Quiet = False,
    json: Json = False,
    **others: Any,
) -> None:
    """Recommend an activation for a task, from a fair comparison."""
    if not no_report and report.is_file():
        say(f"{report} exists and will be replaced; --report FILE names another file.")
    with ProgressBar(shown=not quiet) as progress:
        try:
            answer = verbs.advise(
                data,
                target=target,
                task=task,
                report=None if no_report else report,
                command=shlex.join(["actlab", *sys.argv[1:]]),
                params=values_of(param),
                say=progress.say,
                warn=say,
                progress=progress.advance,
                runner=runner,
                **{**others, **parsed(others)},
            )
        except KeyboardInterrupt:
            progress.stop()
            say_interrupted(others["store"])
            raise typer.Exit(STOPPED) from None
    show_answer(answer, as_json=json)
    say_how_to_go_on(answer.seeds_to_settle)


def parsed(typed: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the options that are typed in another form than Python takes."""
    return {
        "activations": listed(typed["activations"]),
        "jobs": _jobs(typed["jobs"]),
        "rates": None if typed["rates"] is None else rates_of(typed["rates"]),
        "without": columns_of(typed["without"]),
        "measure": listed(typed["measure"]) or (),
        "noise_levels": None if typed["noise_levels"] is None else levels_of(typed["noise_levels"]),
    }


def _jobs(typed: int | None) -> int:
    """Return the number of jobs, by default one per processor that this process may use."""
    if typed is not None:
        return typed
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


# Options whose form differs from Python's: type, default, addition to the description.
TYPED: dict[str, tuple[Any, Any, str]] = {
    "text": (str | None, None, ""),
    "activations": (str | None, None, " Separate them with commas."),
    "against": (str | None, None, ""),
    "rates": (str | None, None, ""),
    "without": (str | None, None, " Separate them with commas."),
    "measure": (str | None, None, " Separate them with commas."),
    "noise_levels": (str | None, None, " Separate them with commas."),
    "jobs": (int | None, None, " Default: one per processor."),
    "store": (str, "actlab-runs.db", ""),
}
METAVARS = {
    "text": "FILE",
    "epochs": "N",
    "rates": "LOW,HIGH",
    "kind": "NAME",
    "metric": "NAME",
    "without": "COLUMNS",
    "activations": "LIST",
    "against": "FORMULA",
    "seeds": "N",
    "budget": "N",
    "jobs": "N",
    "seed": "N",
    "init": "NAME",
    "splits": "NAME",
    "equal": "NAME",
    "measure": "LIST",
    "noise_levels": "LIST",
    "label_noise": "SHARE",
    "target_metric": "VALUE",
    "watts": "WATTS",
    "store": "FILE",
}


def typed(option: Option) -> Parameter:
    """Return an option of `AdviseOptions` as an option of the command line."""
    name, default = option.parameter.name, option.parameter.default
    kind, default, addition = TYPED.get(name, (option.parameter.annotation, default, ""))
    names = [f"--{name}"] if default is False else []  # a switch; for one that is on, Typer adds a --no- form
    about = typer.Option(*names, metavar=METAVARS.get(name), help=option.about + addition)
    return option.parameter.replace(default=default, annotation=Annotated[kind, about])


command = with_parameters(advise, [typed(option) for option in options()], before="param")
