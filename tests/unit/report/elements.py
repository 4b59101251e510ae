"""Reading of an HTML page, for the tests of pages."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})


class Elements(HTMLParser):
    """The start tags of a page, its text, and tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open, self.unclosed = [], "", [], []
        self.feed(text)
        self.unclosed += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data):
        self.text += data

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]
