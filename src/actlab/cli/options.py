"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import csv
import math
from typing import Annotated, Any

import typer

from actlab.errors import BadInput, BadParam

Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
RunnerName = Annotated[
    str,
    typer.Option(
        "--runner", metavar="NAME", help="Where trials run: local, or on a Ray cluster: ray, or ray://HOST:PORT."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="Set a parameter, such as beta=1.5; may be repeated."),
]
Formula = Annotated[
    str,
    typer.Argument(
        metavar="FORMULA",
        help="A name ('gelu', 'keras:leaky_relu'), a formula ('x*sigmoid(1.702*x)'), or your own ('file.py:name').",
    ),
]


def model_argument(verb: str, tuples: str) -> Any:
    """Return the argument MODEL of a command.

    Args:
        verb: what the command does to it.
        tuples: the tuples that the command accepts.
    """
    return typer.Argument(
        metavar="MODEL",
        help=f"What to {verb}: file.py:name or package.module:name, where the name is an actlab.Task, {tuples}, a model"
        " with --input, or a function that returns one; or a CSV file with --target, or as data.csv:column. Default:"
        " the built-in example network.",
    )


Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="Table column to predict.")]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SHAPE",
        help="Run a model that has no batch on random inputs of this shape, such as 32,4 or 32,16:int64; repeatable.",
    ),
]
BuiltIn = Annotated[str | None, typer.Option(metavar="NAME", help="Use a built-in task; `actlab tasks` lists them.")]


def values_of(typed: list[str] | None) -> dict[str, float]:
    """Parse parameters typed as NAME=VALUE.

    Raises:
        BadParam: one of them has another form.
    """
    values = {}
    for pair in typed or []:
        name, equals, number = pair.partition("=")
        try:
            values[name.strip()] = float(number)
        except ValueError as error:
            raise BadParam(f"--param must be NAME=VALUE, such as beta=1.5; got '{pair}'.") from error
        if not equals or not name.strip().isidentifier():
            raise BadParam(f"--param must be NAME=VALUE, such as beta=1.5; got '{pair}'.")
    return values


def listed(text: str | None) -> list[str] | None:
    """Split at commas outside brackets: `relu,max(x, 0)` holds two."""
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


def columns_of(text: str | None) -> list[str]:
    """Split the names of columns at commas; a name that holds one stands in double quotes, as in a CSV file."""
    return [] if text is None else [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def rates_of(text: str) -> tuple[float, float]:
    """Parse the lowest and the highest learning rate, typed as LOW,HIGH.

    Raises:
        BadInput: it has another form.
    """
    low, comma, high = text.partition(",")
    try:
        return float(low), float(high if comma else low)
    except ValueError as error:
        raise BadInput(f"--rates must be LOW,HIGH, such as 1e-4,1e-2; got '{text}'.") from error


def levels_of(text: str) -> tuple[float, ...]:
    """Parse the sizes of the noise, typed as numbers separated by commas.

    Raises:
        BadInput: one of them is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise BadInput(f"--noise-levels must be numbers, such as 0.1,0.3,1; got '{text}'.") from error


def counts(text: str, *, of: str) -> list[int]:
    """Parse integers separated by commas, such as 1000000 or 1e6.

    Raises:
        BadInput: one of them is not an integer.
    """
    found = []
    for part in listed(text) or ():
        try:
            number = float(part)
        except ValueError:
            number = math.nan
        if not number.is_integer():
            raise BadInput(f"{of} must be integers, such as 1000 or 1e6; got '{part}'.")
        found.append(int(number))
    return found
