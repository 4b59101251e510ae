"""The exact command that goes on with a comparison."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from actlab.cli.printed import say
from actlab.study.secrets import HIDDEN, without_secrets


def resumed(arguments: Sequence[str], *, seeds: int | None = None) -> str:
    """Return a command line that continues a stored study, without passwords.

    Args:
        arguments: what was typed after `actlab`.
        seeds: the number of seeds to go on to; by default as typed.

    Example:
        >>> resumed(["advise", "--seeds", "9", "--store", "my runs.db"], seeds=27)
        "actlab advise --store 'my runs.db' --seeds 27 --resume"
    """
    kept, values = [], iter(arguments)
    for word in values:
        if seeds is not None and word == "--seeds":
            next(values, None)
        elif word != "--resume" and not (seeds is not None and word.startswith("--seeds=")):
            kept.append(without_secrets(word))
    more = [] if seeds is None else ["--seeds", str(seeds)]
    return shlex.join(["actlab", *kept, *more, "--resume"])


def say_how_to_go_on(seeds: int | None) -> None:
    """Say the command that adds seeds to the study that was just run; nothing if `seeds` is None."""
    if seeds is not None:
        say(f"To settle what is undecided: {_typed(seeds=seeds)}")


def say_interrupted(store: str) -> None:
    """Say where finished runs are stored, if any are, and the command that continues."""
    from actlab.study.database import sqlite_file  # imports SQLAlchemy

    file = sqlite_file(store)
    if file is not None and not file.exists():
        say("Interrupted before the first run; nothing is stored.")
        return
    say(f"Interrupted. Finished runs are stored in {without_secrets(store)}. To continue: {_typed()}")


def _typed(*, seeds: int | None = None) -> str:
    command = resumed(sys.argv[1:], seeds=seeds)
    return f"{command} (with the password instead of {HIDDEN})" if HIDDEN in command else command
