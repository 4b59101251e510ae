"""An activation from the user's own file: `file.py:name`."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from actlab.errors import BadFormula
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.user_code import imported


def names_own_file(text: str) -> bool:
    """Whether the text means an activation in a file, and not a name or a formula."""
    return ".py:" in text


def from_own_file(text: str) -> Activation | AxisActivation:
    """The activation that the file declares under this name. The file is run: it is the user's own program.

    `actlab.get` does not do this, so that a text from outside can never run a file.

    Raises:
        BadFormula: the file is missing or raises, or declares no such activation.
    """
    path, _, name = text.rpartition(":")
    module = imported(Path(path), error=BadFormula)
    declared = {key: value for key, value in vars(module).items() if isinstance(value, Activation | AxisActivation)}
    if name not in declared:
        near = get_close_matches(name, declared, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else f" It declares {', '.join(declared) or 'none'}."
        raise BadFormula(f"'{path}' declares no activation '{name}'.{hint}")
    return declared[name]
