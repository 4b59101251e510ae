"""The frame that all pages share."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from actlab.report.style import PALETTE

# The pages in the order of the navigation: address, name.
NAVIGATION = (
    ("/function", "Function"),
    ("/network", "My network"),
    ("/depth", "Depth"),
    ("/fix", "Fix"),
    ("/playground", "Playground"),
    ("/compare", "Compare"),
    ("/lessons", "Lessons"),
    ("/questions", "Questions"),
)


def html(template: str, *, title: str, here: str = "", **values: Any) -> HTMLResponse:
    """Return a page.

    Args:
        template: a file of the folder `templates`, which extends `layout.html.j2`.
        title: the name of the page.
        here: its address in the navigation.
        values: what the template shows; everything is escaped.
    """
    return HTMLResponse(rendered(template, title=title, here=here, navigation=NAVIGATION, **values))


def rendered(template: str, **values: Any) -> str:
    """Fill in a template of the folder `templates`."""
    return environment().get_template(template).render(values)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the environment of the templates."""
    return Environment(
        loader=PackageLoader("actlab.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style_sheet() -> Response:
    """Return the style sheet, with the colors of the reports."""
    return Response(rendered("style.css.j2", palette=PALETTE), media_type="text/css")
