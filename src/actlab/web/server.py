"""Serve the workbench on this machine alone."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

import uvicorn

from actlab.web.answers import log
from actlab.web.application import PAGES, application
from actlab.web.loopback import address_of, bound, runner
from actlab.web.preflight import check
from actlab.web.workbench import Page, Workbench


def serve(bench: Workbench, *, port: int | None = None, open_browser: bool = True) -> None:
    """Print the address and serve until Ctrl-C.

    Args:
        bench: what to show.
        port: the port; by default 8421, or any free one if that is in use.
        open_browser: open the address in the user's browser.

    Raises:
        BadInput: the port is in use or is none.
        BadTask, BadStudy: the table has no such target, or the store cannot be used.
    """
    check(bench)
    with closing(bound(port)) as listener:
        address = address_of(bench, listener)
        print(address, flush=True)
        if open_browser and not webbrowser.open(address):
            log("No browser could be opened; open the address above.")
        # Ctrl-C is how it ends, once the pages have closed what they started
        with suppress(KeyboardInterrupt):
            server(bench).run(sockets=[listener])


def server(bench: Workbench, pages: Sequence[Callable[[Workbench], Page]] = PAGES) -> uvicorn.Server:
    """Return the server of a workbench, not yet running."""
    return runner(application(bench, pages))
