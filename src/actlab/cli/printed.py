"""What a command prints, and the exit status it ends with."""

from __future__ import annotations

import json
from typing import Any, Protocol

import typer

FAULT = 1  # what was asked for was measured, and a fault was found
STOPPED = 130  # what a shell reports of a program ended by Ctrl-C


class Answer(Protocol):
    """What every verb gives back."""

    def to_json(self) -> Any:
        """The answer as plain values."""

    def lines(self) -> list[str]:
        """The answer for reading."""


class JudgingAnswer(Answer, Protocol):
    """An answer that may be that a fault was found."""

    @property
    def is_well(self) -> bool:
        """Whether none was."""


def show_answer(answer: Answer, *, as_json: bool) -> None:
    """Print the answer to standard output."""
    if as_json:
        typer.echo(json.dumps(answer.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo("\n".join(answer.lines()))
