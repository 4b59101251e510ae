"""Bounds of values: which numbers a value can take, whatever the weights, and which activations set those bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
from torch import Tensor

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.rules.dataflow import Made, made_by, parameters_of, upstream
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.trace.trace import Step, Trace
from actlab.telemetry.observed_activation import measured
from actlab.theory.properties import properties

# Longer chains of arithmetic are not followed.
_DEEPEST = 60
_MOVES = MOVES | {"broadcast_tensors", "long", "repeat_interleave", "roll", "flip", "index", "masked_scatter"}
_RISING: Mapping[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "sqrt": torch.sqrt,
    "expm1": torch.expm1,
    "relu": torch.relu,
}
_WITHIN = frozenset({"mean", "max", "min", "amax", "amin", "median", "sort", "topk", "maximum", "minimum", "cat",
                     "stack", "hstack", "vstack", "column_stack", "where", "lerp", "nanmean", "quantile"})  # fmt: skip
_PRODUCTS = frozenset({"matmul", "mm", "bmm"})
_POOLS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
_ARITHMETIC = frozenset({"add", "sub", "rsub", "mul", "div", "rdiv", "neg", "clamp", "sum", "pow", "normalize",
                         "einsum", *_MOVES, *_WITHIN, *_PRODUCTS})  # fmt: skip
_FILLED = {"ones_like": 1.0, "zeros_like": 0.0, "new_ones": 1.0, "new_zeros": 0.0}


@final
@dataclass(frozen=True, eq=False)
class Bounds:
    """The least and the largest number that a value can take.

    Attributes:
        low, high: of each element, or of all of them.
        sources: the activations that set them; none if the value is data.
    """

    low: Tensor
    high: Tensor
    sources: tuple[Made, ...] = ()

    @property
    def least(self) -> float:
        """The least number of all elements."""
        return float(self.low.min())

    @property
    def most(self) -> float:
        """The largest number of all elements."""
        return float(self.high.max())

    @property
    def is_open(self) -> bool:
        """Whether no element has a finite end."""
        return not bool(self.low.isfinite().any() or self.high.isfinite().any())


@final
class BoundsOf:
    """Compute the bounds of the values of one pass; each is computed once.

    Args:
        trace: the pass.
        numbers: by value, tensors that the loss reads.
        limits: by value, the least and largest element of constants that the model reads.
    """

    def __init__(self, trace: Trace, numbers: Mapping[int, Tensor], limits: Mapping[int, tuple[float, float]]) -> None:
        self._trace, self._numbers, self._limits = trace, numbers, limits
        self._known: dict[int, Bounds | None] = {}
        self._depth = 0

    def __call__(self, value: int) -> Bounds | None:
        """Return the bounds; None if the value can be any number, or if its bounds are unknown."""
        if value not in self._known:
            if self._depth > _DEEPEST:
                return None
            self._depth += 1
            try:
                found = self._data(value) or self._computed(value)
            finally:
                self._depth -= 1
            self._known[value] = None if found is None or found.is_open else found
        return self._known[value]

    def _data(self, value: int) -> Bounds | None:
        """Return the numbers of a value that no parameter takes part in."""
        trace = self._trace
        if trace.values[value].requires_grad or trace.values[value].origin.startswith("parameter"):
            return None
        numbers, limits = self._numbers.get(value), self._limits.get(value)
        if numbers is None and limits is None:
            return None
        steps = [trace.steps[place] for place in upstream(trace, value)]
        if any(parameters_of(trace, step) for step in steps):
            return None
        if numbers is not None:
            is_plain = numbers.numel() > 0 and not numbers.is_complex() and not numbers.is_sparse
            return Bounds(numbers.double(), numbers.double()) if is_plain and not numbers.isnan().any() else None
        read = {origin for step in steps for each in step.inputs if (origin := trace.values[each].origin)}
        if any(origin.startswith("input") for origin in {*read, trace.values[value].origin}):
            return None  # other inputs have other numbers
        assert limits is not None
        return _bounds(*limits)

    def _computed(self, value: int) -> Bounds | None:
        step = self._trace.maker(value)
        if step is None:
            return None
        if step.function in _FILLED:
            return _bounds(_FILLED[step.function], _FILLED[step.function])
        of_inputs = self._arithmetic(value, step) if self._is_arithmetic(step) else None
        if of_inputs is not None:
            return of_inputs
        made = made_by(self._trace, value)
        limits = range_of(made)
        return None if limits is None or made.value != value else self._narrowed(made, limits)

    def _narrowed(self, made: Made, limits: tuple[float, float]) -> Bounds:
        """Return the range of an activation, or the part that is left if another one bounds its input."""
        act, known = made.activation, None if made.source is None else self(made.source)
        if known is None or not known.sources or not isinstance(act, Activation) or properties(act).direction != 1:
            return _bounds(*limits, made)
        low, high = (
            float(measured(act).pair(torch.tensor(end, dtype=torch.double))[0]) if math.isfinite(end) else limit
            for end, limit in zip((known.least, known.most), limits, strict=True)
        )
        return _bounds(max(low, limits[0]), min(high, limits[1]), made)

    def _is_arithmetic(self, step: Step) -> bool:
        site = self._trace.site_at(step)
        return site is None or step.function in {"relu", "clamp"}

    def _arithmetic(self, value: int, step: Step) -> Bounds | None:
        """Return the bounds of the result of arithmetic on values whose bounds are known."""
        function = step.function
        if not step.inputs or "alpha" in step.arguments:
            return None
        if function in _MOVES:
            at = step.outputs.index(value) if function == "broadcast_tensors" and value in step.outputs else 0
            return _moved(self(step.inputs[at]), self._trace.values[value].shape)
        if function in {"max", "min", "sort", "topk", "median"} and value != step.outputs[0]:
            return None
        if function in {"add", "sub", "rsub", "mul", "div", "rdiv"}:
            return self._binary(step)
        if function in _WITHIN:
            return self._joined(step)
        if function in _PRODUCTS and len(step.inputs) == 2:
            return self._product(step)
        if function == "cosine_similarity":
            return self._cosine(step)
        if function == "sum" and _of_softmax(self._trace, step):
            return _bounds(1.0, 1.0, *_sources(self(step.inputs[0])))
        known = self(step.inputs[0])
        return None if known is None else self._of_one(step, known)

    def _of_one(self, step: Step, known: Bounds) -> Bounds | None:
        """Return the bounds of a function of one value."""
        function, low, high = step.function, known.low, known.high
        if function in _RISING:
            return Bounds(_RISING[function](low), _RISING[function](high), known.sources)
        if function == "neg":
            return Bounds(-high, -low, known.sources)
        if function == "clamp":
            ends = step.arguments.get("min"), step.arguments.get("max")
            if len(step.inputs) > 1 or not all(end is None or isinstance(end, int | float) for end in ends):
                return None
            return Bounds(low.clamp(*ends), high.clamp(*ends), known.sources)
        if function in {"abs", "square", "pow"}:
            return _power(step, known)
        if function == "sum":
            count = _size(self._trace, step.inputs[0]) / max(_size(self._trace, step.outputs[0]), 1)
            return _bounds(count * known.least, count * known.most, *known.sources)
        if function == "normalize":
            return _bounds(0.0, 1.0, *known.sources) if known.least >= 0 else None
        if function.startswith(_POOLS):  # they may pad with zeros
            return _bounds(min(known.least, 0.0), max(known.most, 0.0), *known.sources)
        if function == "prod":
            return _bounds(0.0, 1.0, *known.sources) if known.least >= 0 and known.most <= 1 else None
        if function in {"dropout", "masked_fill"}:
            return _with_zeros(step, known)
        return None

    def _binary(self, step: Step) -> Bounds | None:
        """Return the bounds of a sum, difference, product or quotient of two values, or of a value and a number."""
        function, (one, other) = step.function, self._operands(step)
        if one is None or other is None:
            return None
        if function in {"rsub", "rdiv"}:
            function, one, other = function[1:], other, one
        if function == "div" and self._is_share(step):
            return _bounds(0.0, 1.0, *one.sources)
        sources = _together([one, other])
        if function == "add":
            return _checked(lambda a, b: (a.low + b.low, a.high + b.high), one, other, sources)
        if function == "sub":
            return _checked(lambda a, b: (a.low - b.high, a.high - b.low), one, other, sources)
        if function == "div" and other.least <= 0 <= other.most:
            return None
        return _checked(_multiplied if function == "mul" else _divided, one, other, sources)

    def _operands(self, step: Step) -> tuple[Bounds | None, Bounds | None]:
        if len(step.inputs) == 2:
            return self(step.inputs[0]), self(step.inputs[1])
        number = constant_of(step)
        known = None if number is None else self(step.inputs[0])
        if known is None or number is None:
            return None, None
        other = _bounds(number, number)
        is_first = any(key in step.arguments and _is_number(step.arguments[key]) for key in ("0", "input"))
        return (other, known) if is_first else (known, other)

    def _is_share(self, step: Step) -> bool:
        """Return whether non-negative numbers are divided by their own sum."""
        if len(step.inputs) != 2:
            return False
        above, total = self(step.inputs[0]), self._trace.maker(step.inputs[1])
        while total is not None and total.function in _MOVES | {"add", "clamp"} and total.inputs:
            total = self._trace.maker(total.inputs[0])
        is_own = total is not None and total.function == "sum" and total.inputs[:1] == step.inputs[:1]
        return is_own and above is not None and above.least >= 0

    def _joined(self, step: Step) -> Bounds | None:
        """Return the bounds of what is picked from, or lies between, several values."""
        values = (
            step.inputs[1:] if step.function == "where" else step.inputs[:2] if step.function == "lerp" else step.inputs
        )
        known = [self(value) for value in values]
        if step.function == "where":
            known += [_bounds(number, number) for number in _numbers(step)]
        parts = [each for each in known if each is not None]
        if not parts or len(parts) < len(known):
            return None
        low, high = min(each.least for each in parts), max(each.most for each in parts)
        return _bounds(low, high, *_together(parts))

    def _cosine(self, step: Step) -> Bounds | None:
        """Return the bounds of a cosine: it is not negative if no number of either vector is."""
        known = [self(value) for value in step.inputs[:2]]
        parts = [each for each in known if each is not None and each.least >= 0]
        return _bounds(0.0, 1.0, *_together(parts)) if len(parts) == len(known) else None

    def activations_behind(self, value: int) -> tuple[Made, ...]:
        """Return the activations from which arithmetic alone leads to the value; none if anything else does too."""
        found, waiting, visited = dict[int, Made](), [value], set[int]()
        while waiting:
            value = waiting.pop()
            if value in visited or not self._trace.values[value].requires_grad:
                continue
            visited.add(value)
            made, step = made_by(self._trace, value), self._trace.maker(value)
            if range_of(made) is not None and made.value == value:
                found[value] = made
            elif step is not None and step.function in _ARITHMETIC and len(visited) <= _DEEPEST:
                waiting += step.inputs
            else:
                return ()
        return tuple(found.values())

    def _product(self, step: Step) -> Bounds | None:
        """Return the bounds of a product of matrices, of which the first may be shares or the second constant."""
        one, other = self(step.inputs[0]), self(step.inputs[1])
        if one is None or other is None:
            return None
        sources = _together([one, other])
        made = made_by(self._trace, step.inputs[0])
        shape = self._trace.values[step.inputs[0]].shape
        if made.name == "softmax" and made.value == step.inputs[0] and made.dim == len(shape) - 1:
            return _bounds(other.least, other.most, *sources)
        if not other.sources and other.low.dim() == 2:
            up, down = other.high.clamp(min=0).sum(0), other.low.clamp(max=0).sum(0)
            return Bounds((up * one.least + down * one.most).min(), (up * one.most + down * one.least).max(), sources)
        low, high = _multiplied(_bounds(one.least, one.most), _bounds(other.least, other.most))
        return Bounds(shape[-1] * low, shape[-1] * high, sources)


def range_of(made: Made) -> tuple[float, float] | None:
    """Return the range of the activation that computed a value; None if it is unknown."""
    if made.name in {"softmax", "sigmoid"}:
        return 0.0, 1.0
    if not isinstance(made.activation, Activation) or made.name == "gated" or len(made.activation.inputs) != 1:
        return None
    try:
        known = properties(made.activation).range
    except ActlabError:
        return None
    low, high = known.lower, known.upper
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return None


def constant_of(step: Step) -> float | None:
    """Return the number among the arguments of arithmetic; None unless there is exactly one."""
    found = _numbers(step)
    return float(found[0]) if len(found) == 1 else None


def _numbers(step: Step) -> list[float]:
    keys = ("0", "1", "2", "input", "other", "exponent", "value")
    return [float(step.arguments[key]) for key in keys if key in step.arguments and _is_number(step.arguments[key])]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounds(low: float, high: float, *sources: Made) -> Bounds:
    return Bounds(torch.tensor(low, dtype=torch.double), torch.tensor(high, dtype=torch.double), sources)


def _sources(known: Bounds | None) -> tuple[Made, ...]:
    return () if known is None else known.sources


def _together(parts: Sequence[Bounds]) -> tuple[Made, ...]:
    """Return the sources of several bounds, each value once."""
    return tuple({made.value: made for each in parts for made in each.sources}.values())


def _checked(
    rule: Callable[[Bounds, Bounds], tuple[Tensor, Tensor]], one: Bounds, other: Bounds, sources: tuple[Made, ...]
) -> Bounds | None:
    """Return the bounds of a function of two values; None if they are unknown, such as 0 times infinity."""
    try:
        low, high = rule(one, other)
    except RuntimeError:  # the shapes of the bounds do not fit, because a value between was reshaped
        low, high = rule(_bounds(one.least, one.most), _bounds(other.least, other.most))
    return None if bool(low.isnan().any() or high.isnan().any()) else Bounds(low, high, sources)


def _multiplied(one: Bounds, other: Bounds) -> tuple[Tensor, Tensor]:
    products = [a * b for a in (one.low, one.high) for b in (other.low, other.high)]
    # 0 times an open end is 0
    ends = [each.nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf) for each in products]
    return reduce(torch.minimum, ends), reduce(torch.maximum, ends)


def _divided(one: Bounds, other: Bounds) -> tuple[Tensor, Tensor]:
    return _multiplied(one, Bounds(1 / other.high, 1 / other.low))


def _power(step: Step, known: Bounds) -> Bounds | None:
    exponent = {"abs": 1.0, "square": 2.0}.get(step.function, constant_of(step))
    if exponent is None or exponent <= 0 or len(step.inputs) > 1:
        return None
    if step.function == "pow" and exponent % 2 and known.least < 0:
        is_odd = exponent % 2 == 1
        return Bounds(known.low**exponent, known.high**exponent, known.sources) if is_odd else None
    low, high = known.low.abs(), known.high.abs()
    holds_zero = (known.low <= 0) & (known.high >= 0)
    least = torch.minimum(low, high).masked_fill(holds_zero, 0.0)
    return Bounds(least**exponent, torch.maximum(low, high) ** exponent, known.sources)


def _with_zeros(step: Step, known: Bounds) -> Bounds | None:
    """Return the bounds if some elements become 0 and the others grow, or if some are filled with a number."""
    if step.function == "masked_fill":
        fill = constant_of(step)
        if fill is None:
            return None
        return _bounds(min(known.least, fill), max(known.most, fill), *known.sources)
    share = step.arguments.get("p", 0.5)
    if not isinstance(share, int | float) or not 0 <= share < 1:
        return None
    scale = 1 / (1 - share) if step.arguments.get("training", True) else 1.0
    return _bounds(min(scale * known.least, 0.0), max(scale * known.most, 0.0), *known.sources)


def _moved(known: Bounds | None, shape: tuple[int, ...]) -> Bounds | None:
    """Return the bounds after a move: element by element if it only reshapes, else of all elements."""
    if known is None or (known.low.dim() == 0 and known.high.dim() == 0):
        return known
    if known.low.numel() == math.prod(shape) == known.high.numel() and known.low.shape == known.high.shape:
        flat = tuple(size for size in known.low.shape if size != 1)
        if flat == tuple(size for size in shape if size != 1):
            return Bounds(known.low.reshape(shape), known.high.reshape(shape), known.sources)
    return _bounds(known.least, known.most, *known.sources)


def _of_softmax(trace: Trace, step: Step) -> bool:
    """Return whether a softmax is summed along its own axis."""
    made = made_by(trace, step.inputs[0])
    dim = step.arguments.get("dim")
    dim = dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim
    length = len(trace.values[step.inputs[0]].shape)
    is_axis = isinstance(dim, int) and not isinstance(dim, bool) and made.dim == dim % max(length, 1)
    return made.name == "softmax" and made.value == step.inputs[0] and is_axis


def _size(trace: Trace, value: int) -> int:
    return math.prod(trace.values[value].shape)
