"""What actlab can be asked, for every face: plain values in, one frozen answer out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlab.catalog.index import CATALOG, get
from actlab.catalog.own_file import from_own_file, names_own_file
from actlab.errors import ActlabError, BadFormula, BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input
from actlab.formula.param import Param
from actlab.formula.text import text
from actlab.plain import plain

if TYPE_CHECKING:
    from actlab.measure.answer import Certified, CertifiedAll
    from actlab.measure.memory import Memory
    from actlab.measure.speed_answer import Bench
    from actlab.study.comparison import Comparison
    from actlab.train.task import Task

AnyActivation = Activation | AxisActivation


def meant(text: str, **params: float) -> AnyActivation:
    """The activation that a text means: what `actlab.get` finds, or one of the user's own file, `file.py:name`.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`; and a file that declares no such activation.
    """
    return get(from_own_file(text) if names_own_file(text) else text, **params)


@dataclass(frozen=True)
class Listing:
    """Activations of the catalog."""

    activations: tuple[AnyActivation, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """One object an activation."""
        return [
            {
                "name": act.name,
                "family": act.family,
                "inputs": list(act.inputs),
                "parameters": [_param(param) for param in act.params],
                "aliases": list(act.aliases),
                "source": act.source,
                "summary": act.summary,
            }
            for act in self.activations
        ]

    def lines(self) -> list[str]:
        """The names in columns, by family."""
        lines: list[str] = []
        width = max((len(act.name) for act in self.activations), default=0)
        family = ""
        for act in self.activations:
            if act.family != family:
                family = act.family
                lines += ["", family.replace("_", " ")]
            lines.append(f"  {act.name:<{width}}  {act.summary}")
        return [*lines[1:], "", f"{len(self.activations)} activations; `actlab show NAME` tells more."]


def listing(*, family: str | None = None, search: str | None = None) -> Listing:
    """The activations of the catalog, all or some.

    Raises:
        BadInput: there is no such family.
    """
    families = list(dict.fromkeys(act.family for act in CATALOG.values()))
    if family is not None and family not in families:
        raise BadInput(f"there is no family '{family}'; there are {', '.join(families)}.")
    chosen = [act for act in CATALOG.values() if family in (None, act.family)]
    if search is not None:
        chosen = [act for act in chosen if search.lower() in " ".join((act.name, act.summary, *act.aliases)).lower()]
    return Listing(tuple(chosen))


@dataclass(frozen=True)
class Shown:
    """What one activation is."""

    activation: AnyActivation
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Formula, derivative, properties, gains, source."""
        return self.facts

    def lines(self) -> list[str]:
        """The facts, one a line."""
        from actlab.report.shown import shown_lines

        return shown_lines(self.facts)


def show(formula: str, **params: float) -> Shown:
    """What one activation is: everything that is known about it or follows from its formula.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
    """
    act = meant(formula, **params)
    facts: dict[str, Any] = {
        "name": act.name,
        "summary": act.summary,
        "family": act.family,
        "inputs": list(act.inputs),
        "parameters": [_param(param) for param in act.params],
    }
    facts |= _facts_along_axis(act) if isinstance(act, AxisActivation) else _facts_of_each(act)
    facts["exactness"] = _exactness(act)
    facts |= {"source": act.source, "aliases": list(act.aliases), "note": act.note}
    return Shown(act, plain(facts))


def _exactness(act: AnyActivation) -> dict[str, Any]:
    """The worst error of each dtype and mode in units in the last place, as it was measured; empty if it was not."""
    from actlab.measure.stored import kept

    return {} if isinstance(act, AxisActivation) else kept(act)


def _facts_along_axis(act: AxisActivation) -> dict[str, Any]:
    return {
        "formula": text(act.expression),
        "derivative": f"a matrix; times a vector v, with y the output: {text(act.jvp)}",
        "latex": _latex(act),
        "range": {"lower": act.lower, "upper": act.upper},
        "limits": {"left": None, "right": None},
        "minimum": None,
        "kinks": [],
        "lipschitz": None,
        "monotone": None,
        "gains": {"second_moment": None, "variance": None, "backward": None},
        "unknown": {"gains": "it acts along an axis: its gain depends on how many values the axis has"},
    }


def _facts_of_each(act: Activation) -> dict[str, Any]:
    from actlab.theory.properties import properties

    facts: dict[str, Any] = properties(act).to_json()
    unknown, _ = facts.pop("unknown"), facts.pop("formula")
    gains, missing = _gains(act)
    # parameters by name, as a paper prints them; their values stand beside
    derivatives = {name: text(derivative(act.expression, Input(name))) for name in act.inputs}
    return {
        "formula": text(act.expression),
        "derivative": next(iter(derivatives.values())),
        "derivatives": derivatives,
        "latex": _latex(act),
        **facts,
        "gains": gains,
        "unknown": unknown | missing,
    }


