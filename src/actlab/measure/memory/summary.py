"""Report what a model's activations save for backward under each choice, and whether fewer bits help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast, final

import torch
from torch import nn

from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.measure.columns import aligned
from actlab.measure.memory.choices import AS_IS, Choice, Measured, Place, choices, fresh, measured, places_of
from actlab.measure.memory.saved_tensors import Hook, Kept, kept_by
from actlab.sites.site import Site
from actlab.sites.trace.calls import tensors_in
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.user_code import their_code

Progress = Callable[[int, int, float | None, str], None]

COMPILER = "inductor"

_NOWHERE: Mapping[str, Site] = MappingProxyType({})


@dataclass(frozen=True)
class PlaceMemory:
    """What one activation of the original model saves for a batch.

    Attributes:
        path, activation, spelling: its place, its name and its form in the code.
        exact_bits: the bits an element that would hold its gradient exactly; None if that takes more than four.
        kept_bytes: the bytes that it saves for backward.
        alone_bytes: of those, the bytes that no other operation saves: all that fewer bits could free.
        stays: why few bits cannot replace it; empty if they can.
    """

    path: str
    activation: str
    spelling: str
    exact_bits: int | None
    kept_bytes: int
    alone_bytes: int
    stays: str


@dataclass(frozen=True)
class ChoiceMemory:
    """What the whole step saves for a batch under one choice.

    Attributes:
        choice: its name.
        replaced: the number of places at which it changes the activation.
        kept_bytes: beyond parameters, buffers and the batch itself.
        compiled_bytes: the same under torch.compile; None if that was not measured.
    """

    choice: str
    replaced: int
    kept_bytes: int
    compiled_bytes: int | None


@final
@dataclass(frozen=True)
class Memory:
    """What one training step saves for backward.

    Attributes:
        task: its name.
        rows: of one batch.
        places: what each activation saves in the original model.
        choices: what the whole step saves under each choice.
        not_compiled: why torch.compile was not measured; empty if it was.
    """

    task: str
    rows: int
    places: tuple[PlaceMemory, ...]
    choices: tuple[ChoiceMemory, ...]
    not_compiled: str = ""

    @property
    def verdict(self) -> tuple[str, ...]:
        """What fewer bits would gain, in words."""
        return (*_of_places(self), *_of_choices(self))

    def to_json(self) -> dict[str, Any]:
        """Return all of it, sizes in bytes."""
        found: dict[str, Any] = plain(self)
        return {**found, "verdict": list(self.verdict)}

    def lines(self) -> list[str]:
        """Write two tables and the conclusions from them."""
        heads = ("at", "activation", "written as", "saves", "saves alone", "exact bits")
        places = [
            (row.path, row.activation, row.spelling, size(row.kept_bytes), size(row.alone_bytes), _bits(row))
            for row in self.places
        ]
        compiled = not self.not_compiled
        totals = [
            (row.choice, size(row.kept_bytes), *([size(row.compiled_bytes or 0)] if compiled else []))
            for row in self.choices
        ]
        return [
            f"{self.task}: one step on {self.rows} rows, as it is",
            *_indented(heads, *places),
            "",
            "the whole step saves for backward, beyond parameters and the batch",
            *_indented(("choice", "eager", *(["compiled"] if compiled else [])), *totals),
            "",
            *self.verdict,
        ]


def memory(
    subject: Task | Subject, *, compiled: bool = True, backend: str = COMPILER, progress: Progress | None = None
) -> Memory:
    """Measure what a model saves for backward in one training step, under each choice.

    Args:
        subject: a task, of whose training data one batch is run forward; or a model with a batch and, if it has one,
            a loss. The model is not trained.
        compiled: measure under torch.compile too; a few seconds for every choice.
        backend: the compiler of torch.compile.
        progress: is called after every choice.

    Raises:
        BadTask: no known activation was found in the model, or it raised an error. An error of the compiler is part of
            the answer.
    """
    of = measured(subject)
    places = places_of(of)
    found = _kept(fresh(of), of, watched={place.name: place.site for place in places})
    gaining = frozenset(name for name, alone in found.alone.items() if alone)
    asked = choices(of, places, gaining=gaining)
    rows: list[ChoiceMemory] = []
    reason = "" if compiled else "it was left out"
    for done, choice in enumerate(asked):
        eager, lean = _kept(choice.build(), of).total, None
        if not reason:
            lean, reason = _compiled(choice, of, backend=backend)
        rows.append(ChoiceMemory(choice.name, choice.replaced, eager, lean))
        if progress is not None:
            progress(done + 1, len(asked), None, choice.name)
    shares = tuple(_share(place, found) for place in places)
    return Memory(of.name, of.rows, shares, tuple(rows), reason)


def size(count: int) -> str:
    """Write a number of bytes for reading.

    Example:
        >>> size(1234567)
        '1.23 MB'
    """
    for unit, worth in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= worth:
            return f"{count / worth:.3g} {unit}" if count / worth < 1000 else f"{count / worth:.0f} {unit}"
    return f"{count} B"


def _kept(
    model: nn.Module,
    of: Measured,
    *,
    watched: Mapping[str, Site] = _NOWHERE,
    untraced: Callable[[Hook], Hook] = lambda hook: hook,
) -> Kept:
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), their_code(f"task '{of.name}': the model"):
        torch.manual_seed(0)
        return kept_by(
            lambda: of.output(model),
            model=model,
            there_anyway=of.there_anyway,
            watched=watched,
            untraced=untraced,
        )


def _compiled(choice: Choice, of: Measured, *, backend: str) -> tuple[int | None, str]:
    """Measure the compiled model without its loss; or return why it cannot be compiled."""
    torch.compiler.reset()
    try:
        with their_code(f"the model ({choice.name})", error=BadInput):
            model = cast(nn.Module, torch.compile(choice.build(), backend=backend))
            _train_once(model, of)  # compiled before the hooks are set, which would be compiled too
    except BadInput as error:
        return None, str(error)
    return _kept(model, of, untraced=torch.compiler.disable).total, ""


def _train_once(model: nn.Module, of: Measured) -> None:
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        learned = [each.sum() for each in tensors_in([of.output(model)]) if each.requires_grad]
        torch.autograd.backward(learned)


def _share(place: Place, found: Kept) -> PlaceMemory:
    kept, alone = found.by_place[place.name], found.alone[place.name]
    return PlaceMemory(place.name, place.activation, place.spelling, place.exact_bits, kept, alone, place.stays)


def _of_places(found: Memory) -> list[str]:
    """Say what holds place by place, once for each activation."""
    said = []
    for name in dict.fromkeys(row.activation for row in found.places):
        rows = [row for row in found.places if row.activation == name]
        if all(row.alone_bytes == 0 for row in rows):
            said.append(
                f"{name} saves nothing that another layer would not save anyway: fewer bits would gain nothing."
            )
        said += [f"{name} stays as it is: {reason}." for reason in dict.fromkeys(row.stays for row in rows) if reason]
    return said


def _of_choices(found: Memory) -> list[str]:
    first, *others = found.choices
    said = [_gain(first.kept_bytes, {row.choice: row.kept_bytes for row in others}, where="")]
    if found.not_compiled:
        return [*said, f"torch.compile was not measured: {found.not_compiled.rstrip('.')}."]
    lean = {row.choice: row.compiled_bytes or 0 for row in others}
    return [*said, _gain(first.compiled_bytes or 0, lean, where="Under torch.compile: ")]


def _gain(before: int, after: dict[str, int], *, where: str) -> str:
    better = {name: before - kept for name, kept in after.items() if kept < before}
    if not better:
        return f"{where}No choice saves less than the model {AS_IS}: few bits gain nothing here."
    gains = ", ".join(f"{name} {size(saved)} ({saved / before:.0%})" for name, saved in better.items())
    worse = [name for name in after if name not in better]
    return f"{where}Reduced by: {gains}." + (f" Not reduced: {', '.join(worse)}." if worse else "")


def _bits(row: PlaceMemory) -> str:
    return "stays" if row.stays else "-" if row.exact_bits is None else str(row.exact_bits)


def _indented(*rows: tuple[str, ...]) -> list[str]:
    return [f"  {line}" for line in aligned(rows)]
