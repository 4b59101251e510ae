"""An activation compared with itself: an A/A comparison, on other random numbers, by which the noise is shown.

It is named with a number, as in `relu#2`. The split of the rows is that of the seed, as for every arm; initial weights,
order of the rows and dropout come from a stream that no other arm has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from actlab.errors import BadStudy, shortened
from actlab.study.arm import Arm

_AGAIN = re.compile(r"(?P<of>.*\S)\s*#(?P<number>[2-9]|[1-9]\d+)", re.DOTALL)

_MISPLACED = re.compile(r"#\s*\d*\s*(@|$)")
"""A number of a repetition at any place, also where it cannot stand; not a # within the path of a file."""

Named = TypeVar("Named")

STREAM = 3
"""Distinguishes the streams of repeated arms from those that are drawn elsewhere from a master seed."""

HINT = (
    "To compare an activation with itself, on other random numbers, name it again with #2, such as relu#2: an A/A"
    " comparison."
)


def is_again(name: str) -> bool:
    """Return whether an arm of this name repeats another one.

    Example:
        >>> is_again("relu#2"), is_again("relu")
        (True, False)
    """
    return _AGAIN.fullmatch(name) is not None


def original(name: str) -> str:
    """Return the name of the arm that an arm repeats; its own if it repeats none.

    Example:
        >>> original("x*sigmoid(x)#3"), original("relu")
        ('x*sigmoid(x)', 'relu')
    """
    found = _AGAIN.fullmatch(name)
    return found["of"] if found else name


def original_of(one: Named) -> Named | str:
    """Return what an arm that is named by its text repeats; another one as it is."""
    return original(one) if isinstance(one, str) else one


def stream_of(name: str, seed: int) -> int:
    """Return the seed of what an arm draws, apart from the split of the rows.

    Example:
        >>> stream_of("relu", 5), stream_of("relu#2", 5) == stream_of("relu#3", 5)
        (5, False)
    """
    found = _AGAIN.fullmatch(name)
    if found is None:
        return seed
    drawn = np.random.SeedSequence([seed, STREAM, int(found["number"])]).generate_state(1)
    return int(drawn[0]) >> 1


def check_control(against: object) -> None:
    """Raise `BadStudy` if a control such as `relu#2` repeats another arm."""
    if isinstance(against, str) and _MISPLACED.search(against):
        raise BadStudy(
            f"the control must be without # and a number, as candidates repeat it; got '{shortened(against)}'. Name"
            f" {shortened(against.partition('#')[0])} as the control, and add the number to a candidate."
        )


def kept_apart(candidate: Named) -> Named | Arm:
    """Return a candidate such as `relu#2` as an arm that is merged with no other; another one as it is.

    Raises:
        BadStudy: it has a # that is not followed by a number from 2 on, or not at its end.
    """
    if isinstance(candidate, str) and is_again(candidate.strip()):
        found = _AGAIN.fullmatch(candidate.strip())
        assert found is not None
        return Arm(f"{found['of']}#{found['number']}", None)
    if isinstance(candidate, str) and _MISPLACED.search(candidate):
        raise BadStudy(
            f"the arm '{shortened(candidate)}' must have # and a number from 2 on at its end, such as relu#2 or"
            " relu@norm=batch#2, if it repeats another one."
        )
    return candidate


def repeated(arms: Sequence[Arm]) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Return the arms, those that `kept_apart` named now built as what they repeat, and a note on each of them.

    Raises:
        BadStudy: what an arm repeats is not among the arms.
    """
    by_name = {arm.name: arm for arm in arms if not is_again(arm.name)}
    found, notes = [], []
    for arm in arms:
        if not is_again(arm.name):
            found.append(arm)
            continue
        of = original(arm.name)
        if of not in by_name:
            raise BadStudy(
                f"{shortened(arm.name)} repeats {shortened(of)}, which must be compared too; got"
                f" {', '.join(by_name)}. Name {shortened(of)} beside it."
            )
        found.append(replace(by_name[of], name=arm.name))
        notes.append(
            f"{arm.name} is {of} once more, with other random numbers (an A/A comparison): a difference between the two"
            " is noise. It counts as a comparison."
        )
    return tuple(found), tuple(notes)
