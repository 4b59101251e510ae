"""The command line: every command of this folder, and how an error ends it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from actlab.cli.panels import Panel
from actlab.cli.printed import MISUSE, say
from actlab.errors import ActlabError

SUMMARY = "The workbench for the activation functions of neural networks."


class Commands(TyperGroup):
    """A group of commands whose help lists them by panel, each with its whole summary.

    The types of `ctx` and `formatter` are those of click or of the copy that newer versions of Typer bring along.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section per panel; click's own version would cut the summaries."""
        for panel in Panel:
            rows = [
                (name, (command.help or "").partition("\n")[0])
                for name, command in self.commands.items()
                if getattr(command, "rich_help_panel", None) == panel.value
            ]
            if rows:
                with formatter.section(panel.value):
                    formatter.write_dl(rows)


app = typer.Typer(
    name="actlab",
    cls=Commands,
    help=SUMMARY,
    epilog="`actlab COMMAND --help` describes a command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command_files() -> Iterator[tuple[str, ModuleType]]:
    """Yield the name and the module of every file of this folder that declares a command, that is, a `PLACE`."""
    for found in iter_modules([str(Path(__file__).parent)]):
        module = import_module(f"{__package__}.{found.name}")
        if hasattr(module, "PLACE"):
            yield found.name, module


for name, file in sorted(command_files(), key=lambda named: named[1].PLACE.key):
    app.command(name, rich_help_panel=file.PLACE.panel.value)(file.command)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"actlab {installed('actlab')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an `ActlabError` becomes one line on standard error and exit status 2."""
    try:
        app()
    except ActlabError as error:
        say(f"{type(error).__name__}: {error}")
        sys.exit(MISUSE)
