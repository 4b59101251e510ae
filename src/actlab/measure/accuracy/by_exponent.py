"""The errors of an activation over the magnitude of its input, beside those of other implementations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from actlab.catalog.index import get
from actlab.errors import BadFormula
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.measure.accuracy.certificate import MODES, Outline, outline_of
from actlab.measure.accuracy.points import tensor
from actlab.measure.accuracy.ulp import format_of
from actlab.measure.accuracy.worst_case import as_doubles, errors
from actlab.measure.implementations import CERTIFIED, Implementation, executed

_COUNT = 8000


@final
@dataclass(frozen=True)
class Magnitude:
    """The errors of one implementation.

    Attributes:
        name: of the implementation.
        direction: "forward" or "backward".
        ulp: for each exponent, the largest error in units in the last place, near roots in units of the largest term;
            None without a point.
    """

    name: str
    direction: str
    ulp: tuple[float | None, ...]


@final
@dataclass(frozen=True)
class ByExponent:
    """The errors over the binary exponent of the input.

    Attributes:
        sign: of the input, -1 or 1.
        exponents: each stands for the inputs of size 2**exponent to just below 2**(exponent + 1).
        rows: one for each implementation and direction.
    """

    sign: int
    exponents: tuple[int, ...]
    rows: tuple[Magnitude, ...]


def by_exponent(
    formula: str | Activation | AxisActivation,
    *,
    dtype: str = "float32",
    against: Sequence[str] = ("composite",),
    exponents: tuple[int, int] = (-24, 8),
    seed: int = 0,
) -> tuple[ByExponent, ByExponent]:
    """Measure the largest error in each octave of negative and of positive inputs.

    Args:
        formula: an activation of one input, its name, or a formula as text.
        dtype: "float32", "float64", "bfloat16" or "float16".
        against: other implementations: "torch", "composite", "compiled" or "onnx".
        exponents: the smallest and the largest exponent.
        seed: of the random points.

    Raises:
        BadFormula: the activation has two inputs or acts along an axis.
        BadInput: the dtype or an implementation is unknown or does not run here.

    Example:
        >>> negative, positive = by_exponent("gelu", against=())
        >>> max(ulp for ulp in positive.rows[0].ulp if ulp is not None) < 2
        True
    """
    act = get(formula)
    if isinstance(act, AxisActivation) or len(act.inputs) > 1:
        raise BadFormula(f"{act.name}: errors over the size of the input require an activation of one input.")
    outline = outline_of(act, format_of(dtype), seed, _COUNT)
    (column,) = outline.columns
    with np.errstate(all="ignore"):
        octave = np.where(np.isfinite(column) & (column != 0), np.floor(np.log2(np.abs(column))), np.nan)
    programs = [executed(act, mode=MODES[0]), *(CERTIFIED[name](act) for name in against)]
    found = [(each.name, *row) for each in programs for row in _errors(each, outline)]
    wanted = tuple(range(exponents[0], exponents[1] + 1))
    negative, positive = (
        ByExponent(
            sign,
            wanted,
            tuple(
                Magnitude(name, direction, _largest(off, octave, np.sign(column) == sign, wanted))
                for name, direction, off in found
            ),
        )
        for sign in (-1, 1)
    )
    return negative, positive


def _errors(program: Implementation, outline: Outline) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the errors of the values and of the derivatives at every point."""
    tensors = [tensor(column, outline.fmt) for column in outline.columns]
    results = [("forward", program.forward(*tensors), outline.value)]
    # an implementation without a backward pass has no derivatives
    results += [("backward", dx, truth) for dx, truth in zip(program.backward(*tensors), outline.slopes, strict=False)]
    return [(direction, errors(as_doubles(got), truth, outline.fmt).ulps) for direction, got, truth in results]


def _largest(
    off: NDArray[np.float64], octave: NDArray[np.float64], among: NDArray[np.bool_], wanted: Sequence[int]
) -> tuple[float | None, ...]:
    counted = among & ~np.isnan(off)
    found = [off[counted & (octave == exponent)] for exponent in wanted]
    return tuple(float(each.max()) if len(each) else None for each in found)
