"""A server of the workbench and a browser that looks at it, as a user would."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from actlab.web.loopback import address_of, bound
from actlab.web.server import server
from actlab.web.workbench import Workbench


@dataclass
class Visitor:
    """One page of a browser, and what it has asked for and complained about.

    Attributes:
        page: Playwright's page, with the server's cookie.
        origin: the address of the server.
        requests: the address of every request.
        complaints: every message on the console that is an error, and every exception.
        expected: parts of complaints that the test provokes on purpose.
    """

    page: Any
    origin: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def visit(self, path: str) -> Any:
        """Go to a page of the workbench and return Playwright's page."""
        self.page.goto(self.origin + path)
        return self.page

    def at(self, name: str) -> Any:
        """Return the element that bears this `data-test` name."""
        return self.page.locator(f'[data-test="{name}"]')


@contextmanager
def serving(bench: Workbench) -> Iterator[str]:
    """Serve a workbench in a thread, as `actlab serve` does, and yield its first address."""
    listener = bound(0)
    runs = server(bench)
    thread = threading.Thread(target=lambda: runs.run(sockets=[listener]), daemon=True)
    thread.start()
    while not runs.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield address_of(bench, listener)
    finally:
        runs.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


def foreign(visitor: Visitor) -> list[str]:
    """The requests that went elsewhere than to the server."""
    ours = urlsplit(visitor.origin).netloc
    return [
        address
        for address in visitor.requests
        if urlsplit(address).scheme not in {"data", "blob"} and urlsplit(address).netloc != ours
    ]
