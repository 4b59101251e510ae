"""All pages as one application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread

from starlette.applications import Starlette

from actlab import verbs
from actlab.web import (
    compare_page,
    depth_page,
    fix_page,
    front_page,
    function_page,
    lessons_page,
    network_page,
    playground_page,
)
from actlab.web.mathematics import mathml
from actlab.web.routing import joined
from actlab.web.workbench import Page, Workbench

PAGES: tuple[Callable[[Workbench], Page], ...] = (
    front_page.page,
    function_page.page,
    network_page.page,
    fix_page.page,
    lessons_page.page,
    depth_page.page,
    playground_page.page,
    compare_page.page,
)


def application(bench: Workbench, pages: Sequence[Callable[[Workbench], Page]] = PAGES) -> Starlette:
    """Return the application that shows a workbench."""
    return joined(bench, [page(bench) for page in pages], opened=_warm)


def _warm() -> None:
    """Import what the first page needs, in a thread, while the browser opens."""

    def ask() -> None:
        verbs.show("relu")
        verbs.javascript("relu")
        mathml("x")

    Thread(target=ask, daemon=True).start()
