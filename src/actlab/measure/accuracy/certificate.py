"""Measure the certificate of an activation: how accurate its implementation is on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from actlab.catalog.index import get
from actlab.errors import BadFormula, BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.runtime.version import VERSION
from actlab.lower.straight_line import Leaf
from actlab.measure.accuracy.invariance import differ, layouts_apart, threads_apart
from actlab.measure.accuracy.points import Places, points, tensor
from actlab.measure.accuracy.record import Certificate, Measured, Place, Rounding, Special, Stretch, Worst
from actlab.measure.accuracy.reference import Reference, reference
from actlab.measure.accuracy.special_values import special
from actlab.measure.accuracy.ulp import Format, format_of
from actlab.measure.accuracy.worst_case import BOUNDS, as_doubles, errors, not_finite, worst
from actlab.measure.accuracy.zero_gradient import zero_gradient
from actlab.measure.implementations import (
    CERTIFIED,
    Derivatives,
    Function,
    Implementation,
    executed,
    kernels_of_params,
)

MODES: tuple[Mode, ...] = ("accurate", "fast")

# In float64 the reference is in long double, which takes ten times as long.
_COUNT = {16: 60_000, 32: 200_000, 64: 60_000}

Program = Function | tuple[Function, Derivatives] | Implementation


def certificate(
    formula: str | Activation | AxisActivation,
    *,
    dtype: str = "float32",
    mode: Mode | str = "accurate",
    function: Program | None = None,
    against: Sequence[str] = (),
    seed: int = 0,
    count: int | None = None,
) -> Certificate:
    """Measure how accurate the implementation of an activation is.

    Args:
        formula: an activation, its name, or a formula as text.
        dtype: "float32", "float64", "bfloat16" or "float16".
        mode: "accurate" or "fast".
        function: the implementation to measure; what `actlab.functional` runs if left out. A function of tensors that
            PyTorch can differentiate, or a pair of functions: the values, and a tuple of the derivatives by each input.
        against: other implementations to measure at the same points: "torch" for PyTorch's own function, "composite"
            for the formula as PyTorch operations, "compiled" for torch.compile, "onnx" for ONNX Runtime.
        seed: of the random points.
        count: the approximate number of points; in 16 bits every number is used.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`; or the activation acts along an axis.
        BadInput: the dtype, the mode or an implementation to compare with is unknown or does not run here.
        MissingExtra: ONNX Runtime is not installed.

    Example:
        >>> certificate("relu", count=2000).faults
        ()
    """
    act = get(formula)
    if isinstance(act, AxisActivation):
        raise BadFormula(f"{act.name} acts along an axis; an element-wise activation is required.")
    if mode not in ("accurate", "fast"):
        raise BadInput(f"mode must be {' or '.join(MODES)}; got '{mode}'.")
    chosen: Mode = "accurate" if mode == "accurate" else "fast"
    fmt = format_of(dtype)
    subject = _subject(act, function, mode=chosen)
    outline = outline_of(act, fmt, seed, _COUNT[fmt.bits] if count is None else count)
    own = measured(subject, outline, bounds=BOUNDS.get((mode, dtype), (None, None)))
    params = () if function is not None else _by_params(act, fmt, mode=chosen, seed=seed, count=count)
    others = tuple(measured(_other(name, act), outline, bounds=(None, None)) for name in against)
    tensors = tuple(tensor(column, fmt) for column in outline.columns)
    return Certificate(
        formula=act.label,
        dtype=dtype,
        mode=mode,
        measured=_joined(own, params),
        zero_gradient=_zero_gradient(subject, outline),
        special=_special(subject, outline),
        rounding=_rounding(subject, tensors, outline.columns) if fmt.bits == 16 else None,
        layouts=layouts_apart(subject, tensors),
        threads=threads_apart(subject, tensors),
        others=others,
        kernels=VERSION,
    )


@final
@dataclass(frozen=True)
class Outline:
    """The points of a formula and its exact values there.

    Attributes:
        args: the inputs in order.
        columns: the points, one array an input.
        value, slopes: the exact values of the formula and of its derivatives by each input.
        fmt: the dtype of the points.
    """

    args: tuple[Leaf, ...]
    columns: tuple[Places, ...]
    value: Reference
    slopes: tuple[Reference, ...]
    fmt: Format


@lru_cache(maxsize=2)
def outline_of(act: Activation, fmt: Format, seed: int, count: int) -> Outline:
    """Choose the points of an activation and compute its exact values, which serve every implementation."""
    args: tuple[Leaf, ...] = tuple(Input(name) for name in act.inputs)
    slopes = [act.derivative(name) for name in act.inputs]
    columns = points([act.formula, *slopes], args, fmt=fmt, seed=seed, count=count)
    truth = [reference(each, args, columns, fmt=fmt) for each in (act.formula, *slopes)]
    return Outline(args, columns, truth[0], tuple(truth[1:]), fmt)


def measured(
    implementation: Implementation, outline: Outline, *, bounds: tuple[float | None, float | None]
) -> Measured:
    """Measure the errors of one implementation's values and derivatives."""
    tensors = [tensor(column, outline.fmt) for column in outline.columns]
    forward, found = _worst(implementation.forward(*tensors), outline.value, "forward", bounds[0])
    gradients = []
    # an implementation without a backward pass has no derivatives
    for arg, dx, truth in zip(outline.args, implementation.backward(*tensors), outline.slopes, strict=False):
        each, more = _worst(dx, truth, f"backward ({arg.name})", bounds[1])
        gradients.append((arg.name, each))
        found += more
    return Measured(implementation.name, forward, tuple(gradients), tuple(found))


def _worst(result: Tensor, truth: Reference, direction: str, bound: float | None) -> tuple[Worst, list[Stretch]]:
    fmt = format_of(str(result.dtype).removeprefix("torch."))
    found = errors(as_doubles(result), truth, fmt)
    return worst(found, truth, fmt=fmt, bound=bound), [*not_finite(found, truth, fmt=fmt, direction=direction)]


def _subject(act: Activation, function: Program | None, *, mode: Mode) -> Implementation:
    match function:
        case None:
            return executed(act, mode=mode)
        case Implementation():
            return function
        case (forward, backward):
            return Implementation("given", forward, backward)
        case _:
            return Implementation("given", function)


def _other(name: str, act: Activation) -> Implementation:
    if name not in CERTIFIED:
        raise BadInput(f"against must be one of {', '.join(CERTIFIED)}; got '{name}'.")
    return CERTIFIED[name](act)


def _by_params(
    act: Activation, fmt: Format, *, mode: Mode, seed: int, count: int | None
) -> Iterator[tuple[str, Worst, list[Stretch]]]:
    """Measure the error of each element's derivative by every trainable parameter, rounded to the dtype."""
    wanted = [param.name for param in act.params if param.trainable]
    if not wanted:
        return
    program, args = kernels_of_params(act, mode=mode)
    values = {param.name: param.value for param in act.params}
    few = (_COUNT[fmt.bits] if count is None else count) // 4
    inputs = points([act.formula], args[: len(act.inputs)], fmt=fmt, seed=seed, count=few)
    given = [tensor(np.full_like(inputs[0], values[leaf.name]), fmt) for leaf in args[len(act.inputs) :]]
    columns = (*inputs, *(each.double().numpy() for each in given))
    found = program.backward(*(tensor(column, fmt) for column in inputs), *given)
    bound = BOUNDS.get((mode, fmt.name), (None, None))[1]
    for arg, dx in zip(args, found, strict=True):
        if arg.name in wanted:
            truth = reference(derivative(act.expression, arg), args, columns, fmt=fmt)
            yield arg.name, *_worst(dx, truth, f"backward ({arg.name})", bound)


def _joined(own: Measured, params: Any) -> Measured:
    gradients, found = list(own.gradients), list(own.non_finite)
    for name, each, more in params:
        gradients.append((name, each))
        found += more
    return Measured(own.name, own.forward, tuple(gradients), tuple(found))


def _zero_gradient(subject: Implementation, outline: Outline) -> Any:
    held = len(outline.args) - 1

    def gradient(x: Places) -> Places:
        columns = [np.ones_like(x)] * held + [x]
        return as_doubles(subject.backward(*(tensor(column, outline.fmt) for column in columns))[-1])

    return zero_gradient(gradient, outline.slopes[-1].formula, outline.args, fmt=outline.fmt)


def _special(subject: Implementation, outline: Outline) -> tuple[Special, ...]:
    if len(outline.args) > 1:
        return ()
    formula, slope = outline.value.formula, outline.slopes[0].formula
    return special(subject, formula, slope, outline.args[0], fmt=outline.fmt)


def _rounding(subject: Implementation, tensors: tuple[Tensor, ...], columns: tuple[Places, ...]) -> Rounding:
    """Count the results that differ from those of the same numbers in float32, rounded once."""
    dtype = tensors[0].dtype
    wide = [each.float() for each in tensors]
    values = differ(subject.forward(*tensors), subject.forward(*wide).to(dtype))
    pairs = zip(subject.backward(*tensors), subject.backward(*wide), strict=True)
    slopes = [differ(found, wanted.to(dtype)) for found, wanted in pairs]
    wrong = torch.stack([values, *slopes]).any(dim=0)
    first: Place | None = None
    if wrong.any():
        at = int(wrong.nonzero()[0])
        point = tuple(float(column[at]) for column in columns)
        first = point[0] if len(point) == 1 else point
    return Rounding(int(values.sum()), sum(int(each.sum()) for each in slopes), first)
