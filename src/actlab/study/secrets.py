"""Hide the passwords of database addresses in texts that are shown, written or stored."""

from __future__ import annotations

import re
import shlex

HIDDEN = "***"

_NAMES = r"password|passwd|pwd|passphrase|passfile|secret|token|api_?key"
# `user:password@`, up to the last @ of the address: a password that should be percent-encoded may hold one too.
_IN_ADDRESS = re.compile(r"(?P<start>[A-Za-z][\w+.-]*://[^:/@?#\s]*:)(?P<secret>.*)(?P<end>@)", re.DOTALL)
_IN_QUERY = re.compile(rf"(?P<start>\b[\w-]*(?:{_NAMES})\s*=\s*)(?P<secret>'[^']*'|[^&#\s'\"]+)", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return a text that is an address, or holds one, with `***` for each password.

    Example:
        >>> without_secrets("postgresql://me:pa%40ss@host/db?sslmode=require&sslpassword=x")
        'postgresql://me:***@host/db?sslmode=require&sslpassword=***'
        >>> without_secrets("actlab-runs.db"), without_secrets("postgresql://me@host/db")
        ('actlab-runs.db', 'postgresql://me@host/db')
    """
    return _IN_QUERY.sub(rf"\g<start>{HIDDEN}", _IN_ADDRESS.sub(rf"\g<start>{HIDDEN}\g<end>", text))


def without_secrets_of(address: str, text: str) -> str:
    """Return a text about an address without its passwords, also without the end of one that is not percent-encoded."""
    found = _IN_ADDRESS.search(address)
    secret = found["secret"] if found else ""
    ends = [secret[at:] for at in range(len(secret)) if at == 0 or secret[at - 1] in "@/:"]
    for end in filter(None, ends):
        text = text.replace(f"{end}@", f"{HIDDEN}@")
    return without_secrets(text)


def command_without_secrets(command: str) -> str:
    """Return a command line with `***` for each password in its arguments.

    Example:
        >>> command_without_secrets("actlab advise --store postgresql://me:secret@host/db --note a@b")
        "actlab advise --store 'postgresql://me:***@host/db' --note a@b"
    """
    try:
        words = shlex.split(command)
    except ValueError:  # an open quotation mark
        return without_secrets(command)
    return shlex.join(map(without_secrets, words)) if any(map(_differs, words)) else command


def _differs(word: str) -> bool:
    return without_secrets(word) != word
