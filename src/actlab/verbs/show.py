"""Show one activation: its facts, or its program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actlab.catalog.frameworks import FRAMEWORKS
from actlab.catalog.index import same_as
from actlab.display.answer import Displayed
from actlab.display.picture import Picture
from actlab.display.table import Table, of_facts
from actlab.errors import ActlabError, CannotLower
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input
from actlab.formula.text import text
from actlab.jsonable import plain
from actlab.lower.choose import SOURCES
from actlab.lower.standalone import standalone
from actlab.lower.to_latex import latex
from actlab.measure.accuracy.stored import kept
from actlab.report.shown import shown_lines
from actlab.theory.curve_picture import curve_picture
from actlab.theory.gains import gain as gain_of
from actlab.theory.properties import properties
from actlab.verbs.activation_lookup import AnyActivation, activation_named, param_facts


@dataclass(frozen=True)
class Shown(Displayed):
    """Everything known about one activation."""

    activation: AnyActivation
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return formula, derivative, properties, gains and source."""
        return self.facts

    def table(self) -> Table:
        """Return a row for each fact that is known."""
        left_out = {"name", "unknown", "latex", "latex_derivatives", "derivatives", "exactness"}
        return of_facts(self.facts["name"], {key: value for key, value in self.facts.items() if key not in left_out})

    def picture(self) -> Picture | None:
        """Return value and derivatives as curves; None for an activation along an axis."""
        return None if isinstance(self.activation, AxisActivation) else curve_picture([self.activation])

    def lines(self) -> list[str]:
        """Return the facts, one per line."""
        return shown_lines(self.facts)


def show(formula: str, **params: float) -> Shown:
    """Show everything that is known about an activation or follows from its formula.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
    """
    act = activation_named(formula, **params)
    facts: dict[str, Any] = {
        "name": act.name,
        "summary": act.summary,
        "family": act.family,
        "inputs": list(act.inputs),
        "parameters": [param_facts(param) for param in act.params],
    }
    facts |= _facts_along_axis(act) if isinstance(act, AxisActivation) else _facts_of_each(act)
    facts["exactness"] = _exactness(act)
    same = same_as(act)
    note = act.note if same is None else f"the same as {same}"
    facts |= {"source": act.source, "aliases": list(act.aliases), "elsewhere": _elsewhere(act)}
    facts |= {"note": note, "same_as": same}
    return Shown(act, plain(facts))


def _exactness(act: AnyActivation) -> dict[str, Any]:
    """Return the measured maximum ULP error for each dtype and mode; empty if none was measured."""
    return {} if isinstance(act, AxisActivation) else kept(act)


def _elsewhere(act: AnyActivation) -> dict[str, list[str]]:
    """Return what other frameworks call the activation with these parameters, by framework."""
    found: dict[str, list[str]] = {}
    for framework, names in FRAMEWORKS.items():
        same = [name for name, ours in names.items() if ours in {act.name, act.label}]
        if same:
            found[framework] = same
    return found


def _facts_along_axis(act: AxisActivation) -> dict[str, Any]:
    return {
        "formula": text(act.expression),
        "derivative": f"a matrix; times a vector v, with y the output: {text(act.jvp)}",
        "latex": latex(act.expression),
        "latex_derivatives": {},
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
    facts: dict[str, Any] = properties(act).to_json()
    unknown, _ = facts.pop("unknown"), facts.pop("formula")
    gains, missing = _gains(act)
    # parameters by name, as a paper prints them; their values stand beside
    derivatives = {name: text(derivative(act.expression, Input(name))) for name in act.inputs}
    return {
        "formula": text(act.expression),
        "derivative": next(iter(derivatives.values())),
        "derivatives": derivatives,
        "latex": latex(act.expression),
        "latex_derivatives": {name: latex(derivative(act.expression, Input(name))) for name in act.inputs},
        **facts,
        "gains": gains,
        "unknown": unknown | missing,
    }


def _gains(act: Activation) -> tuple[dict[str, float | None], dict[str, str]]:
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


@dataclass(frozen=True)
class Source:
    """A formula as a program."""

    target: str
    text: str

    def to_json(self) -> dict[str, str]:
        """Return target and text."""
        return {"target": self.target, "source": self.text}

    def lines(self) -> list[str]:
        """Return the program."""
        return self.text.rstrip("\n").split("\n")


def source(formula: str, target: str, **params: float) -> Source:
    """Print an activation and its derivative as a program that runs without actlab, or as LaTeX.

    Raises:
        CannotLower: the target is unknown, or it cannot express the formula.
    """
    act = activation_named(formula, **params)
    if target not in SOURCES:
        raise CannotLower(f"there is no target '{target}'; choose one of {', '.join(SOURCES)}.")
    return Source(target, latex(act.expression) if target == "latex" else standalone(act, target))
