"""Name calls behind a layer that act as activations and are not functions of one value with a formula.

Step functions, maxout, k-winners and learned quotients: nothing can be put in their place, but they are not left out.
"""

from __future__ import annotations

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Compare, Div, Where, input_names, is_constant, param_names
from actlab.sites.recognize.formula_follower import FormulaFollower
from actlab.sites.recognize.torch_ops import LINEAR, MOVES
from actlab.sites.recognize.upstream import THROUGH, follows_weights, is_float, weights_before
from actlab.sites.site import Unseen
from actlab.sites.trace.trace import Step, Trace

_FLAT = frozenset({"sign", "sgn", "round", "floor", "ceil", "trunc", "fix", "heaviside"})
_CASTS = frozenset({"float", "double", "half", "bfloat16", "to", "type", "type_as", "mul"})
_COUNTS = frozenset({"int", "long", "short", "byte", "bool"})
_SPLITS = frozenset({"view", "reshape", "unflatten", "view_as", "reshape_as", "stack"})
_LARGEST = frozenset({"max", "maximum", "fmax", "amax"})
_CHOICES = frozenset({"topk", "kthvalue", "sort", "argsort", "argmax"})
_OF_INTEREST = _FLAT | _CASTS | _LARGEST | _CHOICES | {"where", "div"}
_KEEPS = frozenset({"mul", "where", "masked_fill", "scatter", "__setitem__"})
_SOFT = frozenset({"softmax", "log_softmax", "logsumexp", "exp"})


def unnamed(trace: Trace, follower: FormulaFollower) -> tuple[Unseen, ...]:
    """Return these calls, each kind once for a module.

    Args:
        trace: with its sites.
        follower: what followed that pass.
    """
    found = [
        each
        for step in trace.steps
        if step.function in _OF_INTEREST
        and (step.function != "mul" or len(step.inputs) == 1)
        and step.part == "model"
        and step.outputs
        and step.inputs
        and step.place not in trace.site_of
        for each in (
            _step_function(trace, follower, step),
            _maxout(trace, step),
            _winners(trace, step),
            _quotient(trace, follower, step),
        )
        if each is not None
    ]
    return tuple(dict.fromkeys(found))


def _step_function(trace: Trace, follower: FormulaFollower, step: Step) -> Unseen | None:
    """Return a function whose derivative is 0 wherever it has one: sign, round, a comparison turned into numbers."""
    if step.function in _FLAT and is_float(trace, step.inputs[0]) and _is_behind_layer(trace, step.inputs[0]):
        what = step.spelling
    elif _is_comparison_in_numbers(trace, follower, step):
        what = "a comparison turned into numbers"
    else:
        return None
    return Unseen(step.path, what, "a step function: its derivative is 0, and the catalog has no formula for it")


def _is_comparison_in_numbers(trace: Trace, follower: FormulaFollower, step: Step) -> bool:
    known = follower.pointwise.get(step.outputs[0])
    if step.function == "where" and known is not None and isinstance(known.formula, Where):
        is_flat = is_constant(known.formula.then) and is_constant(known.formula.otherwise)
        return is_flat and known.root is not None and _is_behind_layer(trace, known.root)
    is_alone = len(step.inputs) == 1 or step.function in {"to", "type_as"}
    if step.function not in _CASTS or not is_alone or not is_float(trace, step.outputs[0]):
        return False
    mask = step.inputs[0]
    maker = trace.maker(mask)
    while maker is not None and maker.function in _COUNTS:
        mask = maker.inputs[0]
        maker = trace.maker(mask)
    before = follower.pointwise.get(mask)
    if before is None or before.root is None or not isinstance(before.formula, Compare):
        return False
    return _is_behind_layer(trace, before.root)


def _maxout(trace: Trace, step: Step) -> Unseen | None:
    """Return the largest of several units of a layer, or of several layers."""
    if step.function in {"max", "maximum", "fmax"} and len(step.inputs) == 2:
        layers = [_layer_of(trace, value) for value in step.inputs]
        is_found = all(layer is not None for layer in layers)
    else:
        is_found = step.function in {"max", "amax"} and _reduces_a_group(trace, step)
    if not is_found:
        return None
    return Unseen(step.path, f"{step.spelling}, a maxout", "the largest of several units is not a function of one")


def _layer_of(trace: Trace, value: int) -> Step | None:
    """Return the layer of which the value is a part or another arrangement, its bias added."""
    return weights_before(trace, value, through=MOVES | {"add"})


