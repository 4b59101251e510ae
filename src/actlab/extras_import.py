"""Importing optional packages."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from actlab.errors import MissingExtra


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or raise an error that names the extra that provides it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # installed, but broken inside: show that
        raise MissingExtra(module, extra) from error
