"""Name the activation that a black box computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from actlab.catalog.index import CATALOG
from actlab.errors import BadFormula, BadInput
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.formula.param import Param
from actlab.formula.substitute import substitute
from actlab.jsonable import plain
from actlab.theory.canonical import Scaling
from actlab.theory.evaluate import Floats, evaluator
from actlab.user_code import their_code
from actlab.verbs.black_box import BlackBox, black_box
from actlab.verbs.novel import Neighbor, nearest_of

# Differences of implementations, in units of the last place of the larger of 1 and the value.
_ROUNDINGS = {torch.float32: 32.0, torch.bfloat16: 1.5, torch.float16: 4.0, torch.float64: 1e5}
_COARSE = 1e-3  # dtypes in which a neighbor with fixed parameters may hide a fitted one
_SHOWN = 5
_MOST_PARAMS = 5
_STARTS = (1.0, 3.0)


@dataclass(frozen=True)
class Identity:
    """What a black box computes.

    Attributes:
        name: the catalog's activation; None if there is none.
        parameters: the values of its parameters, fitted.
        layout: "element-wise", or for a gated unit "value first", "gate first", "interleaved, value first",
            "interleaved, gate first", "two tensors, value first" or "two tensors, gate first".
        clamp: the interval to which the input is held before the activation; None if it is not.
        max_difference: the largest difference from the formula, relative to the larger of 1 and the value.
        parts_at: the input nearest to 0 that parts from the formula by more than rounding; None if there is none.
        dtype: the dtype that was probed.
        nearest: the closest activations, by distance under a normal input.
        affine: the activation and scaling that it equals up to weights and biases, if it has no name.
    """

    name: str | None
    parameters: dict[str, float]
    layout: str
    clamp: tuple[float, float] | None
    max_difference: float | None
    parts_at: tuple[float, ...] | None
    dtype: str
    nearest: tuple[Neighbor, ...]
    affine: tuple[str, Scaling] | None = None

    @property
    def is_well(self) -> bool:
        """Whether it has a name."""
        return self.name is not None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as plain values."""
        plainly: dict[str, Any] = plain(self)
        return plainly

    def lines(self) -> list[str]:
        """Return the answer as text."""
        near = [f"  {each.name}: {each.distance:.3g}" for each in self.nearest]
        if self.name is None:
            head = ["None of the catalog's activations."]
            if self.affine is not None:
                name, s = self.affine
                head.append(
                    f"Up to weights and biases: {s.a:.6g}*{name}({s.b:.6g}*x + {s.c:.6g}) + {s.d:.6g}*x + {s.e:.6g}"
                )
            return [*head, "Nearest, by distance under a normal input:", *near]
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters.items())
        found = [f"{self.name}({values})" if values else self.name, f"  layout: {self.layout}"]
        if self.clamp is not None:
            found.append(f"  input clamped to [{self.clamp[0]:g}, {self.clamp[1]:g}]")
        found.append(f"  largest difference in {self.dtype}: {self.max_difference:.2g}")
        if self.parts_at is not None:
            found.append(f"  parts from the formula at {', '.join(f'{each:.6g}' for each in self.parts_at)}")
        return found


@dataclass(frozen=True)
class _Probe:
    """Inputs, the outputs of the black box, and how the inputs were laid out."""

    layout: str
    inputs: tuple[Floats, ...]
    outputs: Floats

    @property
    def weights(self) -> Floats:
        return 1 / np.maximum(1, np.abs(self.outputs))

    def part(self, chosen: Any) -> _Probe:
        return _Probe(self.layout, tuple(each[chosen] for each in self.inputs), self.outputs[chosen])


@dataclass(frozen=True)
class _Match:
    act: Activation
    params: dict[str, float]
    probe: _Probe
    error: float
    worst: float


