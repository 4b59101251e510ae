"""Commands about one activation: list, show, gain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Formula, Json, Params, values_of
from actlab.cli.printed import show_answer


def list_(
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    search: Annotated[str | None, typer.Option(help="Only those with this in name, alias or summary.")] = None,
    json: Json = False,
) -> None:
    """All activations, with family, parameters and source."""
    show_answer(verbs.listing(family=family, search=search), as_json=json)


def show(
    formula: Formula,
    param: Params = None,
    source: Annotated[
        str | None, typer.Option(help="Print it as a program that needs no actlab: torch, numpy, mpmath or latex.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it and its derivative to this .svg or .png file.")] = None,
    json: Json = False,
) -> None:
    """What one activation is: formula, derivative, range, kinks, gains, source."""
    values = values_of(param)
    if plot is not None:
        typer.echo(f"drawn to {verbs.draw(formula, plot, **values)}", err=True)
    if source is not None:
        show_answer(verbs.source(formula, source, **values), as_json=json)
    else:
        show_answer(verbs.show(formula, **values), as_json=json)


def gain(
    formula: Formula,
    q: Annotated[float, typer.Option(help="The variance of the activation's input.")] = 1.0,
    kind: Annotated[str, typer.Option(help="second-moment, variance or backward.")] = "second-moment",
    param: Params = None,
    json: Json = False,
) -> None:
    """The factor that keeps a signal's size through an activation."""
    show_answer(verbs.gain(formula, q=q, kind=kind, **values_of(param)), as_json=json)