def _gains(act: Activation) -> tuple[dict[str, float | None], dict[str, str]]:
    from actlab.theory.gains import gain as gain_of

    gains: dict[str, float | None] = {}
    missing: dict[str, str] = {}
    for kind in ("second-moment", "variance", "backward"):
        name = kind.replace("-", "_")
        try:
            gains[name] = gain_of(act, kind=kind)
        except ActlabError as error:
            gains[name] = None
            missing[f"gains.{name}"] = str(error)
    return gains, missing


def _latex(act: AnyActivation) -> str:
    from actlab.lower.to_latex import latex

    return latex(act.expression)


def _param(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "value": param.value,
        "trainable": param.trainable,
        "bounds": param.bounds(),
        "random": param.sampler is not None,
    }


@dataclass(frozen=True)
class Source:
    """A formula as a program."""

    target: str
    text: str

    def to_json(self) -> dict[str, str]:
        """Target and text."""
        return {"target": self.target, "source": self.text}

    def lines(self) -> list[str]:
        """The text."""
        return self.text.rstrip("\n").split("\n")


def source(formula: str, target: str, **params: float) -> Source:
    """The activation and its derivative as a program that runs without actlab, or as LaTeX.

    Raises:
        CannotLower: there is no such target, or it cannot spell the formula.
    """
    act = meant(formula, **params)
    if target == "latex":
        return Source(target, _latex(act))
    from actlab.lower.standalone import standalone

    return Source(target, standalone(act, target))


def draw(formula: str, path: Path, **params: float) -> Path:
    """The path of a picture of the activation and its derivative, drawn there as SVG or PNG.

    Raises:
        BadInput: the file's name ends in neither .svg nor .png, or the activation has no single input.
    """
    act = meant(formula, **params)
    if isinstance(act, AxisActivation) or len(act.inputs) > 1:
        raise BadInput(f"{act.name} is no curve: only an activation of one input can be drawn.")
    from actlab.report.curve import draw_curve

    return draw_curve(act, path)


@dataclass(frozen=True)
class Gain:
    """A gain, and what it is a gain of."""

    formula: str
    kind: str
    q: float
    gain: float

    def to_json(self) -> dict[str, Any]:
        """The four of them."""
        plainly: dict[str, Any] = plain(self)
        return plainly

    def lines(self) -> list[str]:
        """One sentence."""
        return [f"{self.gain:.10g}  ({self.kind} gain of {self.formula} at q = {self.q:g})"]


def gain(formula: str, *, q: float = 1.0, kind: str = "second-moment", **params: float) -> Gain:
    """The factor that keeps a signal's size through an activation.

    Raises:
        NoMoment: the moment does not exist.
        BadInput: q is not positive, or there is no such kind.
    """
    from actlab.theory.gains import gain as gain_of

    act = meant(formula, **params)
    if isinstance(act, AxisActivation):
        raise BadFormula(f"{act.name} acts along an axis: its gain depends on how many values the axis has.")
    return Gain(act.label, kind, float(q), gain_of(act, q=q, kind=kind))


def certify(
    formula: str, *, dtype: str = "float32", mode: str = "accurate", against: Sequence[str] = (), **params: float
) -> Certified:
    """How exact the program of an activation is, measured on this machine.

    Args:
        formula: a name, a formula, or `file.py:name`.
        dtype: float32, float64, bfloat16 or float16.
        mode: accurate or fast.
        against: what else is measured at the same points: torch, composite, compiled, onnx.
        params: values for its parameters.

    Raises:
        UnknownActivation, BadFormula, BadParam, BadInput, MissingExtra: the message says what to mend.
    """
    from actlab.measure.answer import Certified
    from actlab.measure.certificate import certificate

    act = meant(formula, **params)
    return Certified(certificate(act, dtype=dtype, mode=mode, against=against))


def certify_all(output: Path | None = None, *, progress: Callable[[int, int, float | None, str], None]) -> CertifiedAll:
    """The certificates of the whole catalog, in every dtype and mode, written to the package's data file or `output`.

    Raises:
        BadInput: the file cannot be written.
    """
    from actlab.measure.generate import certified_all

    return certified_all(output, progress=progress)


def bench(names: Sequence[str] = (), **options: Any) -> Bench:
    """How fast activations are on this machine, in units of a plain copy, beside PyTorch.

    Args:
        names: names, formulas, or `file.py:name`; a handful of common ones if there are none.
        options: as for `actlab.measure.speed_answer.bench`: sizes, dtypes, threads, modes, against, progress.

    Raises:
        UnknownActivation, BadFormula, BadInput: the message says what to mend.
    """
    named = {name: meant(name) for name in names}
    from actlab.measure.speed_answer import USUAL  # PyTorch is loaded once the names are known to be right
    from actlab.measure.speed_answer import bench as measured

    return measured(named or {name: meant(name) for name in USUAL}, **options)


def memory(
    data: str | Path | Task | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    compiled: bool = True,
    progress: Callable[[int, int, float | None, str], None] | None = None,
) -> Memory:
    """What one training step of a task's model keeps for backward, as it is and with few-bit memory.

    Args:
        data: a table's path, `file.py:function`, or a `Task`.
        target: the table's column that is to be predicted.
        task: the name of a built-in task; without it and `data`, the first.
        compiled: measure under torch.compile too.
        progress: is told after every choice: how many are done, of how many, seconds left if known, which.

    Raises:
        BadTask, BadTable, BadInput: the message says what to mend.
    """
    from actlab.measure.memory import memory as measured

    return measured(_task(data, target=target, task=task, purpose="measure"), compiled=compiled, progress=progress)


