"""The properties of an activation: stored for the catalog, computed for any other formula.

How each is established, and to what tolerance, stands in docs/properties.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.theory.record import Properties

DATA = "properties.json"


def properties(formula: str | Activation | AxisActivation, **params: float) -> Properties:
    """Return the range, limits, extrema, kinks, derivatives and symmetry of an activation.

    Args:
        formula: an activation, its name, or a formula as text.
        params: values for the activation's parameters.

    Raises:
        UnknownActivation: there is no activation of this name.
        BadFormula: the text is not a formula.
        BadParam: a parameter is unknown or out of its bounds.

    Example:
        >>> properties("relu").kinks[0].derivative
        0.0
    """
    return _known(get(formula, **params))


@lru_cache(maxsize=256)
def _known(act: Activation | AxisActivation) -> Properties:
    found = stored().get(act.key)
    if found is not None:
        return Properties.from_json({**found, "formula": act.label})
    from actlab.theory.compute_properties import established  # only what is not stored needs mpmath and intervals

    return established(act)


@cache
def stored() -> Mapping[str, Any]:
    """Return the stored properties of the catalog, by the activation's key."""
    file = resources.files("actlab.theory") / DATA
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
