"""What tells one finding from another, however the lines of a file shift."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from actlab.rules.finding import Finding


def fingerprints(findings: Sequence[Finding]) -> tuple[str, ...]:
    """One digest a finding: of its kind and its place in the model, not of its line and its numbers.

    Of several findings of one kind in one place the second and later ones are numbered, so that accepting one does not
    hide the next.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    digests = []
    for finding in findings:
        site = finding.site
        place = () if site is None else (site.path, site.spelling, str(site.index))
        key = (finding.id, *place)
        digests.append(hashlib.sha256("\x1f".join((*key, str(seen[key]))).encode()).hexdigest()[:32])
        seen[key] += 1
    return tuple(digests)