@dataclass(frozen=True)
class Tasks:
    """The built-in tasks."""

    rows: tuple[tuple[str, str], ...]

    def to_json(self) -> list[dict[str, str]]:
        """One object a task."""
        return [{"name": name, "about": about} for name, about in self.rows]

    def lines(self) -> list[str]:
        """One line a task."""
        width = max(len(name) for name, _ in self.rows)
        return [f"{name:<{width}}  {about}" for name, about in self.rows]


def tasks() -> Tasks:
    """The built-in tasks that `advise` takes by name."""
    from actlab.train.builtin import TASKS

    return Tasks(tuple((name, builtin.sentence) for name, builtin in TASKS.items()))


@dataclass(frozen=True)
class Advice:
    """Which activation to use for a task, how sure that is, and what it rests on.

    Attributes:
        comparison: all that was planned and measured.
        report: the path of the HTML report, where one was written.
    """

    comparison: Comparison
    report: Path | None = None

    @property
    def verdict(self) -> str:
        """What to do, in words."""
        return self.comparison.verdict

    def to_json(self) -> dict[str, Any]:
        """Task, arms, verdict, report, and all that was planned and measured."""
        found = self.comparison.to_json()
        return {
            "task": found.pop("task"),
            "arms": [_arm(row) for row in found.pop("arms")],
            "verdict": found.pop("verdict"),
            "report": None if self.report is None else str(self.report),
            **found,
        }

    def lines(self) -> list[str]:
        """The table of arms, the verdict, where the report lies."""
        from actlab.report.terminal import comparison_lines

        lines = comparison_lines(self.comparison)
        return lines if self.report is None else [*lines, "", f"Report: {self.report}"]


def _arm(row: dict[str, Any]) -> dict[str, Any]:
    """An arm in JSON: its `p` is the one that the verdict rests on, after Holm."""
    difference = row["difference"]
    if difference is None:
        return row
    raw, adjusted = difference["p"], difference["adjusted_p"]
    return {**row, "difference": {**difference, "p": adjusted, "unadjusted_p": raw}}


def advise(
    data: str | Path | Task | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    activations: Sequence[str | Activation] | None = None,
    report: str | Path | None = None,
    command: str = "",
    **options: Any,
) -> Advice:
    """Which activation to use for a task: the main job, on a table, a task file, a built-in task or a `Task`.

    Args:
        data: a table's path, `file.py:function`, or a `Task`.
        target: the table's column that is to be predicted.
        task: the name of a built-in task; without it and `data`, the first.
        activations: the candidates: names, formulas, `file.py:name`, or activations; eight common ones if left out.
        report: where the HTML report goes; none is written if left out.
        command: what was typed, for the report.
        options: as for `actlab.advice.advise`: seeds, budget, jobs, seed, init, store, resume, ...

    Raises:
        BadTask, BadTable, BadStudy, UnknownActivation, BadFormula: the message says what to mend.
    """
    from actlab import advice as journey
    from actlab.report.written import check_place

    if report is not None:
        check_place(Path(report))
    chosen = _task(data, target=target, task=task, purpose="advise on")
    candidates = None if activations is None else [_candidate(one) for one in activations]
    comparison = journey.advise(chosen, activations=candidates, **options)
    if report is None:
        return Advice(comparison)
    from actlab.report.page import write_report

    own = {one.name: one for one in candidates or () if isinstance(one, Activation)}
    path = write_report(comparison, Path(report), provenance=_provenance(command), own=own)
    return Advice(comparison, path)


def _task(data: str | Path | Task | None, *, target: str | None, task: str | None, purpose: str) -> Task:
    """The task that was handed over or named."""
    from actlab.advice import chosen_task
    from actlab.train.task import Task

    if data is not None and not isinstance(data, str | Path | Task):
        found = type(data).__name__
        raise BadInput(f"what to {purpose} is a table's path, file.py:function or a Task; got {found}.")
    if isinstance(data, Task):
        return data
    return chosen_task(str(data) if isinstance(data, Path) else data, target=target, task=task)


def _candidate(one: str | Activation) -> str | Activation:
    """A name stays the text that was typed, so that the report calls it so."""
    if not isinstance(one, str) or not names_own_file(one):
        return one
    act = from_own_file(one)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{one} acts along an axis and cannot stand between two layers.")
    return act


def _provenance(command: str) -> dict[str, str]:
    """Where a report comes from, for its last lines."""
    versions = ", ".join(f"{package} {version(package)}" for package in ("actlab", "torch", "numpy"))
    made = {"Versions": f"Python {platform.python_version()}, {versions}", "Machine": platform.platform()}
    asked = {"Command": command} if command else {}
    return {**asked, **made, "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
