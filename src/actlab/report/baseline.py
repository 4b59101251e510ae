"""Baselines: files of accepted findings, so that only new ones are reported."""

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
    """Findings split by a baseline.

    Attributes:
        new: those that the baseline does not contain.
        accepted: those that it contains.
        gone: how many of its entries were not found again.
    """

    new: tuple[Finding, ...]
    accepted: tuple[Finding, ...]
    gone: int


def write_baseline(findings: Sequence[Finding], path: Path) -> Path:
    """Write a baseline that accepts these findings, and return its path.

    Raises:
        BadInput: the file cannot be written.
    """
    rows = [
        {"fingerprint": digest, "id": finding.id, "place": finding.site.name if finding.site else None}
        | {"message": finding.message}
        for finding, digest in zip(findings, fingerprints(findings), strict=True)
    ]
    text = json.dumps({"version": VERSION, "accepted": rows}, indent=2, ensure_ascii=False)
    return write_whole(path, f"{text}\n".encode())


def divided(findings: Sequence[Finding], path: Path) -> Divided:
    """Split findings by the baseline in a file.

    Raises:
        BadInput: the file is missing, or not a baseline.
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
        raise BadInput(f"there is no baseline '{path}'; create one with --write-baseline {path}.") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"'{path}' cannot be read as a baseline: {error}.") from error
    try:
        if held["version"] != VERSION:
            raise BadInput(f"'{path}' is a baseline of version {held['version']}; this actlab reads version {VERSION}.")
        return frozenset(str(row["fingerprint"]) for row in held["accepted"])
    except (TypeError, KeyError) as error:
        raise BadInput(f"'{path}' is not a baseline: it lacks 'version' or 'accepted' with fingerprints.") from error
