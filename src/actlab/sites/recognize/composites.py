"""Recognize activations that are written out in several calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, final

from actlab.formula.activation import Activation, typed
from actlab.formula.expr import Call, Div, Expr, Input, Mul, ParamRef, expr, input_names, param_names, walk
from actlab.formula.substitute import substitute
from actlab.formula.text import text
from actlab.sites.recognize.catalog_match import recognised
from actlab.sites.recognize.formula_follower import FormulaFollower
from actlab.sites.recognize.learned_parameters import Learned, with_learned
from actlab.sites.recognize.symbolic import (
    SAME_NUMBERS,
    X,
    has_least_zero,
    holds_activation,
    is_nonlinear,
    is_step_function,
)
from actlab.sites.recognize.torch_ops import AFTER_WEIGHTS, AnyActivation
from actlab.sites.recognize.upstream import follows_weights, is_float
from actlab.sites.trace.trace import Step, Trace

_CUT = Input("value")
_ONE = expr(1)


@final
class Found(NamedTuple):
    """An activation found among the steps.

    Attributes:
        activation: which.
        steps: the places of its steps, in order.
        source: the number of its input.
        gate: the function of the gate, if it is a gated unit.
        written: the formula, if it takes several steps.
        learned: all values of its learned parameters.
        trainable: the names of those that are trained.
    """

    activation: AnyActivation
    steps: tuple[int, ...]
    source: int
    gate: Activation | None = None
    written: str = ""
    learned: Learned = MappingProxyType({})
    trainable: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class _Written:
    """Steps that compute one value element-wise from another one.

    Attributes:
        steps: their places.
        source: the number of the other value.
        formula: of that value, as `x`.
    """

    steps: frozenset[int]
    source: int
    formula: Expr


def composites(follower: FormulaFollower, trace: Trace) -> list[Found]:
    """Return the activations that are written out in several steps, the largest formulas first."""
    used: set[int] = set()
    found: list[Found] = []
    for step in reversed(trace.steps):
        if step.place in used or step.part == "loss" or not step.outputs:
            continue
        ways = _written(follower, trace, step)
        written = [each for each in ways if used.isdisjoint(each.steps)] if ways else []
        if not written:
            continue
        one = _named(follower, trace, step, written) or _unnamed(follower, trace, step, written)
        if one is not None:
            used.update(one.steps)
            found.append(one)
    return found


def _written(follower: FormulaFollower, trace: Trace, last: Step) -> list[_Written]:
    """Return the ways to read the steps up to this one as one formula of one value."""
    made = follower.pointwise.get(last.outputs[0])
    if made is None or made.root is None or not isinstance(made.formula, Expr) or made.root in trace.of_weights:
        return []
    if last.inputs == (made.root,) and last.place in follower.activations:
        return []  # a site by itself
    whole = _cone(follower, trace, last, root=made.root, start=made.root)
    if whole is None or _are_alone(follower, trace, whole):
        return []
    found = [_Written(frozenset(whole), made.root, made.formula)]
    for place in sorted(whole - {last.place}):
        start = trace.steps[place].outputs[0]
        steps = _cone(follower, trace, last, root=made.root, start=start)
        formula = _from(follower, made.formula, start)
        if steps is not None and formula is not None:
            found.append(_Written(frozenset(steps), start, formula))
    return [each for each in found if _may_be(follower, trace, each, last)]


def _may_be(follower: FormulaFollower, trace: Trace, written: _Written, last: Step) -> bool:
    alone = _are_alone(follower, trace, written.steps)
    return not alone and is_float(trace, written.source) and is_closed(trace, written.steps, last)


def _are_alone(follower: FormulaFollower, trace: Trace, steps: Collection[int]) -> bool:
    """Return whether each of the steps that compute something is a site, as in relu after relu."""
    return all(place in follower.activations or trace.steps[place].function in SAME_NUMBERS for place in steps)


def _from(follower: FormulaFollower, formula: Expr, start: int) -> Expr | None:
    """Rewrite the formula in terms of an intermediate value; None if it depends on others too."""
    made = follower.pointwise.get(start)
    if made is None or not isinstance(made.formula, Expr):
        return None
    return _without(formula, made.formula)


@lru_cache(maxsize=4096)
def _without(formula: Expr, start: Expr) -> Expr | None:
    cut = substitute(formula, {start: _CUT})
    return None if X.name in input_names(cut) else substitute(cut, {_CUT: X})


def _cone(follower: FormulaFollower, trace: Trace, last: Step, *, root: int, start: int) -> set[int] | None:
    """Return the places of the steps from the start to this one; None if a path bypasses the start."""
    steps: set[int] = set()
    waiting = [last]
    while waiting:
        step = waiting.pop()
        if step.place in steps:
            continue
        steps.add(step.place)
        for value in step.inputs:
            if value == start:
                continue
            if value == root:
                return None
            maker, known = trace.maker(value), follower.pointwise.get(value)
            if maker is not None and known is not None and known.root == root:
                waiting.append(maker)
    return steps


def is_closed(trace: Trace, steps: frozenset[int], last: Step) -> bool:
    """Return whether no other step reads the intermediate values."""
    for place in steps - {last.place}:
        for value in trace.steps[place].outputs:
            if value in trace.outputs or any(reader.place not in steps for reader in trace.readers(value)):
                return False
    return True


def _named(follower: FormulaFollower, trace: Trace, last: Step, written: list[_Written]) -> Found | None:
    """Return the activation of the catalog that the most steps form."""
    for each in written:
        found = recognised(each.formula)
        if found is None or not _fits(trace, each, found.activation):
            continue
        if not found.learned and any(
            _label(follower.activations[place]) == found.activation.label
            for place in each.steps
            if place in follower.activations
        ):
            continue  # one call that is the activation already, times 1
        learned = {name: follower.values_of(formula) for name, formula in found.learned.items()}
        act = with_learned(found.activation, learned)
        trainable = tuple(name for name, formula in found.learned.items() if follower.is_trained(formula))
        steps, shown = tuple(sorted(each.steps)), _shown(follower, each.formula)
        return Found(act, steps, each.source, written=shown, learned=learned, trainable=trainable)
    return None


def _label(act: AnyActivation) -> str:
    return act.label if isinstance(act, Activation) else act.name


def _fits(trace: Trace, written: _Written, act: Activation) -> bool:
    if len(written.steps) == 1 and act.name not in {"relu", "relu6", "hard_tanh", "softplus"}:
        return False  # a single arithmetic step, such as a square, is matched elsewhere
    if len(written.steps) == 1 and act.name == "relu" and not has_least_zero(written.formula):
        return False  # a floor such as 1e-6 guards a logarithm
    return act.name not in AFTER_WEIGHTS.values() or follows_weights(trace, written.source)


def _unnamed(follower: FormulaFollower, trace: Trace, last: Step, written: list[_Written]) -> Found | None:
    """Return the formula as a new activation if it gates its input, or is an exponential or the like of a curve."""
    if _is_loss(trace, last):
        return None
    for each in reversed(written):
        formula = follower.with_values(each.formula)
        is_part = _is_sum(follower, trace, each, last) or not _joins(trace, last)
        is_gate = _gates_itself(follower, trace, each, formula) and not is_part
        is_found = is_gate or _is_of_curve(follower, trace, each, last)
        if is_found and is_nonlinear(formula) and not is_step_function(formula):
            shown = _shown(follower, each.formula)
            return Found(typed(shown, formula), tuple(sorted(each.steps)), each.source, written=shown)
    return None


def _gates_itself(follower: FormulaFollower, trace: Trace, written: _Written, formula: Expr) -> bool:
    reading = [trace.steps[place] for place in written.steps if written.source in trace.steps[place].inputs]
    holds = any(place in follower.activations for place in written.steps) or holds_activation(formula)
    holds = holds or (
        follows_weights(trace, written.source)
        and (
            any(trace.steps[place].function in AFTER_WEIGHTS for place in written.steps)
            or ((_divides_itself(formula) or _holds_sign(formula)) and not param_names(written.formula))
        )
    )
    # x + f(x) is a residual branch around the activation f
    return len(reading) >= 2 and holds and not any(step.function in {"add", "sub", "rsub"} for step in reading)


def _divides_itself(formula: Expr) -> bool:
    """Return whether both sides of the quotient depend on the input, as in x/(1 + x**2)."""
    return isinstance(formula, Div) and bool(input_names(formula.left)) and bool(input_names(formula.right))


def _holds_sign(formula: Expr) -> bool:
    """Return whether it is an odd function written with a sign, as in sign(x)*sqrt(abs(x))."""
    return any(isinstance(node, Call) and node.atom == "sign" for node in walk(formula))


def _is_of_curve(follower: FormulaFollower, trace: Trace, written: _Written, last: Step) -> bool:
    """Return whether it is a function of arithmetic behind weights whose argument is a curve, as in exp(-x**2/2)."""
    if last.function not in AFTER_WEIGHTS or not isinstance(written.formula, Call) or param_names(written.formula):
        return False
    is_arithmetic = follower.activations.keys().isdisjoint(written.steps)
    return is_arithmetic and follows_weights(trace, written.source) and is_nonlinear(written.formula.args[0])


def _joins(trace: Trace, last: Step) -> bool:
    """Return whether the step combines two values, rather than scaling one or applying a function."""
    fixed = ("parameter", "buffer", "constant")
    moving = [
        value
        for value in last.inputs
        if value not in trace.of_weights
        and not trace.values[value].origin.startswith(fixed)
        and trace.values[value].shape
    ]
    return len(moving) >= 2


def _is_sum(follower: FormulaFollower, trace: Trace, written: _Written, last: Step) -> bool:
    """Return whether the formula is a sum of activations, scaled or not, each of which is a site."""
    parts = [trace.steps[place] for place in written.steps - {last.place}]
    return last.function in {"add", "sub", "rsub"} and all(
        part.place in follower.activations or (part.function in {"mul", "div", "neg"} and not _joins(trace, part))
        for part in parts
    )


def _is_loss(trace: Trace, last: Step) -> bool:
    """Return whether only a mean or sum is used further, as in a loss that the model computes."""
    readers = trace.readers(last.outputs[0])
    return bool(readers) and all(
        reader.function in {"mean", "sum"} and trace.values[reader.outputs[0]].shape == () for reader in readers
    )


def _shown(follower: FormulaFollower, formula: Expr) -> str:
    """Return the formula as text, its weights by their own names."""
    names: Mapping[Expr, Expr] = {
        ParamRef(name): ParamRef(follower.weights[name].name) for name in param_names(formula)
    }
    return text(_without_ones(substitute(formula, names)))


def _without_ones(formula: Expr) -> Expr:
    """Return the formula without factors of 1, which parameters at their defaults leave."""
    for node in walk(formula):
        if isinstance(node, Mul) and node.left == _ONE:
            return _without_ones(substitute(formula, {node: node.right}))
        if isinstance(node, Mul) and node.right == _ONE:
            return _without_ones(substitute(formula, {node: node.left}))
        if isinstance(node, Div) and node.right == _ONE:
            return _without_ones(substitute(formula, {node: node.left}))
    return formula
