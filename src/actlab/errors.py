"""The errors that actlab raises on purpose.

Each says what was asked, what was found and what to do. All share one ancestor, so that a program can
catch whatever actlab refuses, and each is also the built-in error it resembles::

    ActlabError
    ├── UnknownActivation (KeyError)     a name that is not in the catalog
    ├── BadFormula (ValueError)          text that is not a formula, or a formula that is not an activation
    ├── BadParam (ValueError)            a parameter that is unknown, missing or out of its bounds
    ├── CannotLower (NotImplementedError) a formula that a target cannot spell
    ├── NoKernels (RuntimeError)         machine code cannot be compiled on this machine
    ├── NoMoment (ArithmeticError)       a Gaussian moment that does not exist
    ├── BadInput (ValueError)            a tensor, size or option that does not fit
    ├── BadTask (ValueError)             a task that cannot be built or does not fit together
    │   └── BadTable (ValueError)        a table that cannot be turned into a task
    ├── BadStudy (ValueError)            a plan that cannot be carried out, or stored runs of another plan
    └── MissingExtra (ImportError)       an optional package that is not installed
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import category


class ActlabError(Exception):
    """Base class of every error that actlab raises on purpose."""


class UnknownActivation(ActlabError, KeyError):
    """A name that is not in the catalog."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        near = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        self.message = f"no activation is named '{shortened(name)}'. {hint}`actlab list` prints them all."
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message  # KeyError would print its repr, in quotes


class BadFormula(ActlabError, ValueError):
    """Text that is not a formula, or a formula that is not an activation."""


class BadParam(ActlabError, ValueError):
    """A parameter that is unknown, missing or out of its bounds."""


class CannotLower(ActlabError, NotImplementedError):
    """A formula that a target cannot spell."""


class NoKernels(ActlabError, RuntimeError):
    """Machine code cannot be compiled on this machine."""


class NoMoment(ActlabError, ArithmeticError):
    """A Gaussian moment that does not exist, or that cannot be computed to its stated accuracy."""


class BadInput(ActlabError, ValueError):
    """A tensor, size or option that does not fit."""


class BadTask(ActlabError, ValueError):
    """A task that cannot be built or does not fit together."""


class BadTable(BadTask):
    """A table that cannot be turned into a task."""


class BadStudy(ActlabError, ValueError):
    """A plan that cannot be carried out, or stored runs that belong to another plan."""


class MissingExtra(ActlabError, ImportError):
    """An optional package that is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"this needs {module}, which is not installed: pip install 'actlab[{extra}]'.")


def shortened(text: str, *, limit: int = 60) -> str:
    """Return the text on one line, cut to `limit` characters, to quote it in an error."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1] + "…"


def visible(text: str) -> str:
    """Return the text with control characters as escapes, so that text from a file cannot steer a terminal.

    Invisible marks that change the direction of text count as control characters. The escapes are those of JSON.

    Example:
        >>> print(visible("a" + chr(27) + "[31mb"))
        a\\u001b[31mb
    """
    if text.isprintable():  # of the characters to escape, none is printable
        return text
    return "".join(json.dumps(each)[1:-1] if _steers(each) else each for each in text)


def _steers(character: str) -> bool:
    # The two joiners are part of the spelling of several languages.
    return category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in "\u200c\u200d"
