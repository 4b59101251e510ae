"""How many operations an activation takes per element, forward and backward."""

from __future__ import annotations

from functools import lru_cache

from actlab.formula.activation import Activation
from actlab.formula.expr import Call, Constant, Input, Number, ParamRef, walk

CHEAP = frozenset({"abs", "sign", "max", "min"})
"""Atoms that a processor has an instruction for."""

OPERATIONS_OF_A_CALL = 12
"""Operations of an elementary function, such as an exponential: a polynomial of about this degree and its reduction."""


@lru_cache(maxsize=1024)
def operations(act: Activation) -> int:
    """Return the number of operations per element of value and derivative together, every shared part counted once.

    Arithmetic, a comparison, a choice and a maximum count one, an elementary function twelve. It is a measure to rank
    functions by, the same on every machine; times are measured.

    Example:
        >>> from actlab.catalog.index import get
        >>> operations(get("relu")) < operations(get("gelu")) < operations(get("mish"))
        True
    """
    slopes = [act.derivative(name) for name in act.inputs]
    return sum(map(_weight, dict.fromkeys(walk(act.expression, *slopes))))


def value_operations(act: Activation) -> int:
    """Return the number of operations per element of the value alone, counted as in `operations`.

    Example:
        >>> from actlab.catalog.index import get
        >>> value_operations(get("relu")), value_operations(get("tanh"))
        (2, 12)
    """
    return sum(map(_weight, dict.fromkeys(walk(act.expression))))


def _weight(node: object) -> int:
    match node:
        case Input() | ParamRef() | Number() | Constant():
            return 0
        case Call():
            return 1 if node.atom in CHEAP else OPERATIONS_OF_A_CALL
        case _:
            return 1
