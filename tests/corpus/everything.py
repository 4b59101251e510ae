"""Every program with known truth, gathered from the files that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from corpus import (
    held_out_faulty,
    held_out_right,
    mutants_construction,
    mutants_output,
    mutants_running,
    reported_backward,
    reported_layers,
    reported_losses,
    reported_terms,
    stack_overflow,
    tempting_designs,
    tempting_generative,
    tempting_losses,
    tempting_networks,
    tempting_sequences,
)
from corpus.program import Program, Twins

FILES = (
    stack_overflow,
    mutants_output,
    mutants_construction,
    mutants_running,
    reported_losses,
    tempting_networks,
    tempting_sequences,
    tempting_losses,
    tempting_designs,
    tempting_generative,
    held_out_faulty,
    held_out_right,
    reported_backward,
    reported_layers,
    reported_terms,
)


def twins() -> list[Twins]:
    """Every pair of a faulty program and its correct twin."""
    return [found for file in FILES for found in made_in(file) if isinstance(found, Twins)]


def programs() -> list[Program]:
    """Every program, faulty ones beside their twins."""
    return [one for file in FILES for found in made_in(file) for one in each(found)]


def made_in(file: ModuleType) -> Iterator[Program | Twins]:
    """What a file itself declares, not what it imports."""
    for found in vars(file).values():
        if isinstance(found, Program | Twins) and each(found)[0].file == file.__file__:
            yield found


def each(found: Program | Twins) -> tuple[Program, ...]:
    return (found,) if isinstance(found, Program) else (found.faulty, found.right)
