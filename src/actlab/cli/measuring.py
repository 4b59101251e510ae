"""Commands that measure: certify, bench, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Params, TableOrTask, Target, counts, listed, values_of
from actlab.cli.printed import FAULT, STOPPED, JudgingAnswer, show_answer
from actlab.cli.progress import ProgressBar
from actlab.errors import BadInput


def certify(
    formula: Annotated[str | None, typer.Argument(help="A name or a formula; left out with --all.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, float64, bfloat16 or float16.")] = "float32",
    mode: Annotated[str, typer.Option(help="accurate or fast.")] = "accurate",
    against: Annotated[
        list[str] | None, typer.Option(help="Measure this beside it: torch or composite; may be repeated.")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Measure it under torch.compile too.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Measure it exported to ONNX Runtime too.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Measure the whole catalog, and write its data file.")] = False,
    output: Annotated[Path | None, typer.Option(help="Where --all writes; the package's own file if left out.")] = None,
    param: Params = None,
    json: Json = False,
) -> None:
    """How exact its program is: worst errors, what is not finite, where gradients end."""
    if every == (formula is not None):
        raise BadInput("certify one activation, by name or formula, or the whole catalog with --all.")
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


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Names or formulas; a handful if left out.")] = None,
    size: Annotated[str, typer.Option(help="Elements of the tensors, by comma.")] = "1e5,1e6",
    dtype: Annotated[str, typer.Option(help="float32, float64, bfloat16, float16, by comma.")] = "float32",
    threads: Annotated[str, typer.Option(help="How many PyTorch may use, by comma.")] = "1",
    mode: Annotated[str, typer.Option(help="Of actlab's kernels: accurate, fast, or both by comma.")] = "accurate",
    against: Annotated[str, typer.Option(help="Who else is timed: eager, compile, jax, by comma.")] = "eager",
    json: Json = False,
) -> None:
    """How fast activations are on this machine, in units of a plain copy, beside PyTorch."""
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
        typer.echo("Stopped. These are the rows that were done.", err=True)
        raise typer.Exit(STOPPED)


def memory(
    data: TableOrTask = None,
    target: Target = None,
    task: BuiltIn = None,
    compiled: Annotated[bool, typer.Option(help="Measure under torch.compile too, some seconds a choice.")] = True,
    json: Json = False,
) -> None:
    """What a model's activations keep for backward, and what fewer bits would save."""
    with ProgressBar(shown=True) as progress:
        answer = verbs.memory(data, target=target, task=task, compiled=compiled, progress=progress.advance)
    show_answer(answer, as_json=json)
