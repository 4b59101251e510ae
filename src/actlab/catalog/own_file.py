"""An activation from the user's own file: `file.py:name`, or `file.py` where it declares one alone."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from actlab.catalog.index import CATALOG
from actlab.errors import BadFormula
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.user_code import imported


def names_own_file(text: object) -> bool:
    """Return whether the text names a file of the user's, rather than an activation or a formula."""
    return isinstance(text, str) and (".py:" in text or text.rstrip().endswith(".py"))


def from_own_file(text: str) -> Activation | AxisActivation:
    """Return the activation that the file declares under this name. The file is run: it is the user's own program.

    `actlab.get` does not do this, so that a text from outside can never run a file.

    Raises:
        BadFormula: the file is missing or raises, declares no such activation, or declares several and none is named.
    """
    path, _, name = text.strip().rpartition(":") if ".py:" in text else (text.strip(), "", "")
    module = imported(Path(path), error=BadFormula)
    declared = {key: value for key, value in vars(module).items() if isinstance(value, Activation | AxisActivation)}
    if not name:
        return _only(path, {key: act for key, act in declared.items() if CATALOG.get(act.name) is not act})
    if name not in declared:
        near = get_close_matches(name, declared, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"It declares {', '.join(declared) or 'none'}."
        raise BadFormula(f"'{path}' declares no activation '{name}'. {hint}")
    return declared[name]


def _only(path: str, declared: Mapping[str, Activation | AxisActivation]) -> Activation | AxisActivation:
    if not declared:
        raise BadFormula(f"'{path}' declares no activation. Declare one with @actlab.activation.")
    if len(declared) > 1:
        first = next(iter(declared))
        raise BadFormula(f"'{path}' declares {', '.join(declared)}; name one of them, such as {path}:{first}.")
    return next(iter(declared.values()))
