"""The command `actlab bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json, counts, listed
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import STOPPED, say, show_answer
from actlab.cli.progress import ProgressBar

PLACE = Place(Panel.MEASUREMENTS, 2)


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="FORMULA", help="Names or formulas; common activations by default.")
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="LIST", help="Numbers of tensor elements, separated by commas.")
    ] = "1e5,1e6",
    dtype: Annotated[
        str, typer.Option(metavar="LIST", help="float32, float64, bfloat16, float16, separated by commas.")
    ] = "float32",
    threads: Annotated[
        str, typer.Option(metavar="LIST", help="Numbers of PyTorch threads, separated by commas.")
    ] = "1",
    mode: Annotated[str, typer.Option(metavar="LIST", help="Kernel modes: accurate, fast, or both.")] = "accurate",
    against: Annotated[
        str, typer.Option(metavar="LIST", help="Implementations to compare with: eager, compile, jax.")
    ] = "eager",
    json: Json = False,
) -> None:
    """Time activations on this machine, relative to a plain copy, beside PyTorch."""
    with ProgressBar(shown=True) as progress:
        answer = verbs.bench(
            [name for given in names or () for name in listed(given) or ()],
            sizes=counts(size, of="elements"),
            dtypes=listed(dtype) or (),
            threads=counts(threads, of="threads"),
            modes=listed(mode) or (),
            against=listed(against) or (),
            progress=progress.advance,
        )
    show_answer(answer, as_json=json)
    if answer.stopped:
        say("Interrupted; showing the rows measured so far.")
        raise typer.Exit(STOPPED)
