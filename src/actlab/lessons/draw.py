"""The data of a figure: what the page needs to draw it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final
from urllib.parse import urlencode

from actlab.catalog.index import CATALOG, get
from actlab.catalog.own_file import names_own_file
from actlab.errors import BadFormula, BadInput
from actlab.formula.activation import Activation
from actlab.jsonable import plain
from actlab.lessons import figures, training_figures
from actlab.lessons.lines import Lines
from actlab.lessons.state import State, finite
from actlab.telemetry.playground import recorded
from actlab.train.playground.state import parse
from actlab.verbs.program import program_of

FIGURES: Mapping[str, Callable[[State], Lines]] = {**figures.FIGURES, **training_figures.FIGURES}
"""Every figure of computed lines, by name."""

SHOWN = ("value", "derivative")
MOST_CURVES = 8

# Keys of a function figure that are not parameters of its formulas.
_OWN = frozenset({"f", "from", "to", "show", "point", "slider", "low", "high"})
_WORD = re.compile(r"[a-z_]\w*", re.IGNORECASE)


@final
@dataclass(frozen=True)
class Slider:
    """A parameter that a reader may move."""

    name: str
    value: float
    least: float
    most: float


@final
@dataclass(frozen=True)
class Curve:
    """One activation of a function figure.

    Attributes:
        label: its name or formula.
        params: the names of the arguments of its program after x, each one of the figure's sliders.
        program: a JavaScript module that exports `f`.
    """

    label: str
    params: tuple[str, ...]
    program: str


def function(state: State) -> dict[str, Any]:
    """Return the data of a function figure.

    The keys are `f`, once or several times; `from` and `to`; `show`, one or both of value and derivative; `point`, at
    which x the point is first; `low` and `high`, the limits of the vertical axis; the value of any parameter by its
    name; and `slider=name:least:most` for where a reader may move it.

    Raises:
        BadInput, BadFormula, UnknownActivation, BadParam: the state is not one of a function figure.
    """
    start, end = state.number("from", -5), state.number("to", 5)
    if start >= end:
        raise BadInput(f"from must be less than to; got {start:g} and {end:g}.")
    show = [each for each in state.text("show", "value,derivative").split(",") if each]
    if not show or not set(show) <= set(SHOWN):
        raise BadInput(f"show must be one or both of {', '.join(SHOWN)}; got '{state.text('show')}'.")
    formulas = state.texts("f")
    if not 1 <= len(formulas) <= MOST_CURVES:
        raise BadInput(f"f: from 1 to {MOST_CURVES} activations are required; got {len(formulas)}.")
    acts = [activation_of(text, state) for text in formulas]
    curves = [
        Curve(text, tuple(param.name for param in act.params), program_of(act).text)
        for text, act in zip(formulas, acts, strict=True)
    ]
    limits = [state.number(name, 0.0) for name in ("low", "high")] if {"low", "high"} <= set(state.values) else None
    return {
        "from": start,
        "to": end,
        "show": show,
        "point": state.number("point", 1.0),
        "limits": limits,
        "sliders": plain(_sliders(acts, state)),
        "curves": plain(curves),
    }


def lines(state: State) -> dict[str, Any]:
    """Return the data of a figure of lines; `lines` names the function that computes them, other keys are its own.

    Raises:
        BadInput: there is no such function, or it refuses the state.
    """
    name = state.text("lines")
    if name not in FIGURES:
        raise BadInput(f"lines must be one of {', '.join(sorted(FIGURES))}; got '{name}'.")
    found: dict[str, Any] = plain(FIGURES[name](state))
    return found


def playground(state: State) -> dict[str, Any]:
    """Return the data of a playground figure that a server trains: none, if the state is one of the playground.

    Raises:
        BadInput: it is not.
    """
    parse(_training(state))
    return {}


@lru_cache(maxsize=64)
def recording(state: State, *, steps: int = 1_000) -> dict[str, Any]:
    """Return the data of a playground figure without a server: `frames` of its training.

    Raises:
        BadInput: the state is not one of the playground.
    """
    return {"frames": recorded(parse(_training(state)), steps)}


def _training(state: State) -> str:
    """Return the state without what the figure alone knows: which controls it offers."""
    return state.only([name for name in state.values if name != "controls"])


def workbench_address(kind: str, state: State) -> str:
    """Return the address of the page that shows the same and more; empty if there is none."""
    if kind == "playground":
        return f"/playground?{_training(state)}"
    shown = state.only(("f",)) if kind == "function" or state.texts("f") else ""
    return f"/function?{shown}" if shown else ""


def activation_of(text: str, state: State) -> Activation:
    """Return the activation of a figure, with the parameters that the figure's state names."""
    if names_own_file(text):
        raise BadFormula(f"a page runs no file; got '{text}'. Type the formula itself.")
    wanted = {param.name for param in CATALOG[text].params} if text in CATALOG else set(_WORD.findall(text))
    act = get(text, **{name: state.number(name, 0.0) for name in _params(state) if name in wanted})
    if not isinstance(act, Activation) or len(act.inputs) != 1:
        raise BadFormula(f"{text}: an activation of one input is required.")
    return act


def program_query(text: str, state: State) -> str:
    """Return the state of a figure that shows one of this figure's activations alone, with the same parameters."""
    return f"{urlencode({'f': text})}&{state.only(_params(state))}"


def _params(state: State) -> list[str]:
    return [name for name in state.values if name not in _OWN]


def _sliders(acts: Sequence[Activation], state: State) -> list[Slider]:
    ranges = dict(_range(text) for text in state.texts("slider"))
    found: dict[str, Slider] = {}
    for param in (param for act in acts for param in act.params):
        bottom, top = max(param.least, param.above), min(param.most, param.below)
        least, most = ranges.get(param.name, (max(bottom, param.value - 2), min(top, param.value + 2)))
        if least == param.above:
            least += 0.01 * (most - least)
        if not bottom <= least <= param.value <= most <= top:
            raise BadInput(
                f"slider {param.name}: limits around its value {param.value:g}, within {param.bounds()}, are required;"
                f" got {least:g} and {most:g}."
            )
        found.setdefault(param.name, Slider(param.name, param.value, least, most))
    return list(found.values())


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, *limits = text.split(":")
    if len(limits) != 2:
        raise BadInput(f"slider: name:least:most is required; got '{text}'.")
    return name, (finite(limits[0], f"slider {name}"), finite(limits[1], f"slider {name}"))
