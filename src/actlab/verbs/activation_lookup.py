"""Find the activation that a text names: one of the catalog, a formula, or one of the user's own file."""

from __future__ import annotations

from typing import Any

from actlab.catalog.index import get
from actlab.catalog.own_file import from_own_file, names_own_file
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.param import Param

AnyActivation = Activation | AxisActivation


def activation_named(text: str, **params: float) -> AnyActivation:
    """Return the activation that `actlab.get` finds, or the one that `file.py:name` declares.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`; or the file declares no such activation.
    """
    return get(from_own_file(text) if names_own_file(text) else text, **params)


def param_facts(param: Param) -> dict[str, Any]:
    """Return a parameter as plain values."""
    return {
        "name": param.name,
        "value": param.value,
        "trainable": param.trainable,
        "bounds": param.bounds(),
        "random": param.sampler is not None,
    }
