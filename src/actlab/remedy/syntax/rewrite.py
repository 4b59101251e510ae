"""Carry out the edits of one file: find what each names, change the text, and check the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from actlab.remedy.edit import (
    BeforeReturn,
    ChangeArgument,
    Edit,
    InsertActivation,
    InsertModule,
    RemoveActivation,
    ReplaceActivation,
    ReplaceLoss,
)
from actlab.remedy.syntax.activations import Rewriting, Target, targets
from actlab.remedy.syntax.arguments import argument_changes
from actlab.remedy.syntax.change import Change, changed, check, joined
from actlab.remedy.syntax.factories import factory_changes
from actlab.remedy.syntax.layers import layer_changes
from actlab.remedy.syntax.losses import loss_changes
from actlab.remedy.syntax.names import Names
from actlab.remedy.syntax.program import Program, Refused, Unreadable, program_of


@final
@dataclass(frozen=True)
class Rewritten:
    """The new text of a file.

    Attributes:
        data: the new bytes; the old ones if no edit could be done.
        refused: the edits that could not be done, each with the reason.
    """

    data: bytes
    refused: tuple[tuple[Edit, str], ...]


def rewritten(data: bytes, edits: Sequence[Edit]) -> Rewritten:
    """Return a file's bytes with its edits: all that can be done, and no part of one that cannot."""
    try:
        program = program_of(data)
    except Unreadable as error:
        return Rewritten(data, tuple((edit, f"the file is not a Python program: {error}") for edit in edits))
    refused: dict[int, str] = {}
    found = _targets(program, edits, refused)
    while True:
        kept = [at for at in range(len(edits)) if at not in refused]
        if not kept:
            break
        known = {at: found[at] for at in kept if at in found}
        try:
            new = _together(program, edits, kept, known)
        except Refused:
            at, why = _first_failing(program, edits, kept, known)
            refused[at] = why
        else:
            return Rewritten(new, _reasons(edits, refused))
    return Rewritten(data, _reasons(edits, refused))


def _reasons(edits: Sequence[Edit], refused: Mapping[int, str]) -> tuple[tuple[Edit, str], ...]:
    return tuple((edits[at], refused[at]) for at in sorted(refused))


def _targets(program: Program, edits: Sequence[Edit], refused: dict[int, str]) -> dict[int, list[Target]]:
    """Return what the edits of activations concern; those that find nothing are refused."""
    found: dict[int, list[Target]] = {}
    for at, edit in enumerate(edits):
        if isinstance(edit, ReplaceActivation | RemoveActivation):
            try:
                found[at] = targets(program, edit)
            except Refused as why:
                refused[at] = str(why)
    return found


Found = Mapping[int, list[Target]]


def _first_failing(program: Program, edits: Sequence[Edit], kept: Sequence[int], found: Found) -> tuple[int, str]:
    """Return the first edit that does not go together with those before it, and why."""
    for count in range(1, len(kept) + 1):
        try:
            _together(program, edits, kept[:count], found)
        except Refused as why:
            return kept[count - 1], str(why)
    raise AssertionError("the edits go together")


def _together(program: Program, edits: Sequence[Edit], kept: Sequence[int], found: Found) -> bytes:
    """Return the bytes of the program with all edits.

    Raises:
        Refused: one cannot be written, they do not go together, or more than the intended text would change.
    """
    names = Names(program)
    changes: list[Change] = []
    for at in kept:
        new = list(_changes(program, names, edits, at, found))
        if not new:
            raise Refused("the text says so already")
        changes += new
    done = joined([*changes, *names.changes()])
    module = changed(program, done)
    text = module.code
    check(program, done, text)
    return text.encode(module.encoding)


def _changes(program: Program, names: Names, edits: Sequence[Edit], at: int, found: Found) -> Iterator[Change]:
    edit = edits[at]
    match edit:
        case ReplaceActivation() | RemoveActivation():
            alike = [target for other, all_of in found.items() if _is_alike(edits[other], edit) for target in all_of]
            covered = frozenset(load for target in alike for load, _ in target.origin.loads)
            rewriting = Rewriting(program, names, covered)
            for target in found[at]:
                yield from rewriting.changes(edit, target)
        case InsertActivation() | InsertModule():
            yield from layer_changes(program, names, edit)
        case ReplaceLoss():
            yield from loss_changes(program, names, edit)
        case ChangeArgument():
            yield from argument_changes(program, edit)
        case BeforeReturn():
            yield from factory_changes(program, names, edit)


def _is_alike(one: Edit, other: Edit) -> bool:
    """Return whether two edits of activations ask for the same one."""
    if isinstance(one, ReplaceActivation) and isinstance(other, ReplaceActivation):
        return one.activation == other.activation and dict(one.arguments) == dict(other.arguments)
    return type(one) is type(other)
