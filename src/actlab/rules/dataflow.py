"""Follow the dataflow backward: which function computed the input of a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import final

from actlab.formula.activation import Activation
from actlab.sites.recognize.softmax import written_softmax
from actlab.sites.recognize.torch_ops import LAYERS, MOVES, AnyActivation, known
from actlab.sites.site import Site, Spot
from actlab.sites.trace.trace import Step, Trace

# They join values; a property of all parts is a property of the whole.
_JOINED = frozenset({"cat", "stack"})
# A smaller number that is added before a logarithm is a guard against 0.
_GUARD = 1e-3
# x @ W with a parameter W is a layer too.
PRODUCTS = frozenset({"matmul", "mm"})
_MAY_BE_LAYERS = LAYERS | PRODUCTS | {"einsum"}
# They transpose or reshape a weight or change its dtype.
_TURNED = frozenset({"T", "mT", "t", "transpose", "permute", "swapaxes", "movedim", "to", "float", "half", "bfloat16",
                     "type_as", "contiguous", "view", "reshape", "unsqueeze", "squeeze", "expand"})  # fmt: skip
# The axis of softmax that PyTorch chooses if none is named, by number of axes.
_IMPLICIT = {0: 0, 1: 0, 3: 0}


@final
@dataclass(frozen=True)
class Made:
    """What computed a value, apart from moves.

    Attributes:
        name: the activation's name, or the function's.
        value: the number of its output.
        step: its last step; None if the value comes from outside.
        source: the number of its input; None if that is not a single value.
        site: its site, if it is an activation of the model.
        activation: the activation, if it is one.
        dim: the axis along which it acts, from 0; None if it is element-wise.
    """

    name: str
    value: int
    step: Step | None
    source: int | None = None
    site: Site | None = None
    activation: AnyActivation | None = None
    dim: int | None = None

    @property
    def spot(self) -> Site | Spot | None:
        """Its place: the site, or the call if it is not an activation of the model."""
        return self.site if self.site is not None or self.step is None else spot_of(self.step)


def spot_of(step: Step) -> Spot | None:
    """Return the place of the step's call; None if it is not a call of the user's."""
    return Spot(step.path, step.spelling, step.file, step.line) if step.spelling else None


def known_lines(places: Iterable[Site | Spot | Step]) -> tuple[str, ...]:
    """Return the lines of code of sites or calls as `file:line`, each once, without those that are unknown."""
    return tuple(dict.fromkeys(f"{each.file}:{each.line}" for each in places if each.file and each.line))


def place_of(trace: Trace, step: Step) -> Site | Spot | None:
    """Return the site to which the step belongs, or its call if it is on another line of a formula that is written out.

    A module of PyTorch's has its line where it is constructed.
    """
    site = trace.site_at(step)
    return site if site is not None and (site.line == step.line or step.spelling.startswith("nn.")) else spot_of(step)


def makers(trace: Trace, value: int, *, limit: int = 64) -> tuple[Made, ...]:
    """Return what computed the value; several if values were joined."""
    step = trace.maker(value)
    while step is not None and is_move(step) and step.inputs:
        value = step.inputs[0]
        step = trace.maker(value)
    if step is not None and step.function in _JOINED and limit > 0:
        return tuple(made for part in step.inputs for made in makers(trace, part, limit=limit - len(step.inputs)))
    return (made_by(trace, value),)


def sole(trace: Trace, value: int) -> Made:
    """Return what computed the value if all its parts agree; else the function that joined them."""
    found = makers(trace, value)
    return found[0] if len({made.name for made in found}) == 1 else Made("joined", value, trace.maker(value))


def is_move(step: Step) -> bool:
    """Return whether the step leaves every number as it is, apart from a guard against 0."""
    if step.function in MOVES:
        return True
    if step.function == "add" and len(step.inputs) == 1:
        return any(isinstance(number, float) and abs(number) <= _GUARD for number in step.arguments.values())
    if step.function != "clamp":
        return False
    low, high = step.arguments.get("min"), step.arguments.get("max")
    guards_low = low is None or (isinstance(low, int | float) and 0 < low <= _GUARD)
    guards_high = high is None or (isinstance(high, int | float) and 1 - _GUARD <= high <= 1)
    return guards_low and guards_high


def moved_from(step: Step, value: int) -> int | None:
    """Return the input that the step moves to this output; None if it computes something."""
    if step.function == "broadcast_tensors" and value in step.outputs:
        return step.inputs[step.outputs.index(value)]
    return step.inputs[0] if step.function in MOVES and step.inputs else None


def made_by(trace: Trace, value: int) -> Made:
    """Return what computed the value: an activation, a softmax in several steps, or a plain function."""
    step = trace.maker(value)
    if step is None:
        return Made("outside", value, None)
    found = _softmax(trace, value, step) or _inverse(trace, value, step) or _biased(trace, value, step)
    if found is not None:
        return found
    site = trace.site_at(step)
    act = site.formula if site is not None and step.outputs else known(step.function, step.arguments)
    if act is None or (site is not None and _is_inside(trace, step)):
        return Made(step.function, value, step, step.inputs[0] if step.inputs else None)
    source = trace.source(_first_of(trace, step)) if step.inputs else None
    dim = None if isinstance(act, Activation) else axis_of(trace, step)
    if site is not None and site.gate is not None:
        return Made("gated", value, step, source, site, act)
    return Made(act.name, value, step, source, site, act, dim)


def may_complete_softmax(step: Step) -> bool:
    """Return whether the step may be a softmax or log-softmax, or the last of several that are one."""
    return bool(step.outputs) and step.function in _MAY_COMPLETE_SOFTMAX


_MAY_COMPLETE_SOFTMAX = frozenset({"softmax", "log_softmax", "div", "sub", "exp", "activation"})


def _is_inside(trace: Trace, step: Step) -> bool:
    """Return whether a later step of the same application of an activation reads what the step computes."""
    at = trace.site_of.get(step.place)
    for reader in trace.readers(step.outputs[0]):
        place = reader.place
        while trace.site_of.get(reader.place) == at and place > step.place:
            if place in trace.source_of and trace.site_of.get(place) == at:
                break  # it belongs to a later application
            place -= 1
        else:
            if trace.site_of.get(reader.place) == at:
                return True
    return False


def _first_of(trace: Trace, last: Step) -> Step:
    """Return the first step of the activation that this step completes."""
    at, first = trace.site_of.get(last.place), last
    while at is not None and first.place not in trace.source_of:
        before = [made for value in first.inputs if (made := trace.maker(value)) is not None]
        inside = [made for made in before if trace.site_of.get(made.place) == at]
        if not inside:
            break
        first = inside[0]
    return first


def axis_of(trace: Trace, step: Step) -> int:
    """Return the axis along which a softmax acts, from 0."""
    length = len(trace.values[step.inputs[0]].shape)
    dim = step.arguments.get("dim")
    if not isinstance(dim, int) or isinstance(dim, bool):
        dim = _IMPLICIT.get(length, 1) if step.function != "activation" else -1
    return dim % max(length, 1)


def _softmax(trace: Trace, value: int, step: Step) -> Made | None:
    """Return the softmax or log-softmax that is written out in several steps, of which this is the last."""
    found = written_softmax(trace, step)
    return None if found is None else Made(found.name, value, step, found.source, trace.site_at(step), dim=found.dim)


# What a logarithm or an exponential makes of an activation.
_INVERSES = {
    ("log", "softmax"): "log_softmax",
    ("log", "sigmoid"): "log_sigmoid",
    ("exp", "log_softmax"): "softmax",
    ("exp", "log_sigmoid"): "sigmoid",
}


def _inverse(trace: Trace, value: int, step: Step) -> Made | None:
    """Return the activation that the logarithm or exponential of another one is."""
    if step.function not in {"log", "exp"} or not step.inputs:
        return None
    inner = sole(trace, step.inputs[0])
    name = _INVERSES.get((step.function, inner.name))
    return None if name is None else Made(name, value, step, inner.source, inner.site, None, inner.dim)


def _biased(trace: Trace, value: int, step: Step) -> Made | None:
    """Return the layer if the step adds its bias, as in x @ W + b."""
    product = biased(trace, step)
    layer = None if product is None else trace.maker(product)
    return None if layer is None else Made(layer.function, value, layer, data_of(trace, layer))


def biased(trace: Trace, step: Step) -> int | None:
    """Return the output of a layer to which the step adds a bias or a number; None for other steps."""
    if step.function == "add" and len(step.inputs) == 1:
        return step.inputs[0] if is_layer(trace, trace.maker(step.inputs[0])) else None
    if step.function != "add" or len(step.inputs) != 2:
        return None
    for value, other in (step.inputs, step.inputs[::-1]):
        if parameter_behind(trace, other) and is_layer(trace, trace.maker(value)):
            return value
    return None


def upstream(trace: Trace, *values: int | None) -> frozenset[int]:
    """Return the places of all steps on which one of the values depends; of all steps for None."""
    if None in values:
        return frozenset(step.place for step in trace.steps)
    found: set[int] = set()
    maker, waiting = trace.maker, [value for value in values if value is not None]
    while waiting:
        step = maker(waiting.pop())
        if step is not None and step.place not in found:
            found.add(step.place)
            if not _reads_shape(step.function):
                waiting += step.inputs
    return frozenset(found)


def numbers_read(step: Step) -> tuple[int, ...]:
    """Return the values whose numbers the step reads: `zeros_like`, `new_zeros` and the like read only a shape."""
    return () if _reads_shape(step.function) else step.inputs


@cache
def _reads_shape(function: str) -> bool:
    return function.endswith("_like") or function.startswith("new_")


def downstream(trace: Trace, values: Iterable[int]) -> frozenset[int]:
    """Return the places of all steps that depend on one of the values."""
    found: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        for step in trace.readers(value):
            if step.place not in found and value in numbers_read(step):
                found.add(step.place)
                waiting += step.outputs
    return frozenset(found)


def parameters_of(trace: Trace, step: Step) -> tuple[str, ...]:
    """Return the names of the parameters that the step reads, also transposed."""
    return tuple(name for value in step.inputs if (name := parameter_behind(trace, value)))


def parameter_behind(trace: Trace, value: int) -> str:
    """Return the name of the parameter that the value is, also transposed; empty if it is not one."""
    found = trace.parameters_behind.get(value)
    if found is None:
        origin = trace.values[behind(trace, value, _TURNED)].origin
        found = origin.removeprefix("parameter ") if origin.startswith("parameter ") else ""
        trace.parameters_behind[value] = found
    return found


def is_layer(trace: Trace, step: Step | None) -> bool:
    """Return whether the step multiplies by parameters."""
    if step is None or step.function not in _MAY_BE_LAYERS:
        return False
    found = trace.are_layers.get(step.place)
    if found is None:
        found = trace.are_layers[step.place] = _is_layer(trace, step)
    return found


def layers(trace: Trace) -> Iterator[Step]:
    """Yield the steps that multiply by parameters."""
    for step in trace.steps:
        if step.function in _MAY_BE_LAYERS and is_layer(trace, step):
            yield step


def _is_layer(trace: Trace, step: Step) -> bool:
    if step.function == "einsum":
        return bool(einsum_weight(trace, step))
    if step.function not in PRODUCTS:
        return step.function in LAYERS and bool(parameters_of(trace, step))
    values = step.inputs
    is_matrix = len(values) == 2 and len(trace.values[values[1]].shape) == 2
    return is_matrix and bool(parameter_behind(trace, values[1])) and not parameter_behind(trace, values[0])


def einsum_weight(trace: Trace, step: Step) -> str:
    """Return how an `einsum` that is a linear layer holds its weight: "input first" or "output first"; else empty.

    The layer replaces the last axis of its one input, as in `bti,io->bto`.
    """
    equation = next((value for value in step.arguments.values() if isinstance(value, str)), "")
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = dict(zip(step.inputs, left.split(","), strict=False))
    weights = [value for value in terms if parameter_behind(trace, value)]
    if step.function != "einsum" or not arrow or len(step.inputs) != 2 or len(terms) != 2 or len(weights) != 1:
        return ""
    weight = terms.pop(weights[0])
    (data,) = terms.values()
    if len(weight) != 2 or not data or data[:-1] != result[:-1] or "." in equation:
        return ""
    ends = data[-1:] + result[-1:]
    return {ends: "input first", ends[::-1]: "output first"}.get(weight, "") if ends[0] != ends[1] else ""


def data_of(trace: Trace, step: Step) -> int | None:
    """Return the number of the layer's input, other than its weights."""
    return next((value for value in step.inputs if not parameter_behind(trace, value)), None)


def back(trace: Trace, value: int, through: frozenset[str]) -> Iterator[Step]:
    """Yield the steps backward along first inputs, up to the first that is neither in `through` nor adds a bias."""
    step = trace.maker(value)
    while step is not None:
        yield step
        product = biased(trace, step)
        if product is None and (step.function not in through or not step.inputs):
            return
        step = trace.maker(step.inputs[0] if product is None else product)


def behind(trace: Trace, value: int, through: frozenset[str]) -> int:
    """Return the value from which only steps of `through` lead here, along first arguments."""
    step = trace.maker(value)
    while step is not None and step.function in through and step.inputs:
        value = step.inputs[0]
        step = trace.maker(value)
    return value
