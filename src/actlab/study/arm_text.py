"""Arms as text: an activation, and factors that an arm has beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from actlab.catalog.own_file import names_own_file
from actlab.errors import BadStudy, shortened
from actlab.formula.activation import Activation
from actlab.sites.site import GROUPS
from actlab.train.options import Option

OWN = "own"
"""Stands for the model's own activation."""

INITS = ("as-is", "gain")
NORMS = ("none", "batch", "layer")

_SEPARATOR = re.compile(r"@(?=\s*[A-Za-z_]\w*\s*=)")
"""What precedes NAME=VALUE; another @ may be part of the path of a file."""


@final
@dataclass(frozen=True)
class Variant:
    """An arm: an activation, and what else it changes.

    Attributes:
        activation: a name, a formula or an activation; "own" for the model's own.
        groups: other activations for groups of sites: hidden, gate, block, output.
        init: "as-is" or "gain"; empty for what the study has.
        norm: "none", "batch" or "layer": a normalization before every activation that is replaced.
        clip: the norm to which gradients are clipped.
        options: options of the model's factory, such as depth and width.

    Example:
        >>> str(Variant("gelu", clip=1.0, groups={"gate": "sigmoid"}, options={"depth": 8}))
        'gelu@clip=1@gate=sigmoid@depth=8'
    """

    activation: str | Activation
    groups: Mapping[str, str | Activation] = field(default_factory=dict)
    init: str = ""
    norm: str = "none"
    clip: float | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def factors(self) -> str:
        """The factors as text, in a fixed order; empty if there are none."""
        named: dict[str, object] = {
            "init": self.init or None,
            "norm": None if self.norm == "none" else self.norm,
            "clip": None if self.clip is None else f"{self.clip:g}",
            **{group: _name(self.groups[group]) for group in GROUPS if group in self.groups},
            **{name: _option_text(value) for name, value in self.options.items()},
        }
        return "".join(f"@{name}={value}" for name, value in named.items() if value is not None)

    def __str__(self) -> str:
        return f"{_name(self.activation)}{self.factors}"


def variant(one: str | Activation | Variant) -> Variant:
    """Return an arm as it was named, its text parsed.

    Raises:
        BadStudy: a factor is not NAME=VALUE, is set twice, or has a value that it cannot have.

    Example:
        >>> variant("tanh@init=gain@norm=batch@depth=8").options
        {'depth': 8}
    """
    return one if isinstance(one, Variant) else Variant(one) if isinstance(one, Activation) else _parsed(one)


def activation_of(name: str) -> str:
    """Return the activation of an arm that is named by its text.

    Example:
        >>> activation_of("max(x, 0)@clip=1"), activation_of("relu")
        ('max(x, 0)', 'relu')
    """
    return _SEPARATOR.split(name)[0].strip()


def described(name: str) -> str:
    """Say in a sentence what the factors of an arm of this name are; empty if it has none.

    Example:
        >>> described("relu@norm=batch@clip=1")
        'relu@norm=batch@clip=1: batch normalization before each activation; gradients clipped to norm 1.'
    """
    try:
        found = variant(name)
    except BadStudy:  # a name that only looks like an arm's text
        return ""
    parts = [_NORMS[found.norm]] if found.norm != "none" else []
    parts += [f"gradients clipped to norm {found.clip:g}"] if found.clip is not None else []
    parts += [_INITS[found.init]] if found.init else []
    parts += [f"{_name(act)} in the {group} sites" for group, act in found.groups.items()]
    parts += [f"{option} {_option_text(value)}" for option, value in found.options.items()]
    return f"{name}: {'; '.join(parts)}." if parts else ""


_NORMS: Mapping[str, str] = {
    "batch": "batch normalization before each activation",
    "layer": "layer normalization before each activation",
}
_INITS: Mapping[str, str] = {
    "as-is": "weights as the model initializes them",
    "gain": "weights drawn with the gain of its activation",
}


def _parsed(text: str) -> Variant:
    first, *rest = _SEPARATOR.split(text)
    values: dict[str, str] = {}
    for each in rest:
        name, _, value = (part.strip() for part in each.partition("="))
        if name in values:
            raise BadStudy(f"the arm '{shortened(text)}': {name} must be set once; got {values[name]} and {value}.")
        values[name] = value
    for each in (first, *values.values()):
        if "@" in each and not names_own_file(each):
            raise BadStudy(
                f"the arm '{shortened(text)}': a factor must be NAME=VALUE; got '{shortened(each)}'."
                " Write it as relu@clip=1."
            )
    if not first.strip():
        raise BadStudy(f"the arm '{shortened(text)}': an activation must come first; got none. Write relu, or own.")
    lacking = next((name for name, value in values.items() if not value), None)
    if lacking is not None:
        raise BadStudy(f"the arm '{shortened(text)}': {lacking} must have a value; got none. Write {lacking}=VALUE.")
    clip = values.pop("clip", None)
    try:
        norm = None if clip is None else float(clip)
    except ValueError:
        norm = math.nan
    try:
        return Variant(
            first.strip(),
            groups={name: values.pop(name) for name in GROUPS if name in values},
            init=values.pop("init", ""),
            norm=values.pop("norm", "none"),
            clip=norm,
            options={name: _option(value) for name, value in values.items()},
        )
    except BadStudy as error:
        shown = str(error) if clip is None or not math.isnan(norm or 0.0) else str(error).replace("nan", clip)
        raise BadStudy(f"the arm '{shortened(text)}': {shown}") from error


def _option(text: str) -> Option:
    """Return the value that an option's text stands for: a number, true or false, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _option_text(value: Option) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(act: str | Activation) -> str:
    return act if isinstance(act, str) else act.name


def _check(one: Variant) -> None:
    for what, value, known in (("init", one.init or INITS[0], INITS), ("norm", one.norm, NORMS)):
        if value not in known:
            raise BadStudy(f"{what} must be one of {', '.join(known)}; got '{shortened(str(value))}'.")
    if one.clip is not None and not (isinstance(one.clip, int | float) and 0 < one.clip < math.inf):
        raise BadStudy(f"clip must be a positive number, the largest norm of a gradient; got {one.clip}.")
    for group in one.groups:
        if group not in GROUPS:
            raise BadStudy(f"a group of sites must be one of {', '.join(GROUPS)}; got '{shortened(group)}'.")
