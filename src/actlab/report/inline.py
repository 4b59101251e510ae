"""Conversion of an SVG file by Matplotlib into an element of an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from actlab.report.style import PALETTE

# Each color of a picture and the page's variable for it, so that pictures follow the page's dark mode.
VARIABLES: Mapping[str, str] = {light: name for name, (light, _) in PALETTE.items()}

_COLOR = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"(?P<weight>bold|\d00)?\s*(?P<size>[\d.]+px)")
_DROPPED = {"metadata", "style"}


def inline(svg: bytes, *, prefix: str, label: str) -> str:
    """Return the SVG as an element of an HTML page.

    Colors become the page's variables, text takes the page's font, the size follows the container, and identifiers
    get a prefix.

    Args:
        svg: a file by Matplotlib, with text as text.
        prefix: unique among the pictures of the page.
        label: a description of the picture for screen readers.
    """
    written = ElementTree.fromstring(svg)
    (root,) = _rewritten(written, used=_referenced(written), prefix=prefix)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _rewritten(element: Element, *, used: set[str], prefix: str) -> Iterator[Element]:
    """Yield the element for HTML: nothing if it is dropped, its children if it is a bare group."""
    name = _local(element.tag)
    if name in _DROPPED:
        return
    children = [new for child in element for new in _rewritten(child, used=used, prefix=prefix)]
    attributes = dict(_attributes(element, used=used, prefix=prefix))
    if name == "g" and not attributes:
        yield from children
        return
    new = Element(name, attributes)
    new.text = (element.text or "").strip() or None  # between elements there are only line breaks
    new.extend(children)
    yield new


def _attributes(element: Element, *, used: set[str], prefix: str) -> Iterator[tuple[str, str]]:
    for full_name, value in element.attrib.items():
        match _local(full_name):
            case "id":
                if value in used:
                    yield "id", prefix + value
            case "href":
                yield "href", "#" + prefix + value.removeprefix("#")
            case "style":
                yield "style", _style(value)
            case "d":
                yield "d", " ".join(value.split())
            case name:
                yield name, _REFERENCE.sub(rf"url(#{prefix}\1)", value)


def _referenced(root: Element) -> set[str]:
    used: set[str] = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            used.update(_REFERENCE.findall(value))
            if _local(name) == "href":
                used.add(value.removeprefix("#"))
    return used


def _style(text: str) -> str:
    declarations = (part.partition(":") for part in text.split(";"))
    wanted = (new for name, _, value in declarations for new in _declarations(name.strip(), value.strip()))
    return ";".join(f"{name}:{value}" for name, value in wanted)


def _declarations(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield a declaration for the page; older releases of Matplotlib write the short form `font`."""
    if name == "font":
        found = _FONT.match(value)
        assert found is not None, value
        if found["weight"]:
            yield "font-weight", found["weight"]
        yield "font-size", found["size"]
    elif name != "font-family":
        yield name, _COLOR.sub(lambda color: _variable(color[0]), value)


def _variable(color: str) -> str:
    return f"var(--{VARIABLES[color]})" if color in VARIABLES else color


def _local(name: str) -> str:
    """Return the name without its namespace, which HTML does not use."""
    return name.rpartition("}")[2]
