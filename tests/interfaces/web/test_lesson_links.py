"""Links from lessons to the workbench's pages: live in the server, plain text in exported files."""

from __future__ import annotations

import re

from actlab.lessons.lesson import lessons, questions
from actlab.web.lessons_export import pages
from actlab.web.lessons_page import LIVE, lesson_values

PAGES = {"/", "/compare", "/function", "/lessons", "/network", "/playground", "/questions"}


def links(html: str) -> set[str]:
    return {link.partition("?")[0] for link in re.findall(r'href="(/[^"]*)"', html)}


def test_links_in_the_prose_lead_to_pages_of_the_workbench():
    found = set()
    for lesson in (*lessons(), *questions()):
        for section in lesson_values(lesson, LIVE)["sections"]:
            for part in section["parts"]:
                found |= links(str(part.get("html", "")))
    assert found
    assert found <= PAGES


def test_exported_files_link_to_no_page_of_the_server():
    assert {name: links(html) for name, html in pages().items() if links(html)} == {}
