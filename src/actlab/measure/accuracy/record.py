"""A certificate as a frozen value: all its figures, and which bounds it misses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from actlab.jsonable import plain

Place = float | tuple[float, ...]


@final
@dataclass(frozen=True)
class Worst:
    """The largest error of one output, in units in the last place.

    Attributes:
        max_ulp: the largest at finite inputs away from roots, in units of the exact value; infinite where a result
            is NaN or infinite but should be a number.
        at: its place; None if there was no point to measure at.
        near_root: the largest near a root, where the formula's outermost sum cancels, in units of the larger operand.
        near_root_at: its place; None if no sum cancels.
        within_20: the largest with every input in [−20, 20], measured as `max_ulp` is.
        bound: the limit of `max_ulp`; None if none is guaranteed.
        points: the number of points.
        to_fifty_digits: how many of them needed fifty digits.
    """

    max_ulp: float
    at: Place | None
    near_root: float
    near_root_at: Place | None
    within_20: float
    bound: float | None
    points: int
    to_fifty_digits: int

    @property
    def is_within(self) -> bool:
        """Whether the bounds are met: its own, and 2 units of the larger operand near a root."""
        return self.bound is None or (self.max_ulp <= self.bound and self.near_root <= min(self.bound, 2.0))


@final
@dataclass(frozen=True)
class Stretch:
    """Points at which a result is NaN or infinite but should not be: neighbors of one input, or all pairs.

    Attributes:
        direction: "forward", or "backward" with the argument in brackets.
        got: "nan", "inf" or "-inf".
        start, end: the outermost points.
        points: the number of points in it.
    """

    direction: str
    got: str
    start: Place
    end: Place
    points: int

    def holds(self, x: str) -> bool:
        """Say whether this infinite input is one of the ends."""
        return float(x) in (self.start, self.end)


@final
@dataclass(frozen=True)
class ZeroGradient:
    """The |x| from which on the gradient is exactly 0, up to the largest number; None if it never is.

    Attributes:
        left, right: for negative and for positive x.
        left_too_early, right_too_early: whether the true gradient is still above the dtype's smallest number there.
    """

    left: float | None
    right: float | None
    left_too_early: bool
    right_too_early: bool

    @property
    def too_early(self) -> tuple[tuple[str, float], ...]:
        """The sides on which it is 0 while the true gradient is not, each with the |x| from which on."""
        sides = (("left", self.left, self.left_too_early), ("right", self.right, self.right_too_early))
        return tuple((side, place) for side, place, early in sides if early and place is not None)


@final
@dataclass(frozen=True)
class Special:
    """The results for one special input.

    Attributes:
        x: "-inf", "-0", "0", "inf" or "nan".
        forward, backward: the results.
        limit, slope_limit: the limits of the formula and its derivative; None if there is none or it is unknown.
        is_right: whether the value is the limit to some units in the last place, and NaN is not swallowed.
    """

    x: str
    forward: float
    backward: float
    limit: float | None
    slope_limit: float | None
    is_right: bool

    @property
    def is_number(self) -> bool:
        """Whether the value and its limit are finite numbers, which may be some units apart."""
        return self.limit is not None and math.isfinite(self.limit) and math.isfinite(self.forward)


@final
@dataclass(frozen=True)
class Rounding:
    """The number of 16-bit inputs whose result is not the float32 result rounded once.

    Attributes:
        forward, backward: how many.
        first: one of these inputs; None if there is none.
    """

    forward: int
    backward: int
    first: Place | None


@final
@dataclass(frozen=True)
class Measured:
    """The errors of one implementation.

    Attributes:
        name: of the implementation.
        forward: of the values.
        gradients: of the derivative by each input, and by each trainable parameter, by its name.
        non_finite: where results are NaN or infinite but should not be.
    """

    name: str
    forward: Worst
    gradients: tuple[tuple[str, Worst], ...]
    non_finite: tuple[Stretch, ...]

    @property
    def backward(self) -> Worst | None:
        """The worst of all derivatives, first any that misses its bound; None if there is no backward pass."""
        each = [worst for _, worst in self.gradients]
        return max(each, key=lambda worst: (not worst.is_within, worst.max_ulp), default=None)


@final
@dataclass(frozen=True)
class Certificate:
    """The accuracy of an implementation of an activation in one dtype and mode.

    Attributes:
        formula: the activation, with its parameters' values.
        dtype, mode: of the measurement.
        measured: errors, and where results are not finite.
        zero_gradient: where the gradient is exactly 0; for a gated unit the gradient by the gate, at a value of 1.
        special: the results for zeros, infinities and NaN; empty for a gated unit.
        rounding: for 16-bit dtypes, the comparison with float32 rounded.
        layouts: the memory layouts whose results differ from contiguous ones in any bit; none if all is well.
        threads: the thread counts whose results differ from those of one thread in any bit.
        others: the errors of other implementations: composite, PyTorch's own, compiled, ONNX Runtime.
        kernels: the version of the kernels.
    """

    formula: str
    dtype: str
    mode: str
    measured: Measured
    zero_gradient: ZeroGradient
    special: tuple[Special, ...]
    rounding: Rounding | None
    layouts: tuple[str, ...]
    threads: tuple[int, ...]
    others: tuple[Measured, ...]
    kernels: str

    @property
    def faults(self) -> tuple[str, ...]:
        """The bounds that it misses, one sentence each."""
        return tuple(_faults(self))

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name; infinite numbers are strings."""
        forward, backward = self.measured.forward, self.measured.backward
        figures = {
            "formula": self.formula,
            "dtype": self.dtype,
            "mode": self.mode,
            "forward": _worst(forward),
            "backward": _worst(backward),
            "non_finite": self.measured.non_finite,
            "zero_gradient": self.zero_gradient,
            "gradients": {name: _worst(worst) for name, worst in self.measured.gradients},
            "special": self.special,
            "rounding": self.rounding,
            "layouts_apart": self.layouts,
            "threads_apart": self.threads,
            "against": {other.name: _measured(other) for other in self.others},
            "kernels": self.kernels,
            "within": not self.faults,
            "faults": self.faults,
        }
        plainly: dict[str, Any] = plain(figures)
        return plainly


