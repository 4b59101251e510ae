"""What commands print, and their exit statuses."""

from __future__ import annotations

import json
from typing import Any, Protocol

import typer

from actlab.errors import visible

FAULT = 1  # the command ran and reports a fault
MISUSE = 2  # usage error; click uses the same
STOPPED = 130  # what a shell reports for a program ended by Ctrl-C

OWN_MODEL = "file.py:name, where name is an actlab.Task or a tuple of model, batch and loss"


class Answer(Protocol):
    """What every verb returns."""

    def to_json(self) -> Any:
        """Return the answer as plain values."""

    def lines(self) -> list[str]:
        """Return the answer as lines of text."""


class JudgingAnswer(Answer, Protocol):
    """An answer that may report a fault."""

    @property
    def is_well(self) -> bool:
        """Whether no fault is reported."""


def show_answer(answer: Answer, *, as_json: bool) -> None:
    """Print the answer to standard output."""
    if as_json:
        typer.echo(shown(json.dumps(answer.to_json(), indent=2, ensure_ascii=False, allow_nan=False)))
    else:
        typer.echo(shown("\n".join(answer.lines())))


def say(line: str) -> None:
    """Print a line to standard error."""
    typer.echo(shown(line), err=True)


def shown(text: str) -> str:
    """Return a text for the terminal: line breaks and tabs stay, other control characters become escapes."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def say_if_example(verb: str, *named: str | None) -> None:
    """Say on standard error that the built-in example is used, if nothing was named."""
    if all(each is None for each in named):
        say(f"Using the built-in example network. For your own: actlab {verb} {OWN_MODEL}.")
