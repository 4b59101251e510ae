"""What `advise`, `compare` and `report` share: the activations that are compared, and the end of the report."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from actlab.catalog.own_file import names_own_file
from actlab.errors import BadInput, BadParam
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.study.again import is_again, original_of
from actlab.study.arm_text import Variant, variant
from actlab.study.options import AdviseOptions
from actlab.study.secrets import command_without_secrets
from actlab.verbs.activation_lookup import activation_named

Choice = str | Activation | Variant
"""An arm as it is named: an activation, with or without factors."""


def with_activations(options: AdviseOptions, params: Mapping[str, float]) -> AdviseOptions:
    """Return the options with the user's own activations loaded; a name stays text, so that it is shown as typed.

    Args:
        options: the options.
        params: values for the parameters of activations that are typed as formulas.

    Raises:
        BadParam: no activation has one of the parameters.
        BadInput: an activation acts along an axis.
        BadStudy: a factor cannot be read.
    """
    arms = [variant(original_of(one)) for one in (*(options.activations or ()), *_control(options))]
    typed = [one for arm in arms for one in (arm.activation, *arm.groups.values())]
    words = {word for one in typed if isinstance(one, str) for word in re.findall(r"[A-Za-z_]\w*", one)}
    for name in params:
        if name not in words:
            raise BadParam(f"no candidate is a formula with the parameter '{name}'.")
    candidates = None if options.activations is None else [_with_loaded(one, params) for one in options.activations]
    against = None if options.against is None else _with_loaded(options.against, params)
    return replace(options, activations=candidates, against=against)


def own_activations(options: AdviseOptions) -> dict[str, Activation]:
    """Return the activations among the options that are objects, by name."""
    arms = [variant(original_of(one)) for one in (*(options.activations or ()), *_control(options))]
    return {arm.activation.name: arm.activation for arm in arms if isinstance(arm.activation, Activation)}


def _control(options: AdviseOptions) -> tuple[Choice, ...]:
    return () if options.against is None else (options.against,)


def _with_loaded(one: Choice, params: Mapping[str, float]) -> Choice:
    if isinstance(one, str) and is_again(one):
        return one
    arm = variant(one)
    activation = _loaded(arm.activation, params)
    groups = {group: _loaded(act, params) for group, act in arm.groups.items()}
    if activation is arm.activation and all(groups[group] is act for group, act in arm.groups.items()):
        return one
    return activation if not arm.factors else replace(arm, activation=activation, groups=groups)


def _loaded(one: str | Activation, params: Mapping[str, float]) -> str | Activation:
    own = {
        name: value
        for name, value in params.items()
        if isinstance(one, str) and re.search(rf"\b{re.escape(name)}\b", one)
    }
    if not isinstance(one, str) or not (own or names_own_file(one)):
        return one
    act = activation_named(one, **own)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{one} acts along an axis; an element-wise activation is required.")
    return act


def provenance(command: str) -> dict[str, str]:
    """Return command, versions, machine and date, for the end of a report."""
    versions = ", ".join(f"{package} {version(package)}" for package in ("actlab", "torch", "numpy"))
    environment = {"Versions": f"Python {platform.python_version()}, {versions}", "Machine": platform.platform()}
    typed = {"Command": command_without_secrets(command)} if command else {}
    return {**typed, **environment, "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
