"""The targets by name: those that can be run from Python, and those that a formula is printed for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from actlab.errors import CannotLower
from actlab.formula.expr import Expr
from actlab.lower import to_js, to_keras, to_mpmath, to_numpy, to_torch
from actlab.lower.straight_line import Leaf, Program


class Lowering(Protocol):
    """Something that turns formulas into a program."""

    def __call__(self, outputs: list[Expr], args: list[Leaf], *, entry: str = "f", summary: str = "") -> Program:
        """Return one function that computes all outputs together."""


TARGETS: Mapping[str, Lowering] = MappingProxyType(
    {"numpy": to_numpy.program, "torch": to_torch.program, "mpmath": to_mpmath.program}
)

PRINTED: Mapping[str, Lowering] = MappingProxyType({**TARGETS, "keras": to_keras.program})
"""The programs that can be printed; those of another framework are run there."""

SOURCES = (*PRINTED, to_js.TARGET, "latex")
"""What a formula can be printed as."""


def lowering(target: str) -> Lowering:
    """Return the target's function that turns formulas into a program.

    Raises:
        CannotLower: there is no such target.
    """
    if target not in PRINTED:
        raise CannotLower(f"there is no target '{target}'; choose one of {', '.join(PRINTED)}.")
    return PRINTED[target]
