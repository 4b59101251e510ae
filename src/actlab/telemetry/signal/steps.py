"""What one step of a pass does to what the theory knows of its inputs.

A step that the theory cannot follow has an entry that says why; behind it, the prediction starts afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import hypot
from typing import final

import numpy as np
from torch import Tensor

from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.trace.trace import Step, Trace
from actlab.telemetry.signal.moments import moments
from actlab.telemetry.signal.state import State

_PICKS = frozenset({"getitem", "narrow", "select", "gather", "index_select", "masked_select", "take_along_dim", "tile"})
_UNITS = frozenset({"chunk", "split", "unbind"})
_LEAST_GROUP = 8
# A number this small is added as a guard against 0.
_GUARD = 1e-3


@final
@dataclass(frozen=True)
class Afresh:
    """Why the theory cannot follow a step, and whether its output is normal all the same."""

    why: str
    is_normal: bool = False


@final
@dataclass(frozen=True, eq=False)
class Applied:
    """One step with its tensors, and what is known of those that are data.

    Attributes:
        states: by tensor; None for a tensor without data of each example.
        is_weight: by tensor, whether it is computed from weights alone.
    """

    trace: Trace
    step: Step
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    states: tuple[State | None, ...]
    is_weight: tuple[bool, ...]

    @property
    def known(self) -> list[State]:
        """The states of the tensors that are data."""
        return [state for state in self.states if state is not None]

    @property
    def weights(self) -> list[Tensor]:
        """The tensors computed from weights, in order."""
        return [tensor.detach().double() for tensor, is_one in zip(self.inputs, self.is_weight, strict=True) if is_one]

    @property
    def numbers(self) -> list[float]:
        """The plain numbers among the arguments, and constants of one element."""
        plain = [float(each) for each in self.step.arguments.values() if isinstance(each, int | float)]
        return [*plain, *(float(each) for each in self._constants if each.numel() == 1)]

    @property
    def _constants(self) -> list[Tensor]:
        return [
            tensor
            for tensor, state, is_one in zip(self.inputs, self.states, self.is_weight, strict=True)
            if state is None and not is_one and not tensor.is_complex()
        ]

    @property
    def has_other_data(self) -> bool:
        """Return whether it reads a constant of several elements, such as a mask."""
        return any(each.numel() > 1 for each in self._constants)


def followed(applied: Applied, *, lost: Sequence[str] = ()) -> State | Afresh:
    """Return what the theory knows of the step's output, or why it knows nothing.

    Args:
        applied: the step.
        lost: why nothing is known of some of its inputs.
    """
    function = applied.step.function
    if function in _WHY:
        return Afresh(_WHY[function])
    if not applied.known or lost:
        return Afresh(next(iter(lost), "examples that do not lie along the first axis"))
    rule = _RULES.get(function)
    return Afresh(f"{function}: the theory has no rule for it") if rule is None else rule(applied)


def _moved(applied: Applied) -> State | Afresh:
    return applied.known[0]


def _picked(applied: Applied) -> State | Afresh:
    state = applied.known[0]
    if state.layer is not None and state.is_normal and applied.inputs[0].dim() == 2:  # no positions
        return replace(state, layer=None)
    return Afresh("some positions are picked, which may differ from the others", is_normal=state.is_normal)


def _split(applied: Applied) -> State | Afresh:
    return replace(applied.known[0], layer=None)


def _added(applied: Applied) -> State | Afresh:
    """Add values that are independent, weights such as a bias, and numbers."""
    if applied.has_other_data:
        return Afresh("a constant tensor is added")
    if len(applied.known) == 1:
        state, weights = applied.known[0], applied.weights
        if len(applied.inputs) == 1:
            is_guard = all(abs(each) <= _GUARD for each in applied.numbers)
            return state if is_guard else _constant_added(applied)
        square = sum(float(each.square().mean()) for each in weights)
        layer = state.layer
        layer = None if layer is None else replace(layer, sigma_b2=layer.sigma_b2 + square)
        return replace(state.shifted(square), layer=layer) if weights else _constant_added(applied)
    return reduce(_sum, applied.known[1:], applied.known[0]) if _are_independent(applied.known) else _DEPENDENT


def _constant_added(applied: Applied) -> State | Afresh:
    return Afresh("a number is added")


def _sum(one: State, other: State) -> State:
    cross = np.outer(one.mean, other.mean)
    covariance = one.covariance + other.covariance + cross + cross.T
    square = float(np.diagonal(covariance).mean())
    shares = (one.square / square, other.square / square) if square else (0.5, 0.5)
    return State(
        covariance,
        one.mean + other.mean,
        one.is_normal and other.is_normal,
        one.roots | other.roots,
        inherited=(hypot(one.inherited[0], other.inherited[0]),
                   hypot(one.inherited[1] * shares[0], other.inherited[1] * shares[1])),
        own=(hypot(one.own[0], other.own[0]), hypot(one.own[1] * shares[0], other.own[1] * shares[1])),
        partings=(*one.partings, *(each for each in other.partings if each not in one.partings)),
        since=_joined_words(one.since, other.since),
    )  # fmt: skip


def _subtracted(applied: Applied) -> State | Afresh:
    if len(applied.known) != 2 or not _are_independent(applied.known):  # a difference has two
        return _DEPENDENT if len(applied.known) == 2 else Afresh("a number is subtracted")
    return _sum(applied.known[0], applied.known[1].times(-1.0))


def _multiplied(applied: Applied) -> State | Afresh:
    """Multiply by numbers, by weights such as a layer scale, or two independent values, as a gate does."""
    if applied.has_other_data:
        return Afresh("it is multiplied by a constant tensor")
    if len(applied.known) == 1:
        numbers = applied.numbers
        is_division = applied.step.function in {"div", "rdiv"}
        if applied.step.function == "rdiv" or (is_division and applied.weights):
            return Afresh("it divides a number or weights")
        factor = float(np.prod(numbers)) if numbers else 1.0
        if is_division:
            factor = 1 / factor if factor else 0.0
        scales = [float(each.square().mean()) ** 0.5 for each in applied.weights]
        return applied.known[0].times(factor * float(np.prod(scales)))
    if len(applied.known) != 2 or applied.step.function != "mul" or not _are_independent(applied.known):
        return _DEPENDENT
    one, other = applied.known
    summed = _sum(one, other)
    return replace(
        summed,
        covariance=one.covariance * other.covariance,
        mean=one.mean * other.mean,
        is_normal=False,
        inherited=(hypot(one.inherited[0] * other.square, other.inherited[0] * one.square),
                   hypot(one.inherited[1] * other.correlation, other.inherited[1] * one.correlation)),
        own=(hypot(one.own[0] * other.square, other.own[0] * one.square),
             hypot(one.own[1] * other.correlation, other.own[1] * one.correlation)),
    )  # fmt: skip


def _dropped(applied: Applied) -> State | Afresh:
    """Apply dropout: in training the masks of two examples are independent."""
    share = float(applied.step.arguments.get("p", 0.5))
    if not applied.step.arguments.get("training", True) or share == 0:
        return applied.known[0]
    state = applied.known[0]
    covariance = state.covariance.copy()
    np.fill_diagonal(covariance, np.diagonal(covariance) / (1 - share))
    factor = 1 / (1 - share)
    return replace(
        state,
        covariance=covariance,
        is_normal=False,
        inherited=(state.inherited[0] * factor, state.inherited[1] / factor),
        own=(state.own[0] * factor, state.own[1] / factor),
        layer=None,
    )


def _joined(applied: Applied) -> State | Afresh:
    """Join values along their units or positions: the mean over all of them."""
    if len(applied.known) != len(applied.inputs):
        return Afresh("data and constants are joined")
    sizes = np.array([tensor.numel() for tensor in applied.inputs], dtype=np.float64)
    shares = sizes / sizes.sum()

    def mean_of(errors: Sequence[tuple[float, float]]) -> tuple[float, float]:
        squares = [hypot(*(share * each[at] for share, each in zip(shares, errors, strict=True))) for at in (0, 1)]
        return squares[0], squares[1]

    return State(
        np.sum([share * state.covariance for share, state in zip(shares, applied.known, strict=True)], axis=0),
        np.sum([share * state.mean for share, state in zip(shares, applied.known, strict=True)], axis=0),
        all(state.is_normal for state in applied.known),
        frozenset().union(*(state.roots for state in applied.known)),
        inherited=mean_of([state.inherited for state in applied.known]),
        own=mean_of([state.own for state in applied.known]),
        partings=tuple(dict.fromkeys(each for state in applied.known for each in state.partings)),
        since=_joined_words(*(state.since for state in applied.known)),
    )


def _layer_norm(applied: Applied) -> State | Afresh:
    state, measured = applied.known[0], moments(applied.inputs[0])
    groups = applied.step.arguments.get("num_groups")
    if isinstance(groups, int) and applied.inputs[0].shape[1] < _LEAST_GROUP * groups:
        return Afresh("group normalization over few channels", is_normal=state.is_normal)
    mean = 0.0 * state.mean if applied.step.function == "rms_norm" else state.mean
    spread = state.covariance - np.outer(mean, mean)
    their_mean = 0.0 * measured.mean if applied.step.function == "rms_norm" else measured.mean
    theirs = np.diagonal(measured.covariance) - their_mean**2
    scale = np.sqrt(np.maximum(np.diagonal(spread), 1e-300))
    normalized = replace(state, covariance=spread / np.outer(scale, scale), mean=0 * mean)
    return _affine(applied, normalized, predicted=float(np.mean(1 / scale**2)), measured=float(np.mean(1 / theirs)))


def _batch_norm(applied: Applied) -> State | Afresh:
    state, x = applied.known[0], applied.inputs[0]
    others = zip(applied.inputs[1:], applied.is_weight[1:], strict=True)
    statistics = [tensor.detach().double() for tensor, is_one in others if not is_one]
    if not applied.step.arguments.get("training", False):
        return _running_norm(applied, statistics)
    if x.dim() > 2:  # examples, channels, and then positions
        return Afresh("batch normalization over positions, whose covariance is not followed", is_normal=state.is_normal)
    center = np.eye(len(state.mean)) - 1 / len(state.mean)
    centered = center @ state.covariance @ center
    variance = float(np.diagonal(centered).mean())
    theirs = float(np.diagonal(center @ moments(x).covariance @ center).mean())
    if variance <= 0 or theirs <= 0:
        return Afresh("batch normalization of a value that is the same for all examples", is_normal=state.is_normal)
    normalized = replace(state, covariance=centered / variance, mean=0 * state.mean)
    return _affine(applied, normalized, predicted=1 / variance, measured=1 / theirs)


def _running_norm(applied: Applied, statistics: list[Tensor]) -> State | Afresh:
    """Apply batch normalization in evaluation mode: a scale and a shift per channel."""
    if len(statistics) != 2:  # mean and variance
        return Afresh("batch normalization without its running statistics")
    state, (mean, variance) = applied.known[0], statistics
    scale = (variance + float(applied.step.arguments.get("eps", 1e-5))).rsqrt()
    shift = -mean * scale
    if applied.weights:
        scale, shift = scale * applied.weights[0], shift * applied.weights[0]
        shift = shift + applied.weights[1] if len(applied.weights) > 1 else shift
    scaled = state.times(float(scale.square().mean()) ** 0.5).shifted(float(shift.square().mean()))
    return replace(scaled, mean=state.mean * float(scale.mean()) + float(shift.mean()))


def _affine(applied: Applied, state: State, *, predicted: float, measured: float) -> State:
    """Return a normalized value with its scale and shift."""
    weights = applied.weights
    scale = float(weights[0].square().mean()) if weights else 1.0
    shift = float(weights[1].square().mean()) if len(weights) > 1 else 0.0
    layer = state.layer
    if layer is not None:
        layer = replace(
            layer,
            predicted=layer.predicted * predicted * scale,
            measured=layer.measured * measured * scale,
        )
    return replace(
        state,
        covariance=state.covariance * scale + shift,
        mean=state.mean + (float(weights[1].mean()) if len(weights) > 1 else 0.0),
        inherited=(0.0, state.inherited[1]),
        own=(0.0, state.own[1]),
        layer=layer,
    )


def _are_independent(states: Sequence[State]) -> bool:
    """Return whether no two of the values are functions of the same layer's output."""
    joined: set[str] = set()
    for state in states:
        if not state.roots.isdisjoint(joined):
            return False
        joined |= state.roots
    return True


