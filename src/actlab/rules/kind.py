"""Kinds of findings: what an id means, read from the documentation of its rule."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

from actlab.rules.finding import Severity
from actlab.rules.remedies import REMEDIES

HEADINGS = ("Why it matters", "How it is detected", "Thresholds", "Example", "Use instead", "References")
"""The headings of a rule's docstring after its first paragraphs, in this order; only thresholds may be left out."""


@final
@dataclass(frozen=True)
class FindingKind:
    """What the id of a finding means.

    Attributes:
        id: such as `AL101`.
        name: the same in words, such as `dead-units`.
        severity: the usual one; a finding's own follows its consequence.
        title: a noun phrase, such as "dead units".
        what: what is reported, in one or two sentences.
        why: what it does to training.
        how: how it is detected, and what is not reported.
        thresholds: by name, why each has its value.
        defaults: the thresholds' values, by name.
        example: a program that triggers it: `model`, `batch`, `loss`, and as needed `optimizer` and `train_steps`.
        fix: the same program without the fault.
        source: references.
        remedies: the ids of possible fixes, best first.
    """

    id: str
    name: str
    severity: Severity
    title: str
    what: str
    why: str
    how: str
    thresholds: Mapping[str, str]
    example: str
    fix: str
    source: str
    remedies: tuple[str, ...]
    defaults: Mapping[str, float]

    @property
    def explanation(self) -> str:
        """What it is, why it matters and how it is detected, in paragraphs."""
        return "\n\n".join((self.what, self.why, self.how))

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the remedies with their sentences."""
        return {
            "id": self.id,
            "name": self.name,
            "severity": self.severity,
            "title": self.title,
            "explanation": self.explanation,
            "what": self.what,
            "why": self.why,
            "how": self.how,
            "thresholds": {
                name: {"default": self.defaults[name], "reason": reason} for name, reason in self.thresholds.items()
            },
            "example": self.example,
            "fix": self.fix,
            "source": self.source,
            "remedies": {remedy: REMEDIES[remedy] for remedy in self.remedies},
        }


def kind_from(
    id: str,
    *,
    function: str,
    doc: str,
    defaults: Mapping[str, float],
    title: str,
    severity: Severity,
    remedies: tuple[str, ...],
) -> FindingKind:
    """Return the kind that a rule's function documents.

    Raises:
        ValueError: a heading is missing, repeated or out of order, or a remedy is unknown: the rule is not finished.
    """
    parts = _parts(id, inspect.cleandoc(doc))
    unknown = [remedy for remedy in remedies if remedy not in REMEDIES]
    if unknown:
        raise ValueError(f"{id}: unknown remedies {unknown}; add them to rules/remedies.py.")
    return FindingKind(
        id=id,
        name=function.replace("_", "-"),
        severity=severity,
        title=title,
        what=_joined(parts["What"]),
        why=_joined(parts["Why it matters"]),
        how=_joined(parts["How it is detected"]),
        thresholds=_thresholds(parts.get("Thresholds", "")),
        example=inspect.cleandoc(parts["Example"]),
        fix=inspect.cleandoc(parts["Use instead"]),
        source=_joined(parts["References"]),
        remedies=remedies,
        defaults=MappingProxyType(dict(defaults)),
    )


def _parts(id: str, doc: str) -> dict[str, str]:
    """Cut a docstring at its headings."""
    pieces = re.split(rf"^({'|'.join(HEADINGS)}):\n", doc, flags=re.MULTILINE)
    headings = pieces[1::2]
    expected = [heading for heading in HEADINGS if heading in headings or heading != "Thresholds"]
    if headings != expected:
        raise ValueError(
            f"{id}: the docstring needs the headings {', '.join(expected)}, in this order; got {headings}."
        )
    return {"What": pieces[0], **dict(zip(headings, pieces[2::2], strict=True))}


def _joined(text: str) -> str:
    """Join the lines of each paragraph."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip()))


def _thresholds(text: str) -> Mapping[str, str]:
    rows = re.split(r"^(\w+): ", inspect.cleandoc(text), flags=re.MULTILINE) if text else [""]
    return MappingProxyType({name: _joined(reason) for name, reason in zip(rows[1::2], rows[2::2], strict=True)})
