"""Fingerprints that identify a finding although the lines of a file shift."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from actlab.rules.finding import Finding


def fingerprints(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return a digest of each finding's kind and place in the model, independent of its line and its numbers.

    Several findings of one kind at one place are numbered, so that accepting one does not hide the next.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    digests = []
    for finding in findings:
        site = finding.site
        place = () if site is None else (site.path, site.spelling, str(site.index))
        key = (finding.id, *place)
        digests.append(hashlib.sha256("\x1f".join((*key, str(counts[key]))).encode()).hexdigest()[:32])
        counts[key] += 1
    return tuple(digests)
