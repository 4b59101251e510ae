"""A browser that looks at a served workbench, as a user would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import browser
from actlab.web.workbench import Workbench
from web_server import Visitor, foreign, serving


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as started:
        yield started


@pytest.fixture
def visitor_of(chromium: Any, tmp_path: Any, monkeypatch: Any) -> Iterator[Callable[..., Visitor]]:
    """A function that serves a workbench and opens a page; at the end nothing may have left this machine or failed."""
    monkeypatch.chdir(tmp_path)
    opened: list[Visitor] = []
    with ExitStack() as stack:

        def visitor(bench: Workbench | None = None, *, width: int = 1400, dark: bool = False) -> Visitor:
            address = stack.enter_context(serving(bench or Workbench()))
            context = chromium.new_context(
                viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
            )
            stack.callback(context.close)
            page = context.new_page()
            found = Visitor(page, address.partition("/?")[0])
            context.on("request", lambda request: found.requests.append(request.url))
            page.on("console", lambda line: found.complaints.append(line.text) if line.type == "error" else None)
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.goto(address)
            opened.append(found)
            return found

        yield visitor
    for each in opened:
        assert not foreign(each), foreign(each)
        unexpected = [line for line in each.complaints if not any(part in line for part in each.expected)]
        assert not unexpected, unexpected
