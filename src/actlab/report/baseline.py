"""Findings that were looked at and accepted, kept as a file, so that only new ones are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actlab.errors import BadInput
from actlab.report.fingerprint import fingerprints
from actlab.report.written import write_whole
from actlab.rules.finding import Finding

VERSION = 1


@dataclass(frozen=True)
class Divided:
    """Findings, divided by a baseline.

    Attributes:
        new: what the baseline does not hold.
        accepted: what it holds.
        gone: how many of its entries were not found again.
    """

    new: tuple[Finding, ...]
    accepted: tuple[Finding, ...]
    gone: int


def write_baseline(findings: Sequence[Finding], path: Path) -> Path:
    """The path, once every one of these findings is accepted there.

    Raises:
        BadInput: the place cannot be written.
    """
    rows = [
        {"fingerprint": digest, "id": finding.id, "place": finding.site.name if finding.site else None}
        | {"message": finding.message}
        for finding, digest in zip(findings, fingerprints(findings), strict=True)
    ]
    text = json.dumps({"version": VERSION, "accepted": rows}, indent=2, ensure_ascii=False)
    return write_whole(path, f"{text}\n".encode())


def divided(findings: Sequence[Finding], path: Path) -> Divided:
    """The findings, divided by the baseline in this file.

    Raises:
        BadInput: the file is missing, or no baseline.
    """
    accepted = _read(path)
    pairs = list(zip(findings, fingerprints(findings), strict=True))
    return Divided(
        new=tuple(finding for finding, digest in pairs if digest not in accepted),
        accepted=tuple(finding for finding, digest in pairs if digest in accepted),
        gone=len(accepted - {digest for _, digest in pairs}),
    )


def _read(path: Path) -> frozenset[str]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"there is no baseline '{path}'; write one with --write-baseline {path}.") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"'{path}' cannot be read as a baseline: {error}.") from error
    try:
        if held["version"] != VERSION:
            raise BadInput(f"'{path}' is a baseline of version {held['version']}; this actlab reads version {VERSION}.")
        return frozenset(str(row["fingerprint"]) for row in held["accepted"])
    except (TypeError, KeyError) as error:
        raise BadInput(f"'{path}' is no baseline: it lacks 'version' or 'accepted' with fingerprints.") from error
