"""Options that several commands take, and the reading of what was typed."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from actlab.errors import BadInput, BadParam

Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter, such as beta=1.5; may be repeated."),
]
Formula = Annotated[
    str, typer.Argument(help="A name ('gelu', 'keras:leaky_relu') or a formula ('x*sigmoid(1.702*x)').")
]
TableOrTask = Annotated[
    str | None, typer.Argument(help="A table (data.csv, with --target) or a task (file.py:make_task).")
]
Target = Annotated[str | None, typer.Option(help="The table's column that is to be predicted.")]
BuiltIn = Annotated[str | None, typer.Option(help="A built-in task; `actlab tasks` lists them.")]


def values_of(given: list[str] | None) -> dict[str, float]:
    values = {}
    for pair in given or []:
        name, equals, number = pair.partition("=")
        try:
            values[name.strip()] = float(number)
        except ValueError as error:
            raise BadParam(f"a parameter is given as NAME=VALUE, such as beta=1.5; got '{pair}'.") from error
        if not equals or not name.strip().isidentifier():
            raise BadParam(f"a parameter is given as NAME=VALUE, such as beta=1.5; got '{pair}'.")
    return values


def listed(text: str | None) -> list[str] | None:
    """The parts between commas, those inside brackets left alone: `relu,max(x, 0)` names two."""
    if text is None:
        return None
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def counts(text: str, *, of: str) -> list[int]:
    """The whole numbers between commas, written as 1000000 or 1e6."""
    found = []
    for part in listed(text) or ():
        try:
            number = float(part)
        except ValueError:
            number = math.nan
        if not number.is_integer():
            raise BadInput(f"{of} are whole numbers, such as 1000 or 1e6; got '{part}'.")
        found.append(int(number))
    return found
