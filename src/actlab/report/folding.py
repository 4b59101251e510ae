"""Alike things at many places of a model, folded into one: findings, sites, and parts that could not be inspected."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, final

from actlab.rules.finding import Finding, Severity
from actlab.rules.finding_text import WHOLE_MODEL, evidence_text, lines_text, title_text, value_text
from actlab.sites.site import Unseen
from actlab.sites.site_text import place_name, place_phrase

T = TypeVar("T")

FEW = 2
"""So many places are listed; more are shown as a pattern and a count."""

# In a message: a place in a model (a dotted path with a number in it, or a path with an index), or a number.
_PATH = r"[A-Za-z_]\w*(?:\.\w+)+(?:\[\d+\])?|[\w.]*\w\[\d+\]|\d+(?:\.\d+){2,}"
_NUMBER = r"(?<![\w.])[-−+]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-−+]?\d+)?(?!\w)"
_TOKEN = re.compile(f"({_PATH}|{_NUMBER})")
_DIGITS = re.compile(r"(\d+)")

# Words that differ only because a number is 1.
_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do", "it": "they", "its": "their"}


@final
@dataclass(frozen=True)
class Places:
    """Places of a model that differ only in numbers.

    Attributes:
        text: the places as text, such as `layers.*.act, 8 places`.
        spelling: how the call is written there.
        lines: file and line of each, without repeats.
    """

    text: str
    spelling: str
    lines: tuple[tuple[str, int], ...]


@final
@dataclass(frozen=True)
class Block:
    """Findings of one kind whose messages differ only in numbers and places.

    Attributes:
        id: their kind.
        severity: of each.
        title: the kind of problem.
        places: where they are; empty if they concern the model as a whole.
        message: the common message; numbers that differ are ranges.
        evidence: the evidence as text; numbers that differ are ranges.
        remedies: the ids of the fixes that no earlier block lists.
        listed_by: the ids of the earlier blocks that list the other fixes.
        count: how many findings there are.
    """

    id: str
    severity: Severity
    title: str
    places: tuple[Places, ...]
    message: str
    evidence: str
    remedies: tuple[str, ...]
    count: int
    listed_by: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Uninspected:
    """Alike parts that could not be inspected: the first, and the places of all as text."""

    first: Unseen
    places: str


def folded(findings: Iterable[Finding]) -> list[Block]:
    """Fold findings with the same id, severity and fixes whose messages differ only in numbers and places.

    Each fix is listed once: by the first block that it belongs to.
    """
    blocks: list[Block] = []
    listed: dict[str, str] = {}
    for block in map(_block, grouped(findings, key=_kind)):
        new = tuple(remedy for remedy in block.remedies if remedy not in listed)
        others = tuple(dict.fromkeys(listed[remedy] for remedy in block.remedies if remedy in listed))
        listed |= dict.fromkeys(new, block.id)
        blocks.append(replace(block, remedies=new, listed_by=others))
    return blocks


def fixes(block: Block, remedies: Mapping[str, str]) -> list[str]:
    """Return the fixes of a block as sentences, then where its other fixes are listed."""
    others = [f"See the fixes of {' and '.join(block.listed_by)}."] if block.listed_by else []
    return [*(remedies.get(remedy, remedy) for remedy in block.remedies), *others]


def folded_unseen(unseen: Iterable[Unseen]) -> list[Uninspected]:
    """Fold parts that could not be inspected for the same reason."""
    alike = grouped(unseen, key=lambda one: (one.what, one.why))
    return [Uninspected(some[0], paths_text([one.path or "model" for one in some])) for some in alike]


def where_lines(block: Block, *, root: Path) -> list[str]:
    """Return the places of a block for reading, one line for each group of alike places."""
    return [_where(places, root=root) for places in block.places] or [WHOLE_MODEL]


def grouped(things: Iterable[T], *, key: Callable[[T], Hashable]) -> list[list[T]]:
    """Collect things with equal keys, in the order of the first of each."""
    groups: dict[Hashable, list[T]] = {}
    for thing in things:
        groups.setdefault(key(thing), []).append(thing)
    return list(groups.values())


def without_numbers(path: str) -> str:
    """Return a path with `#` for each of its numbers: equal for places that differ only in numbers.

    Example:
        >>> without_numbers("layer1.0.relu"), without_numbers("head")
        ('layer#.#.relu', 'head')
    """
    return _DIGITS.sub("#", path)


def pattern(paths: Sequence[str]) -> str:
    """Return the common pattern of paths that differ only in numbers: `*` for each number that differs.

    Example:
        >>> pattern(["layers.0.act", "layers.1.act"]), pattern(["layer1.0.relu", "layer1.1.relu"])
        ('layers.*.act', 'layer1.*.relu')
    """
    columns = zip(*(_DIGITS.split(path) for path in paths), strict=True)
    return "".join(column[0] if len(set(column)) == 1 else "*" for column in columns)


def places_text(paths: Sequence[str]) -> str:
    """Return places that differ only in numbers: a few in full, more as a pattern, with their count.

    Example:
        >>> places_text(["net.0", "net.1"]), places_text(["net.0", "net.1", "net.4"])
        ('net.0, net.1', 'net.*, 3 places')
        >>> places_text(["1", "3", "5", "7"])
        '1, 3 … 7, 4 places'
    """
    if len(paths) <= FEW:
        return ", ".join(paths)
    shown = pattern(paths)
    if not any(character.isalpha() for character in shown):
        shown = f"{', '.join(paths[:FEW])} … {paths[-1]}"  # a flat `nn.Sequential`: a pattern would be a bare `*`
    return f"{shown}, {len(paths)} places"


def paths_text(paths: Sequence[str]) -> str:
    """Return any places as text, those that differ only in numbers together."""
    return "; ".join(places_text(alike) for alike in grouped(paths, key=without_numbers))


def _where(places: Places, *, root: Path) -> str:
    lines = lines_text(places.lines, root=root)
    phrase = place_phrase(places.text, places.spelling) if places.text else ""
    return ", ".join(part for part in (lines, phrase) if part)


def _kind(finding: Finding) -> Hashable:
    literals, tokens = _split(finding)
    return (
        finding.id,
        finding.severity,
        finding.remedies,
        finding.site is None,
        tuple(_plural(part) for part in literals),
        tuple("#" if _is_number(token) else without_numbers(token) for token in tokens),
    )


def _block(findings: Sequence[Finding]) -> Block:
    first = findings[0]
    return Block(
        id=first.id,
        severity=first.severity,
        title=title_text(first),
        places=_places(findings),
        message=first.message if len(findings) == 1 else _common_message(findings),
        evidence=evidence_text(first.evidence) if len(findings) == 1 else _common_evidence(findings),
        remedies=first.remedies,
        count=len(findings),
    )


def _places(findings: Sequence[Finding]) -> tuple[Places, ...]:
    places = []
    sited = [(place_name(one.site), one.site.spelling, one.lines) for one in findings if one.site is not None]
    for alike in grouped(sited, key=lambda place: (without_numbers(place[0]), place[1])):
        lines = tuple(dict.fromkeys(line for _, _, each in alike for line in each))
        places.append(Places(places_text([name for name, _, _ in alike]), alike[0][1], lines))
    unsited = tuple(dict.fromkeys(line for one in findings if one.site is None for line in one.lines))
    return (*places, Places("", "", unsited)) if unsited else tuple(places)


def _split(finding: Finding) -> tuple[list[str], list[str]]:
    """Split a message into literal parts and, between them, numbers and places; a null stands for the site's name."""
    message = finding.message.replace("\0", "")
    if finding.site is not None and "[" in finding.site.name:  # a shorter name may be a word
        message = message.replace(finding.site.name, "\0")
    parts = _TOKEN.split(message)
    return parts[::2], parts[1::2]


