"""The one door to optional packages."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from actlab.errors import MissingExtra


def need(module: str, *, extra: str) -> ModuleType:
    """The optional package, or an error that names the extra which brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # installed, but broken inside: show that
        raise MissingExtra(module, extra) from error
