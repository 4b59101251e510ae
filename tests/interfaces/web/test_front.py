"""The front page in a browser."""

from __future__ import annotations

from actlab.catalog.index import CATALOG


def test_the_catalog_can_be_searched_with_the_keyboard(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/")
    assert visitor.at("entries").locator("li:visible").count() == len(CATALOG)
    visitor.at("search").fill("gated")
    assert 0 < visitor.at("entries").locator("li:visible").count() < len(CATALOG)
    visitor.at("search").fill("mish")
    page.keyboard.press("Enter")
    page.wait_for_url("**/function?f=hard_mish")
