"""Fill the facts of a text in: `{{slope sigmoid 0 | .3f}}` becomes 0.250."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from typing import final

from actlab.errors import ActlabError, BadInput
from actlab.lessons import facts, training_facts

Fact = Callable[..., float | int | str]

FACTS: Mapping[str, Fact] = {**facts.FACTS, **training_facts.FACTS}
"""Every fact that a text may use, by name."""

DEFAULT_FORMAT = ".4g"

_USE = re.compile(r"\{\{(.+?)\}\}")
_NAMED = re.compile(r"([a-z_]\w*)=(.+)")
_FORMAT = re.compile(r"[+,]{0,2}(\.\d{1,2})?[defg%]?")
_EXPONENT = re.compile(r"e([+-])0*(\d+)")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@final
@dataclass(frozen=True)
class Use:
    """One use of a fact in a text.

    Attributes:
        name: the fact.
        args: its arguments; what reads as a number is one.
        named: its arguments by name.
        format: how the number is written.
    """

    name: str
    args: tuple[float | str, ...]
    named: tuple[tuple[str, float | str], ...]
    format: str

    def value(self) -> float | int | str:
        """Return the fact.

        Raises:
            BadInput: there is no such fact, or it cannot be computed from these arguments.
        """
        if self.name not in FACTS:
            near = get_close_matches(self.name, FACTS, n=1)
            raise BadInput(f"no fact is named '{self.name}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        fact = FACTS[self.name]
        try:
            signature(fact).bind(*self.args, **dict(self.named))
        except TypeError as error:
            raise BadInput(f"the fact '{self.name}' does not take these arguments: {error}.") from error
        return fact(*self.args, **dict(self.named))


def filled(text: str, place: str) -> str:
    """Return a text with the facts in it filled in.

    Args:
        text: one line or more of Markdown.
        place: file and line, for errors.

    Raises:
        BadInput: a fact is unknown, or cannot be computed from its arguments.
    """
    return _USE.sub(lambda found: _written(found[1], place), text)


def uses(text: str) -> Iterator[Use]:
    """Yield the uses of facts in a text."""
    yield from (use_of(found[1]) for found in _USE.finditer(text))


def use_of(text: str) -> Use:
    """Parse the inside of `{{...}}`.

    Raises:
        BadInput: it names no fact, or its format is not one of numbers.
    """
    head, _, form = text.partition("|")
    words = shlex.split(head)
    if not words or not _FORMAT.fullmatch(form.strip()):
        raise BadInput(f"a fact is written {{{{name argument ... | format}}}}; got '{text}'.")
    named = [found for word in words[1:] if (found := _NAMED.fullmatch(word))]
    return Use(
        words[0],
        tuple(_argument(word) for word in words[1:] if not _NAMED.fullmatch(word)),
        tuple((found[1], _argument(found[2])) for found in named),
        form.strip() or DEFAULT_FORMAT,
    )


def _written(text: str, place: str) -> str:
    try:
        use = use_of(text)
        value = use.value()
        return value if isinstance(value, str) else number_text(value, use.format)
    except (ActlabError, ValueError) as error:  # ValueError: shlex, an open quote
        raise BadInput(f"{place}: {error}") from error


def number_text(value: float, form: str = DEFAULT_FORMAT) -> str:
    """Return a number as a text has it: a minus sign, and 1.2 × 10⁻⁵ for 1.2e-05."""
    text = format(value, form)
    text = _EXPONENT.sub(lambda found: f" × 10{(found[1] + found[2]).lstrip('+').translate(_RAISED)}", text)
    return text.replace("-", "−").replace("%", " %")


def _argument(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