def _joined_words(*reasons: str) -> str:
    return "; ".join(dict.fromkeys(part for reason in reasons for part in reason.split("; ") if part))


_DEPENDENT = Afresh("values that depend on the same layer are combined")
_ATTENTION = "attention: what it multiplies depends on the data"
_POOL = "pooling joins positions, whose covariance is not followed"
_RULES: Mapping[str, Callable[[Applied], State | Afresh]] = {
    **dict.fromkeys(MOVES - _PICKS - _UNITS, _moved),
    **dict.fromkeys(_PICKS, _picked),
    **dict.fromkeys(_UNITS, _split),
    "add": _added,
    "sub": _subtracted,
    **dict.fromkeys(("mul", "div", "rdiv"), _multiplied),
    **dict.fromkeys(("dropout", "native_dropout"), _dropped),
    **dict.fromkeys(("cat", "stack"), _joined),
    **dict.fromkeys(("layer_norm", "rms_norm", "group_norm"), _layer_norm),
    "batch_norm": _batch_norm,
}
_WHY: Mapping[str, str] = {
    **dict.fromkeys(
        ("softmax", "scaled_dot_product_attention", "multi_head_attention_forward", "bmm", "matmul", "einsum",
         "baddbmm"),
        _ATTENTION,
    ),
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
         "adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "sum", "amax", "max"),
        _POOL,
    ),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), "a recurrent layer in one call"),
    **dict.fromkeys(("pad", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "instance_norm"),
                    "the positions have different variances behind it"),
    "embedding": "an embedding: the rows of a table",
}  # fmt: skip