def identify(subject: str | BlackBox, *, dtype: str = "float32") -> Identity:
    """Name the activation that a callable of one or two tensors computes.

    Args:
        subject: a callable, a module, or what `black_box` reads: `package.module:callable`, `file.py:callable`,
            `file.onnx:node`, `library.so:function`.
        dtype: float32, bfloat16, float16 or float64, in which it is probed.

    Raises:
        BadInput: it cannot be loaded, raises, answers at random, with another shape, with NaN everywhere, or with
            integers; or it acts along an axis.

    Example:
        >>> identify(torch.nn.LeakyReLU(0.2)).parameters
        {'negative_slope': 0.2}
    """
    kinds = {str(each).rpartition(".")[2]: each for each in _ROUNDINGS}
    if dtype not in kinds:
        raise BadInput(f"dtype: one of {', '.join(kinds)} is required; got '{dtype}'.")
    function = black_box(subject) if isinstance(subject, str) else subject
    kind = kinds[dtype]
    probes = _probes(function, kind)
    allowed = _ROUNDINGS[kind] * torch.finfo(kind).eps
    match, clamp = _best(probes, allowed), None
    if match is None and len(probes[0].inputs) == 1:
        match, clamp = _clamped(probes[0], allowed)
    if match is not None:
        inputs, outputs = match.probe.inputs, match.probe.outputs
        exact = _values(match.act, inputs, tuple(match.params.values()))
        parts_at = _parting(inputs, outputs, exact, allowed)
        params = _rounded(match.params)
        return Identity(match.act.name, params, match.probe.layout, clamp, match.worst, parts_at, dtype, ())
    near, affine = _relatives(function, probes)
    return Identity(None, {}, probes[0].layout, None, None, None, dtype, near, affine)


def _rounded(params: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in params.items()}


def _called(function: BlackBox, *tensors: Tensor) -> Tensor:
    with their_code("the callable", error=BadInput), torch.no_grad():
        result = function(*(tensor.clone() for tensor in tensors))
    if not isinstance(result, Tensor):
        raise BadInput(f"the callable: a tensor is required as its output; got {type(result).__name__}.")
    if not result.is_floating_point():
        raise BadInput(f"the callable: an output of floating-point numbers is required; got {result.dtype}.")
    return result


def _line(kind: torch.dtype) -> Tensor:
    dense = torch.linspace(-8, 8, 641, dtype=torch.float64)
    tails = torch.logspace(0.9, 1.9, 40, dtype=torch.float64)
    return torch.cat([-tails.flip(0), dense, tails]).to(kind)


def _pairs(kind: torch.dtype) -> tuple[Tensor, Tensor]:
    side = torch.cat([torch.linspace(-4, 4, 17), torch.tensor([-20, -12.5, -9, -7.5, -6, 6, 7.5, 9, 12.5, 20])])
    first, second = torch.meshgrid(side, side + 0.0625, indexing="ij")
    return first.flatten().to(kind), second.flatten().to(kind)


