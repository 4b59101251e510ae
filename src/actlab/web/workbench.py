"""What one server shows, and what each of its pages consists of."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from starlette.routing import BaseRoute

from actlab.web.feeds import Feeds


@final
@dataclass(frozen=True, eq=False)
class Workbench:
    """What one server shows.

    Attributes:
        data: what was named on the command line: a table, a folder, `file.py:name`, or None for the built-in task.
        target: the table column to predict.
        task: the name of a built-in task.
        input: the shapes of random inputs, for a model without a batch.
        store: the file or database URL in which comparisons are stored.
        token: what the first address must hold.
        feeds: what is live on the pages.
    """

    data: str | Path | None = None
    target: str | None = None
    task: str | None = None
    input: Sequence[str] = ()
    store: str = "actlab-runs.db"
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    feeds: Feeds = field(default_factory=Feeds, repr=False)


@final
@dataclass(frozen=True)
class Page:
    """One page of the workbench, with its interface for programs.

    Attributes:
        routes: its addresses.
        close: called when the server ends; stops what the page has started.
    """

    routes: Sequence[BaseRoute]
    close: Callable[[], None] = lambda: None