def _common_message(findings: Sequence[Finding]) -> str:
    split = [_split(one) for one in findings]
    literals = max((literals for literals, _ in split), key=lambda parts: sum(map(len, parts)))  # prefers the plural
    tokens = [_common(alike) for alike in zip(*(tokens for _, tokens in split), strict=True)]
    text = "".join(part for pair in zip(literals, [*tokens, ""], strict=True) for part in pair)
    names = [one.site.name for one in findings if one.site is not None]
    return text.replace("\0", "; ".join(_without_count(alike) for alike in grouped(names, key=without_numbers)))


def _without_count(paths: Sequence[str]) -> str:
    return places_text(paths).removesuffix(f", {len(paths)} places")


def _common(tokens: Sequence[str]) -> str:
    if len(set(tokens)) == 1:
        return tokens[0]
    if not all(map(_is_number, tokens)):
        return pattern(tokens)
    ordered = sorted(tokens, key=_number)
    return _range(ordered[0], ordered[-1])


def _common_evidence(findings: Sequence[Finding]) -> str:
    """Return the evidence of several findings: ranges of numbers, and what is the same everywhere."""
    names = [name for name in findings[0].evidence if name != "lines" and all(name in one.evidence for one in findings)]
    shown = ((name, _common_value([one.evidence[name] for one in findings])) for name in names)
    return "; ".join(f"{name.replace('_', ' ')}: {text}" for name, text in shown if text)


def _common_value(values: Sequence[Any]) -> str:
    texts = [value_text(value) for value in values]
    if len(set(texts)) == 1:
        return texts[0]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _range(value_text(min(values)), value_text(max(values)))
    return ""


def _range(low: str, high: str) -> str:
    return f"{low}–{high}" if low[0].isdigit() and high[0].isdigit() else f"{low} to {high}"


def _is_number(token: str) -> bool:
    return re.fullmatch(_NUMBER, token) is not None


def _number(token: str) -> float:
    return float(token.replace(",", "").replace("−", "-"))


def _plural(text: str) -> str:
    """Return a form of a text that is the same for one unit and for several."""
    return re.sub(r"[A-Za-z]+", lambda word: _PLURAL.get(word[0], word[0].removesuffix("s")), text)
