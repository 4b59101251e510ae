"""The command line: text in, a verb called, its answer shown."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from actlab import verbs
from actlab.errors import ActlabError, BadInput, BadParam

app = typer.Typer(
    name="actlab",
    help="The workbench for the activation functions of a neural network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FAULT = 1  # what was asked for was measured, and a fault was found
STOPPED = 130  # what a shell reports of a program ended by Ctrl-C

Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter, such as beta=1.5; may be repeated."),
]
Formula = Annotated[
    str, typer.Argument(help="A name ('gelu', 'keras:leaky_relu') or a formula ('x*sigmoid(1.702*x)').")
]


class Answer(Protocol):
    """What every verb gives back."""

    def to_json(self) -> Any:
        """The answer as plain values."""

    def lines(self) -> list[str]:
        """The answer for reading."""


class CertifyAnswer(Answer, Protocol):
    """An answer that may be that a bound is not kept."""

    @property
    def is_well(self) -> bool:
        """Whether every bound is kept."""


def show_answer(answer: Answer, *, as_json: bool) -> None:
    """Print the answer to standard output."""
    if as_json:
        typer.echo(json.dumps(answer.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo("\n".join(answer.lines()))


@app.command("list")
def list_(
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    search: Annotated[str | None, typer.Option(help="Only those with this in name, alias or summary.")] = None,
    json: Json = False,
) -> None:
    """All activations, with family, parameters and source."""
    show_answer(verbs.listing(family=family, search=search), as_json=json)


@app.command()
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
    values = _values(param)
    if plot is not None:
        typer.echo(f"drawn to {verbs.draw(formula, plot, **values)}", err=True)
    if source is not None:
        show_answer(verbs.source(formula, source, **values), as_json=json)
    else:
        show_answer(verbs.show(formula, **values), as_json=json)


@app.command()
def gain(
    formula: Formula,
    q: Annotated[float, typer.Option(help="The variance of the activation's input.")] = 1.0,
    kind: Annotated[str, typer.Option(help="second-moment, variance or backward.")] = "second-moment",
    param: Params = None,
    json: Json = False,
) -> None:
    """The factor that keeps a signal's size through an activation."""
    show_answer(verbs.gain(formula, q=q, kind=kind, **_values(param)), as_json=json)


@app.command()
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
    answer: CertifyAnswer
    if formula is None:
        with _Progress(shown=True) as progress:
            answer = verbs.certify_all(output, progress=progress.advance)
    else:
        named = [*(against or ()), *["compiled"] * compiled, *["onnx"] * onnx]
        answer = verbs.certify(formula, dtype=dtype, mode=mode, against=named, **_values(param))
    show_answer(answer, as_json=json)
    if not answer.is_well:
        raise typer.Exit(FAULT)


@app.command()
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
    with _Progress(shown=True) as progress:
        answer = verbs.bench(
            [name for given in names or () for name in _listed(given) or ()],
            sizes=_counts(size, of="elements"),
            dtypes=_listed(dtype) or (),
            threads=_counts(threads, of="threads"),
            modes=_listed(mode) or (),
            against=_listed(against) or (),
            progress=progress.advance,
        )
    show_answer(answer, as_json=json)
    if answer.stopped:
        typer.echo("Stopped. These are the rows that were done.", err=True)
        raise typer.Exit(STOPPED)


@app.command()
def memory(
    data: Annotated[
        str | None, typer.Argument(help="A task (file.py:make_task) or a table (data.csv, with --target).")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The table's column that is to be predicted.")] = None,
    task: Annotated[str | None, typer.Option(help="A built-in task; `actlab tasks` lists them.")] = None,
    compiled: Annotated[bool, typer.Option(help="Measure under torch.compile too, some seconds a choice.")] = True,
    json: Json = False,
) -> None:
    """What a model's activations keep for backward, and what fewer bits would save."""
    with _Progress(shown=True) as progress:
        answer = verbs.memory(data, target=target, task=task, compiled=compiled, progress=progress.advance)
    show_answer(answer, as_json=json)


@app.command()
def tasks(json: Json = False) -> None:
    """The built-in tasks that `advise --task` takes."""
    show_answer(verbs.tasks(), as_json=json)


@app.command()
def advise(
    data: Annotated[
        str | None, typer.Argument(help="A table (data.csv, with --target) or a task (file.py:make_task).")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The table's column that is to be predicted.")] = None,
    task: Annotated[str | None, typer.Option(help="A built-in task; `actlab tasks` lists them.")] = None,
    activations: Annotated[str | None, typer.Option(help="Candidates, by comma; formulas are welcome.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Fresh seeds for the verdict; the fewest that can decide if left out.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Trials per arm for tuning: learning rates tried.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes that train at once; one a core if left out.")] = None,
    seed: Annotated[int, typer.Option(help="What every random number is drawn from.")] = 0,
    init: Annotated[str, typer.Option(help="as-is, or gain: weights drawn with each activation's own gain.")] = "as-is",
    store: Annotated[str, typer.Option(help="Where runs are kept: a file or a database URL.")] = "actlab-runs.db",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs that the store holds.")] = False,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("actlab-report.html"),
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no words before the run.")] = False,
    json: Json = False,
) -> None:
    """Which activation to use: inspect, compare fairly, verdict, report."""
    with _Progress(shown=not quiet) as progress:
        try:
            answer = verbs.advise(
                data,
                target=target,
                task=task,
                activations=_listed(activations),
                seeds=seeds,
                budget=budget,
                jobs=_cores() if jobs is None else jobs,
                seed=seed,
                init=init,
                store=store,
                resume=resume,
                report=None if no_report else report,
                command=shlex.join(["actlab", *sys.argv[1:]]),
                say=progress.say,
                progress=progress.advance,
            )
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(f"Stopped. What was done is kept in {store}; the same command with --resume goes on.", err=True)
            raise typer.Exit(STOPPED) from None
    show_answer(answer, as_json=json)


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


def _values(given: list[str] | None) -> dict[str, float]:
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


def _listed(text: str | None) -> list[str] | None:
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


def _counts(text: str, *, of: str) -> list[int]:
    """The whole numbers between commas, written as 1000000 or 1e6."""
    found = []
    for part in _listed(text) or ():
        try:
            number = float(part)
        except ValueError:
            number = math.nan
        if not number.is_integer():
            raise BadInput(f"{of} are whole numbers, such as 1000 or 1e6; got '{part}'.")
        found.append(int(number))
    return found


class _Progress:
    """A progress bar on standard error, made when the first trial is done and taken off on every way out."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self.bar: Any = None
        self.row: Any = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def say(self, line: str) -> None:
        """One line that stays."""
        if not self.shown:
            return
        if self.bar is not None:
            self.bar.console.print(line, markup=False, highlight=False)
        else:
            typer.echo(line, err=True)

    def advance(self, done: int, total: int, seconds_left: float | None, label: str) -> None:
        """Move the bar to `done` of `total`."""
        if not self.shown:
            return
        if self.bar is None:
            self._start(total)
        left = "" if seconds_left is None else f"{int(seconds_left // 60)}:{int(seconds_left % 60):02d} left"
        self.bar.update(self.row, completed=done, total=total, description=label, left=left)

    def _start(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(stderr=True),
        )
        self.row = self.bar.add_task("", total=total, left="")
        self.bar.start()


def _cores() -> int:
    """How many processors this process may use; where the system does not tell, how many there are."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
