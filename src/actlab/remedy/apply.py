"""Apply changes to a training, in memory or by the patched text of the user's program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from actlab.errors import BadInput
from actlab.remedy.change import Change
from actlab.remedy.facts import Line, same_line
from actlab.remedy.patch import Patch, patched
from actlab.remedy.programs import training_of
from actlab.remedy.reload import line_map, reloaded
from actlab.remedy.training import Origin, Training


@final
@dataclass(frozen=True, eq=False)
class Applied:
    """A training with changes, and from its text's lines to those of the user's file."""

    training: Training
    line: Line = same_line


def applied(start: Training, changes: Sequence[Change]) -> Applied:
    """Return a training with changes: those of text alone come first, from the user's program loaded afresh.

    Raises:
        BadInput: a change does not fit.
    """
    of_text = [each for each in changes if each.apply is None]
    result = Applied(start)
    if of_text:
        if start.origin is None:
            raise BadInput("the change of text requires a program in a file; got a model in memory.")
        patch = patched([edit for each in of_text for edit in each.edits])
        if patch.refused:
            raise BadInput("; ".join(f"{edit}: {why}" for edit, why in patch.refused))
        result = Applied(from_text(start, start.origin, patch), _line_of(patch))
    training = result.training
    for change in changes:
        if change.apply is not None:
            training = change.apply(training)
    return replace(result, training=training)


def from_text(start: Training, origin: Origin, patch: Patch) -> Training:
    """Return the training of the program with patched text; nothing is written.

    Raises:
        BadInput: the patched program raises.
    """
    return training_of(reloaded(origin, patch.texts), origin=origin)


def _line_of(patch: Patch) -> Line:
    maps = {}
    for file, text in patch.texts.items():
        with open(file, encoding="utf-8", newline="") as old:
            maps[file] = line_map(old.read(), text)
    return lambda file, line: maps[file].get(line, 0) if file in maps else line
