"""Compute the gain of an activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actlab.errors import BadFormula
from actlab.formula.along_axis import AxisActivation
from actlab.jsonable import plain
from actlab.theory.gains import gain as gain_of
from actlab.verbs.activation_lookup import activation_named


@dataclass(frozen=True)
class Gain:
    """A gain, with the activation, the kind of gain and the input variance that it belongs to."""

    formula: str
    kind: str
    q: float
    gain: float

    def to_json(self) -> dict[str, Any]:
        """Return the four values."""
        plainly: dict[str, Any] = plain(self)
        return plainly

    def lines(self) -> list[str]:
        """Return one line of text."""
        return [f"{self.gain:.10g}  ({self.kind} gain of {self.formula} at q = {self.q:g})"]


def gain(formula: str, *, q: float = 1.0, kind: str = "second-moment", **params: float) -> Gain:
    """Compute the weight scale that preserves a signal's size through an activation.

    Args:
        formula: a name, a formula, or `file.py:name`.
        q: the variance of the activation's input.
        kind: second-moment, variance or backward.
        params: values of the activation's parameters.

    Raises:
        NoMoment: the moment does not exist.
        BadInput: q is not positive, or the kind is unknown.
    """
    act = activation_named(formula, **params)
    if isinstance(act, AxisActivation):
        raise BadFormula(
            f"{act.name} acts along an axis, so its gain depends on the axis's length; an element-wise activation is"
            " required."
        )
    return Gain(act.label, kind, float(q), gain_of(act, q=q, kind=kind))
