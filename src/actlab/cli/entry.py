"""The command line as a whole: every command by its name, and what becomes of an error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from actlab.cli.advising import advise, tasks
from actlab.cli.diagnosing import check, explain, sites
from actlab.cli.knowing import gain, list_, show
from actlab.cli.measuring import bench, certify, memory
from actlab.errors import ActlabError

COMMANDS: Mapping[str, Callable[..., Any]] = {
    "list": list_,
    "show": show,
    "gain": gain,
    "certify": certify,
    "bench": bench,
    "memory": memory,
    "sites": sites,
    "check": check,
    "explain": explain,
    "tasks": tasks,
    "advise": advise,
}

app = typer.Typer(
    name="actlab",
    help="The workbench for the activation functions of a neural network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for name, command in COMMANDS.items():
    app.command(name)(command)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """The workbench for the activation functions of a neural network."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"actlab {installed('actlab')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an `ActlabError` is one line and exit status 2."""
    try:
        app()
    except ActlabError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(2)
