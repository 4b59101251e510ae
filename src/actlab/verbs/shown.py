"""What one activation is, in facts, as a program, and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlab.errors import ActlabError, BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input
from actlab.formula.text import text
from actlab.jsonable import plain
from actlab.verbs.catalogued import param_facts
from actlab.verbs.meaning import AnyActivation, meant


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
        "parameters": [param_facts(param) for param in act.params],
    }
    facts |= _facts_along_axis(act) if isinstance(act, AxisActivation) else _facts_of_each(act)
    facts["exactness"] = _exactness(act)
    facts |= {"source": act.source, "aliases": list(act.aliases), "note": act.note}
    return Shown(act, plain(facts))


def _exactness(act: AnyActivation) -> dict[str, Any]:
    """The worst error of each dtype and mode in units in the last place, as it was measured; empty if it was not."""
    from actlab.measure.accuracy.stored import kept

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
