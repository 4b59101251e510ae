"""Hand over what was kept: a patch that gives the measured metric, and lines to write by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from actlab.errors import ActlabError
from actlab.remedy.apply import applied, from_text
from actlab.remedy.change import Change
from actlab.remedy.outcome import Outcome
from actlab.remedy.patch import Patch, patched
from actlab.remedy.training import run

TOLERANCE = 1e-6
"""The patched program must give the measured metric up to this share of it."""


@final
@dataclass(frozen=True)
class Handover:
    """What the user gets.

    Attributes:
        patch: the changes of the user's files; None if there are none, or if they could not be reproduced.
        lines: what to write by hand, for each kept change without a literal one.
        notes: why a change is not in the patch.
        is_reproduced: whether the patched program was trained and gave the measured metric.
    """

    patch: Patch | None = None
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_reproduced: bool = False

    @property
    def diff(self) -> str:
        """The unified diff; empty if there is none."""
        return "" if self.patch is None else self.patch.diff


def handover(outcome: Outcome) -> Handover:
    """Return the patch of the kept changes, trained once from its text, and the lines for the others."""
    kept, start = outcome.kept, outcome.start
    if not kept:
        return Handover()
    literal = [each for each in kept if each.edits]
    by_hand = [each for each in kept if not each.edits]
    if not literal or start.origin is None:
        return Handover(lines=_lines(kept))
    try:
        patch = patched([edit for each in literal for edit in each.edits])
    except ActlabError as error:
        return Handover(lines=_lines(kept), notes=(f"no diff: {error}",))
    refused = {id(edit): why for edit, why in patch.refused}
    notes = tuple(f"{edit}: not in the diff, {why}" for edit, why in patch.refused)
    if refused:
        lost = [each for each in literal if any(id(edit) in refused for edit in each.edits)]
        literal = [each for each in literal if each not in lost]
        by_hand += lost
        patch = patched([edit for each in literal for edit in each.edits])
    if not patch.diff:
        return Handover(lines=_lines(by_hand), notes=notes)
    try:
        measured = run(applied(start, literal).training, 0).metric
        again = run(from_text(start, start.origin, patch), 0).metric
    except ActlabError as error:
        return Handover(lines=_lines(kept), notes=(*notes, f"no diff: the patched program cannot be trained: {error}"))
    if abs(measured - again) > TOLERANCE * max(1.0, abs(measured)):
        why = f"no diff: the patched program gave {again:.6g}, the measured copy {measured:.6g}"
        return Handover(lines=_lines(kept), notes=(*notes, why))
    return Handover(patch, _lines(by_hand), notes, is_reproduced=True)


def _lines(changes: list[Change] | tuple[Change, ...]) -> tuple[str, ...]:
    return tuple(line for each in changes for line in each.lines)
