"""The command `actlab certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json, Params, values_of
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import FAULT, JudgingAnswer, show_answer
from actlab.cli.progress import ProgressBar
from actlab.errors import BadInput

PLACE = Place(Panel.MEASUREMENTS, 1)


def command(
    formula: Annotated[
        str | None, typer.Argument(metavar="FORMULA", help="A name or a formula; omit it with --all.")
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="DTYPE", help="float32, float64, bfloat16 or float16.")] = "float32",
    mode: Annotated[str, typer.Option(metavar="MODE", help="Kernel mode: accurate or fast.")] = "accurate",
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Measure this implementation too: torch or composite; may be repeated."),
    ] = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Measure it under torch.compile too.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Measure it exported to ONNX Runtime too.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Measure the whole catalog and write its data file.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File that --all writes; by default the package's own data file."),
    ] = None,
    param: Params = None,
    json: Json = False,
) -> None:
    """Measure numerical accuracy: maximum ULP error, non-finite results, gradient underflow."""
    if every == (formula is not None):
        raise BadInput("certify requires one activation, by name or formula, or --all for the whole catalog.")
    answer: JudgingAnswer
    if formula is None:
        with ProgressBar(shown=True) as progress:
            answer = verbs.certify_all(output, progress=progress.advance)
    else:
        named = [*(against or ()), *["compiled"] * compiled, *["onnx"] * onnx]
        answer = verbs.certify(formula, dtype=dtype, mode=mode, against=named, **values_of(param))
    show_answer(answer, as_json=json)
    if not answer.is_well:
        raise typer.Exit(FAULT)
