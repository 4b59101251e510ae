"""What a text means: an activation of the catalog, a formula, or one of the user's own file."""

from __future__ import annotations

from actlab.catalog.index import get
from actlab.catalog.own_file import from_own_file, names_own_file
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation

AnyActivation = Activation | AxisActivation


def meant(text: str, **params: float) -> AnyActivation:
    """The activation that a text means: what `actlab.get` finds, or one of the user's own file, `file.py:name`.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`; and a file that declares no such activation.
    """
    return get(from_own_file(text) if names_own_file(text) else text, **params)
