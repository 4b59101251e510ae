"""The command `actlab compare`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from actlab import verbs
from actlab.cli.advise import parsed, typed
from actlab.cli.next_command import say_how_to_go_on, say_interrupted
from actlab.cli.options import Json, Quiet, RunnerName, Target, values_of
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import STOPPED, say, show_answer
from actlab.cli.progress import ProgressBar
from actlab.errors import BadInput
from actlab.study.options import options, with_parameters

PLACE = Place(Panel.CHOICE, 2)
TasksOrPlan = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TASK",
        help="The task: a built-in one (`actlab tasks` lists them), a CSV file with --target or as data.csv:column, or"
        " file.py:name, where the name is an actlab.Task or a function that returns one; or a plan file, such as"
        " plan.toml. Several are compared on each, with one conclusion over all. Default: the built-in example.",
    ),
]


def compare(
    tasks: TasksOrPlan = None,
    target: Target = None,
    *,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what the comparison will take and can decide; run a small pilot only.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --plan: write the plan to this file, such as plan.toml.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="Show the newest stored comparison; run nothing.")] = False,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", metavar="NAME=VALUE", help="Set a parameter of a formula, such as beta=1.5; repeatable."
        ),
    ] = None,
    report: Annotated[Path, typer.Option(metavar="FILE", help="File for the HTML report.")] = Path(
        "actlab-report.html"
    ),
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML report.")] = False,
    runner: RunnerName = "local",
    quiet: Quiet = False,
    progress_json: Annotated[
        bool, typer.Option("--progress-json", help="Write the progress to standard error as lines of JSON.")
    ] = False,
    json: Json = False,
    **others: Any,
) -> None:
    """Compare activations on one task or several, fairly; plan the comparison first with --plan."""
    task = tasks[0] if tasks and len(tasks) == 1 else tasks or None
    if save is not None and not plan:
        raise BadInput("--save requires --plan; add it.")
    if last:
        _show_last(others["store"], tasks=tasks or [], plan=plan, json=json)
        return
    values = {"target": target, "params": values_of(param), "runner": runner, **others, **parsed(others)}
    if not (plan or no_report) and report.is_file():
        say(f"{report} exists and will be replaced; --report FILE names another file.")
    with ProgressBar(shown=not quiet, as_json=progress_json) as progress:
        try:
            if plan:
                show_answer(verbs.planned(task, save=save, progress=progress.advance, **values), as_json=json)
                return
            answer = verbs.compare(
                task,
                report=None if no_report else report,
                command=shlex.join(["actlab", *sys.argv[1:]]),
                say=progress.say,
                warn=say,
                progress=progress.advance,
                **values,
            )
        except KeyboardInterrupt:
            progress.stop()
            if plan:
                say("Interrupted. Nothing of the study was run.")
            else:
                say_interrupted(others["store"])
            raise typer.Exit(STOPPED) from None
    show_answer(answer, as_json=json)
    say_how_to_go_on(answer.seeds_to_settle)


def _show_last(store: str, *, tasks: list[str], plan: bool, json: bool) -> None:
    if tasks or plan:
        raise BadInput(f"--last shows a stored comparison; leave out {' '.join(tasks) or '--plan'}.")
    show_answer(verbs.stored(None, store=store), as_json=json)


command = with_parameters(compare, [typed(option) for option in options(without=("diagnose",))], before="plan")
