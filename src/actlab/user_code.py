"""Calling the user's code and importing the user's files; nothing else does either."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from actlab.errors import ActlabError, BadTask, shortened


@contextmanager
def their_code(what: str, *, error: type[ActlabError] = BadTask) -> Iterator[None]:
    """Report anything that the block raises as an actlab error that names `what`.

    The user's code may raise any exception or call `sys.exit`, so only this block catches them all; it should contain
    nothing but the call. Ctrl-C passes through.

    Raises:
        BadTask: the block raised; the message has the error's type, text and line. `error` replaces the type.
    """
    try:
        yield
    except ActlabError:
        raise
    except (Exception, SystemExit) as raised:
        text = shortened(str(raised), limit=160) or "no message"
        raise error(f"{what} raised {type(raised).__name__}: {text}{_place_of(raised)}") from raised


def imported(path: Path, *, error: type[ActlabError] = BadTask) -> ModuleType:
    """Import the user's file as if it were run from its own folder, so that it finds the files beside it.

    Raises:
        BadTask: the file is missing, is not a Python file, or raises. `error` replaces the type.
    """
    if not path.is_file():
        raise error(f"there is no file '{path}'. Write file.py:name.")
    spec = importlib.util.spec_from_file_location(f"actlab_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise error(f"'{path}' is not a Python file. Write file.py:name.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with their_code(f"'{path.name}', when imported,", error=error):
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def imported_module(name: str, *, error: type[ActlabError] = BadTask) -> ModuleType:
    """Import the user's module by its dotted name, from the working folder first.

    Raises:
        BadTask: the module is missing, or raises. `error` replaces the type.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        with their_code(f"'{name}', when imported,", error=error):
            return importlib.import_module(name)
    except error as raised:
        missing = raised.__cause__
        if isinstance(missing, ModuleNotFoundError) and name.startswith(str(missing.name)):
            raise error(f"there is no module '{name}', neither in the working folder nor installed.") from missing
        raise
    finally:
        sys.path.pop(0)


def _place_of(error: BaseException) -> str:
    """Return the innermost line of the traceback that belongs neither to an installed package nor to actlab."""
    place, trace, ours = "", error.__traceback__, str(Path(__file__).parent)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "site-packages" not in file and not file.startswith(("<", ours)):
            place = f" ({file.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
