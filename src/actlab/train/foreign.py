"""The one place where the user's own code is called and whatever it raises becomes a one-line error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from actlab.errors import ActlabError, BadTask, shortened


@contextmanager
def their_code(what: str) -> Iterator[None]:
    """A block in which anything raised is reported as `what` having raised it.

    The user's code may raise any exception, so this block alone catches them all; nothing of ours but the
    call itself belongs inside it.

    Raises:
        BadTask: the block raised; the message names the error's type, its text and the line it came from.
    """
    try:
        yield
    except ActlabError:
        raise
    except Exception as error:
        text = shortened(str(error), limit=160) or "no message"
        raise BadTask(f"{what} raised {type(error).__name__}: {text}{_place_of(error)}") from error


def _place_of(error: Exception) -> str:
    """Where the error came from: the innermost line that does not belong to an installed package."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "site-packages" not in file and not file.startswith("<") and file != __file__:
            place = f" ({file.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