def _probes(function: BlackBox, kind: torch.dtype) -> list[_Probe]:
    """Call the function and return its outputs under every layout that its shapes allow."""
    try:
        x = _line(kind)
        x = x[: len(x) // 2 * 2]
        y = _called(function, x)
    except BadInput as one_input:
        p, q = _pairs(kind)
        try:
            y = _called(function, p, q)
        except BadInput:
            raise one_input from None
        _refuse_unfit(function, y, p, q)
        return _orders("two tensors, ", p, q, y)
    if y.shape == x.shape:
        _refuse_unfit(function, y, x)
        half = len(x) // 2
        if not _agree(_called(function, x[:half].flip(0)), y[:half].flip(0)):
            raise BadInput("the callable: an element-wise function is required; its outputs depend on other inputs.")
        return [_Probe("element-wise", (_double(x),), _double(y))]
    if y.shape != (len(x) // 2,):
        raise BadInput(f"the callable: as many outputs as inputs are required, or half as many; got {tuple(y.shape)}.")
    p, q = _pairs(kind)
    order = torch.randperm(len(p), generator=torch.Generator().manual_seed(0))
    for layout, joined in (("", torch.cat), ("interleaved, ", lambda both: torch.stack(both, dim=-1).flatten())):
        y = _called(function, joined((p, q)))
        if _agree(_called(function, joined((p[order], q[order]))), y[order]):
            _refuse_unfit(function, y, joined((p, q)))
            return _orders(layout, p, q, y)
    raise BadInput("the callable: a gated unit is required, halves one after the other or interleaved; it is neither.")


def _agree(one: Tensor, other: Tensor) -> bool:
    # Vector and scalar loops of one operator may round differently.
    rounding = 32 * torch.finfo(one.dtype).eps
    return torch.allclose(one, other, equal_nan=True, rtol=rounding, atol=rounding)


def _orders(layout: str, p: Tensor, q: Tensor, y: Tensor) -> list[_Probe]:
    first, second, out = _double(p), _double(q), _double(y)
    return [
        _Probe(f"{layout}value first", (first, second), out),
        _Probe(f"{layout}gate first", (second, first), out),
    ]


def _double(x: Tensor) -> Floats:
    return x.double().numpy()


def _refuse_unfit(function: BlackBox, y: Tensor, *inputs: Tensor) -> None:
    if y.shape != inputs[0].shape and 2 * y.numel() != inputs[0].numel():
        raise BadInput(f"the callable: one output for each input is required; got {tuple(y.shape)}.")
    if not torch.equal(torch.nan_to_num(_called(function, *inputs)), torch.nan_to_num(y)):
        raise BadInput("the callable: a function is required; two calls on one input differ: it is random or counts.")
    if not torch.isfinite(y).any():
        raise BadInput("the callable: finite outputs are required; got NaN or infinity everywhere.")


@cache
def _program(act: Activation) -> tuple[Callable[..., tuple[Floats, ...]], tuple[Param, ...]]:
    free = tuple(param for param in act.params if param.sampler is None)
    exchange: dict[Expr, Expr] = {ParamRef(each.name): Input(f"param_{each.name}") for each in free}
    formula = substitute(act.with_references(*(each.name for each in free)), exchange)
    return evaluator((formula,), (*act.inputs, *(f"param_{each.name}" for each in free))), free


def _values(act: Activation, inputs: Sequence[Floats], params: Sequence[float] | Floats) -> Floats:
    program, _ = _program(act)
    return program(*inputs, *(np.full_like(inputs[0], value) for value in params))[0]


def _candidates(inputs: int) -> Iterator[Activation]:
    for act in CATALOG.values():
        if isinstance(act, Activation) and len(act.inputs) == inputs:
            yield act


def _best(probes: Sequence[_Probe], allowed: float) -> _Match | None:
    """Return the activation nearest to the outputs, if only rounding separates them."""
    found: list[_Match] = []
    for fitting in (False, True):
        found += [
            match
            for probe in probes
            for act in _candidates(len(probe.inputs))
            if (match := _judged(act, probe, fitting=fitting)) is not None and match.worst <= allowed
        ]
        if found and (allowed < _COARSE or min(match.worst for match in found) < allowed / 2):
            break
    if not found:
        return None
    # Of those that rounding cannot separate, the one with the fewest parameters.
    least = min(match.error for match in found)
    return min(found, key=lambda match: (match.error > 1.5 * least, len(match.params), match.error))


def _judged(act: Activation, probe: _Probe, *, fitting: bool) -> _Match | None:
    _, free = _program(act)
    values = [param.value for param in free]
    if fitting:
        if not free or len(free) > _MOST_PARAMS:
            return None
        values = _fitted(act, free, probe)
    rest = (_values(act, probe.inputs, values) - probe.outputs) * probe.weights
    rest = rest[np.isfinite(probe.outputs)]
    if not np.isfinite(rest).all():
        return None
    names = [param.name for param in free]
    error = float(np.sqrt((rest * rest).mean()))
    return _Match(act, dict(zip(names, values, strict=True)), probe, error, float(np.abs(rest).max()))


def _fitted(act: Activation, free: Sequence[Param], probe: _Probe) -> list[float]:
    thin = probe.part(np.isfinite(probe.outputs))
    low = [max(each.least, each.above + 1e-6) for each in free]
    high = [min(each.most, each.below - 1e-6) for each in free]

    def rest(values: Floats) -> Floats:
        return np.nan_to_num(
            (_values(act, thin.inputs, values) - thin.outputs) * thin.weights, nan=1e6, posinf=1e6, neginf=-1e6
        )

    best: Any = None
    for start in _STARTS:
        begin = np.clip([each.value * start for each in free], low, high)
        found = least_squares(rest, begin, bounds=(low, high), xtol=1e-12, ftol=1e-12, gtol=1e-14, max_nfev=25)
        best = found if best is None or found.cost < best.cost else best
        if best.cost < 1e-9 * len(thin.outputs):
            break
    return [float(each) for each in best.x]


def _clamped(probe: _Probe, allowed: float) -> tuple[_Match | None, tuple[float, float] | None]:
    """Return the activation of an input that is held to an interval first, and the interval."""
    x, y = probe.inputs[0], probe.outputs
    changes = np.nonzero(np.diff(y))[0]
    if not len(changes):
        return None, None
    low, high = int(changes[0]), int(changes[-1]) + 1
    inner = probe.part(slice(low + 1, high))
    match = _best([inner], allowed) if high - low > 20 else None
    if match is None:
        return None, None
    values = tuple(match.params.values())

    def edge(at: int, level: float) -> float:
        near = np.linspace(x[max(at - 1, 0)], x[min(at + 1, len(x) - 1)], 20_001)
        return round(float(near[np.argmin(np.abs(_values(match.act, (near,), values) - level))]), 3)

    left = edge(low, y[0]) if low > 0 else -np.inf
    right = edge(high, y[-1]) if high < len(x) - 1 else np.inf
    held = _values(match.act, (np.clip(x, left, right),), values)
    worst = float(np.nanmax(np.abs(held - y) * probe.weights))
    if worst > max(allowed, 1e-3):
        return None, None
    return _Match(match.act, match.params, probe, match.error, worst), (left, right)


def _parting(inputs: Sequence[Floats], outputs: Floats, exact: Floats, allowed: float) -> tuple[float, ...] | None:
    """Return the input nearest to 0 at which the relative difference exceeds rounding."""
    apart = np.abs(outputs - exact) > allowed * np.abs(exact) + 1e-30
    if not apart.any():
        return None
    size = np.where(apart, sum(np.abs(each) for each in inputs), np.inf)
    at = int(np.argmin(size))
    return tuple(float(each[at]) for each in inputs)


def _relatives(function: BlackBox, probes: Sequence[_Probe]) -> tuple[tuple[Neighbor, ...], tuple[str, Scaling] | None]:
    """Return the nearest activations, and the one that it equals up to weights and biases."""
    probe = probes[0]
    if len(probe.inputs) == 1:
        try:
            found = nearest_of(lambda x: _double(_called(function, torch.from_numpy(x))), name="the callable")
        except (BadInput, BadFormula):
            pass
        else:
            affine = None if found.same_as is None or found.scaling is None else (found.same_as, found.scaling)
            return found.nearest, affine
    ranked = []
    for each in probes:
        usable = np.isfinite(each.outputs)
        share = np.exp(-sum(side[usable] ** 2 for side in each.inputs) / 2)
        spread = float(np.sqrt(np.average(each.outputs[usable] ** 2, weights=share))) or 1.0
        for act in _candidates(len(each.inputs)):
            _, free = _program(act)
            gap = _values(act, each.inputs, [param.value for param in free])[usable] - each.outputs[usable]
            if np.isfinite(gap).all():
                ranked.append(Neighbor(act.label, float(np.sqrt(np.average(gap**2, weights=share))) / spread))
    return tuple(sorted(ranked, key=lambda near: near.distance)[:_SHOWN]), None