def _reduces_a_group(trace: Trace, step: Step) -> bool:
    """Return whether the axis that the maximum is taken over was split off the units, or stacks layers."""
    shape, dim = trace.values[step.inputs[0]].shape, step.arguments.get("dim", step.arguments.get("1"))
    dim = dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim
    maker = trace.maker(step.inputs[0])
    if not isinstance(dim, int) or isinstance(dim, bool) or maker is None or maker.function not in _SPLITS:
        return False
    dim %= len(shape)
    if maker.function == "stack":
        along = maker.arguments.get("dim", 0)
        is_stack = isinstance(along, int) and along % len(shape) == dim
        return is_stack and len(maker.inputs) > 1 and all(_layer_of(trace, value) for value in maker.inputs)
    before = trace.values[maker.inputs[0]].shape
    same = next((at for at, (a, b) in enumerate(zip(before, shape, strict=False)) if a != b), len(before))
    is_split = len(shape) > len(before) and 0 < same <= dim <= same + len(shape) - len(before)
    return is_split and _layer_of(trace, maker.inputs[0]) is not None


def _winners(trace: Trace, step: Step) -> Unseen | None:
    """Return a choice of the largest units that multiplies or masks the units themselves."""
    if step.function not in _CHOICES:
        return None
    units, chosen = _sizes_of(trace, step.inputs[0]), set(step.outputs)
    if not any(_is_behind_layer(trace, value) for value in units):
        return None
    if any(isinstance(_formula(trace, value), AxisActivation) for value in units):
        return None  # shares that are kept, as in a mixture of experts
    for later in trace.steps[step.place + 1 :]:
        if chosen.isdisjoint(later.inputs) or later.function in LINEAR:
            continue
        chosen.update(later.outputs)
        is_mask = later.function in _KEEPS and not units.isdisjoint(later.inputs)
        readers = trace.readers(later.outputs[0]) if later.outputs else ()
        if is_mask and later.part == "model" and not any(reader.function in _SOFT for reader in readers):
            why = "whether a unit passes depends on the other units"
            return Unseen(step.path, f"{step.spelling}, a choice of the largest units", why)
    return None


def _sizes_of(trace: Trace, value: int) -> frozenset[int]:
    """Return the value, and the one of which it is the size."""
    maker = trace.maker(value)
    is_size = maker is not None and maker.function in {"abs", "square", "detach", "pow"}
    return frozenset({value, *(maker.inputs[:1] if maker is not None and is_size else ())})


def _formula(trace: Trace, value: int) -> Activation | AxisActivation | None:
    maker = trace.maker(value)
    site = None if maker is None else trace.site_at(maker)
    return None if site is None else site.formula


def _quotient(trace: Trace, follower: FormulaFollower, step: Step) -> Unseen | None:
    """Return a quotient of learned polynomials, such as a rational activation that is written out."""
    if step.function != "div" or len(step.inputs) != 2:
        return None
    made = follower.pointwise.get(step.outputs[0])
    if made is not None and made.root is not None and isinstance(made.formula, Div):
        sides = (made.formula.left, made.formula.right)
        is_found = follows_weights(trace, made.root) and all(input_names(each) and param_names(each) for each in sides)
    else:
        is_found = _are_series(trace, step.inputs)
    if not is_found:
        return None
    why = "its formula is not in the catalog; `actlab.module('rational')` is recognized"
    return Unseen(step.path, "a quotient with learned coefficients", why)


def _are_series(trace: Trace, values: tuple[int, ...]) -> bool:
    """Return whether each value sums powers of one layer's output, times a few learned numbers."""
    sources = [_powers_in(trace, value) for value in values]
    return all(sources) and bool(frozenset.intersection(*sources))


def _powers_in(trace: Trace, value: int) -> frozenset[int]:
    """Return the values behind a layer of which this one sums powers with learned coefficients; none if it does not."""
    waiting, known, powers, learns = [value], set[int](), set[int](), False
    while waiting:
        value = waiting.pop()
        step = trace.maker(value)
        learns = learns or value in trace.of_weights
        if value in known or value in trace.of_weights or step is None:
            continue
        known.add(value)
        if len(known) > _MOST_STEPS:
            return frozenset()
        if step.function == "pow":
            powers.update(each for each in step.inputs if _is_behind_layer(trace, each))
        elif step.function not in LINEAR or _is_of_few_numbers(trace, step):
            waiting += step.inputs
    return frozenset(powers) if learns else frozenset()


def _is_of_few_numbers(trace: Trace, step: Step) -> bool:
    """Return whether the product is one with a short vector of weights."""
    weights = [value for value in step.inputs if value in trace.of_weights]
    return len(weights) == 1 and len(trace.values[weights[0]].shape) == 1 and trace.values[weights[0]].shape[0] <= _FEW


_FEW = 16
_MOST_STEPS = 60  # two polynomials of degree 5 and 4 take fewer


def _is_behind_layer(trace: Trace, value: int) -> bool:
    """Return whether a layer computed the value, up to scales, shifts, moves and activations."""
    return value not in trace.of_weights and weights_before(trace, value, through=THROUGH) is not None
