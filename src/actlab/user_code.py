"""The one place where the user's own code is called, and where his own files are imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from actlab.errors import ActlabError, BadTask, shortened


@contextmanager
def their_code(what: str, *, error: type[ActlabError] = BadTask) -> Iterator[None]:
    """A block in which anything raised is reported as `what` having raised it.

    The user's code may raise any exception, or call `sys.exit`, so this block alone catches them all; nothing of
    ours but the call itself belongs inside it. Ctrl-C passes through.

    Raises:
        BadTask: the block raised (or the `error` that was named instead); the message names the error's type, its
            text and the line it came from.
    """
    try:
        yield
    except ActlabError:
        raise
    except (Exception, SystemExit) as raised:
        text = shortened(str(raised), limit=160) or "no message"
        raise error(f"{what} raised {type(raised).__name__}: {text}{_place_of(raised)}") from raised


def imported(path: Path, *, error: type[ActlabError] = BadTask) -> ModuleType:
    """The user's file as a module, as if it were run from its own folder, so that it finds the files beside it.

    Raises:
        BadTask: the file is missing, is no Python file, or raises (or the `error` that was named instead).
    """
    if not path.is_file():
        raise error(f"there is no file '{path}'; name one as file.py:name.")
    spec = importlib.util.spec_from_file_location(f"actlab_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise error(f"'{path}' is no Python file; name one as file.py:name.")
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
    """The user's module by its dotted name, looked for in the working folder first.

    Raises:
        BadTask: there is no such module, or it raises (or the `error` that was named instead).
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


def called_from(file: str, line: int, call: Callable[[], Any]) -> Any:
    """What the call gives, made as if it stood on this line of the user's file.

    Where a model is made of PyTorch's own modules alone, no line of the user's is on the stack when it runs; this one
    then is, and is what a finding points to.
    """
    names = {"call": call}
    exec(compile("\n" * (max(line, 1) - 1) + "given = call()", file, "exec"), names)
    return names["given"]


def _place_of(error: BaseException) -> str:
    """Where the error came from: the innermost line that is neither an installed package's nor ours."""
    place, trace, ours = "", error.__traceback__, str(Path(__file__).parent)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "site-packages" not in file and not file.startswith(("<", ours)):
            place = f" ({file.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