def _worst(worst: Worst | None) -> dict[str, Any] | None:
    return None if worst is None else {**plain(worst), "within": worst.is_within}


def _measured(other: Measured) -> dict[str, Any]:
    return {"forward": _worst(other.forward), "backward": _worst(other.backward), "non_finite": other.non_finite}


def _faults(certificate: Certificate) -> Iterator[str]:
    measured = certificate.measured
    for label, worst in (("forward", measured.forward), *((f"by {name}", each) for name, each in measured.gradients)):
        # an infinite error is a result that is not finite, which is reported below with the whole stretch
        if worst.bound is not None and worst.bound < worst.max_ulp < math.inf:
            yield f"{label}: {worst.max_ulp:.3g} ULP at {worst.at}, where {worst.bound:g} are allowed"
        if worst.bound is not None and worst.near_root > min(worst.bound, 2.0):
            yield (
                f"{label}: {worst.near_root:.3g} ULP of the larger operand near a root at {worst.near_root_at}, "
                f"where {min(worst.bound, 2.0):g} are allowed"
            )
    for stretch in measured.non_finite:
        span = f"from {stretch.start} to {stretch.end}"
        yield f"{stretch.direction}: {stretch.got} {span}, where the exact value is finite"
    rounding = certificate.rounding
    if rounding is not None and rounding.forward + rounding.backward:
        yield (
            f"{rounding.forward} values and {rounding.backward} derivatives are not the float32 result rounded once, "
            f"for example at {rounding.first}"
        )
    # a gradient that ends too early and a value some units off are faults only if the mode guarantees a bound
    is_bounded = measured.forward.bound is not None
    for side, place in certificate.zero_gradient.too_early if is_bounded else ():
        yield f"the gradient is 0 on the {side} from |x| = {place:g} on, where the true one is not 0"
    if certificate.layouts:
        yield f"{', '.join(certificate.layouts)} tensors give other bits than contiguous ones"
    if certificate.threads:
        yield f"{', '.join(map(str, certificate.threads))} threads give other bits than one"
    for special in certificate.special:
        reported = any(stretch.holds(special.x) for stretch in measured.non_finite)
        if not (special.is_right or reported or (special.is_number and not is_bounded)):
            wanted = "NaN" if special.x == "nan" else _number(special.limit)
            yield f"input {special.x} gives {special.forward:g} instead of {wanted}"


def _number(value: float | None) -> str:
    return "its limit" if value is None else f"{value:g}"
