"""What holds for every page: it fits the screen, it can be read and operated by everyone, it links to what exists."""

from __future__ import annotations

import re
from typing import Any

import pytest

from actlab.lessons.lesson import lessons
from actlab.web.shell import NAVIGATION

PAGES = ["/", *(address for address, _ in NAVIGATION), *(f"/lessons/{lesson.number}" for lesson in lessons())]


@pytest.fixture(scope="module")
def axe() -> Any:
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()


def settled(visitor: Any, address: str) -> Any:
    """The page once its figures stand."""
    page = visitor.visit(address)
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-figure]')].every((each) => 'mounted' in each.dataset)"
    )
    page.wait_for_timeout(400)
    return page


@pytest.mark.parametrize("address", PAGES)
def test_everyone_can_read_and_operate_it_on_any_screen(visitor_of, axe, address):
    page = settled(visitor_of(), address)
    assert page.locator("h1").count() == 1
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page).response["violations"]
        serious = [
            (each["id"], [node["html"][:120] for node in each["nodes"][:3]])
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]
        assert not serious, (scheme, serious)
    for width in (1400, 800, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


def test_every_link_leads_somewhere(visitor_of):
    visitor = visitor_of()
    links: set[str] = set()
    for address in PAGES:
        text = visitor.page.request.get(visitor.origin + address).text()
        links |= set(re.findall(r'href="(/[^"#]*)', text))
    catalog = {link for link in links if re.fullmatch(r"/function\?f=\w+", link)}
    for link in sorted(links - catalog) + sorted(catalog)[:3]:
        answer = visitor.page.request.get(visitor.origin + link.replace("&amp;", "&"))
        assert answer.status == 200, link
