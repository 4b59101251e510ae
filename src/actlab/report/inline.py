"""An SVG that Matplotlib wrote, made fit to stand in the midst of an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from actlab.report.style import PALETTE

# A colour of the picture and the page's own for it, so that the picture follows the page into the dark.
VARIABLES: Mapping[str, str] = {light: name for name, (light, _) in PALETTE.items()}

_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"(?P<weight>bold|\d00)?\s*(?P<size>[\d.]+px)")
_DROPPED = {"metadata", "style"}


def inline(svg: bytes, *, prefix: str, label: str) -> str:
    """The SVG as an element of an HTML page.

    Its colours become the page's variables, its text takes the page's font, its size follows the place it stands
    in, and its identifiers begin with a prefix of their own.

    Args:
        svg: what Matplotlib wrote, text as text.
        prefix: unique among the pictures of the page.
        label: what the picture shows, for those who do not see it.
    """
    written = ElementTree.fromstring(svg)
    (root,) = _rewritten(written, used=_referenced(written), prefix=prefix)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _rewritten(element: Element, *, used: set[str], prefix: str) -> Iterator[Element]:
    """The element fit for HTML: none where it is not wanted, its children where it says nothing itself."""
    name = _local(element.tag)
    if name in _DROPPED:
        return
    children = [new for child in element for new in _rewritten(child, used=used, prefix=prefix)]
    attributes = dict(_attributes(element, used=used, prefix=prefix))
    if name == "g" and not attributes:
        yield from children
        return
    new = Element(name, attributes)
    new.text = (element.text or "").strip() or None  # what stands between elements is but line breaks
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
    kept = (new for name, _, value in declarations for new in _declarations(name.strip(), value.strip()))
    return ";".join(f"{name}:{value}" for name, value in kept)


def _declarations(name: str, value: str) -> Iterator[tuple[str, str]]:
    """One declaration as the page wants it; older releases of Matplotlib write the short form `font`."""
    if name == "font":
        found = _FONT.match(value)
        assert found is not None, value
        if found["weight"]:
            yield "font-weight", found["weight"]
        yield "font-size", found["size"]
    elif name != "font-family":
        yield name, _COLOUR.sub(lambda colour: _variable(colour[0]), value)


def _variable(colour: str) -> str:
    return f"var(--{VARIABLES[colour]})" if colour in VARIABLES else colour


def _local(name: str) -> str:
    """The name without its namespace, which HTML has no use for."""
    return name.rpartition("}")[2]
