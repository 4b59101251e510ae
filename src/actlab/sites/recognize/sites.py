"""Find the activations among the calls of one forward pass."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

from torch import nn

from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.sites.recognize.composites import Found, composites
from actlab.sites.recognize.formula_follower import FormulaFollower
from actlab.sites.recognize.learned_parameters import shown_parameters
from actlab.sites.recognize.opaque import unseen_in
from actlab.sites.recognize.softmax import axis_composites
from actlab.sites.recognize.torch_ops import CONVOLUTIONS, LINEAR, MAY_FOLLOW_WEIGHTS, MOVES, POINTWISE, after_weights
from actlab.sites.recognize.unnamed import unnamed
from actlab.sites.recognize.upstream import THROUGH, follows_weights, is_float, weights_before
from actlab.sites.site import Site, Unseen
from actlab.sites.trace.trace import Step, Trace


@cache
def gated_units() -> Mapping[str, str]:
    """Return, by the activation of the gate, the name of the gated unit that multiplies a value by it.

    Example:
        >>> gated_units()["silu"]
        'swiglu'
    """
    value, gate = Input("value"), Input("gate")
    acts = [act for act in CATALOG.values() if isinstance(act, Activation)]
    products = {value * act(gate): act.name for act in acts if len(act.inputs) == 1}
    return {products[unit.formula]: unit.name for unit in acts if len(unit.inputs) == 2 and unit.formula in products}


def with_sites(bare: Trace, follower: FormulaFollower, model: nn.Module) -> Trace:
    """Return the trace with its sites.

    Args:
        bare: what was recorded.
        follower: what followed that pass.
        model: the model that was run.
    """
    unseen = unseen_in(model)
    bare = bare.sited(unseen=unseen)
    found = sorted(
        _gated(bare, [*axis_composites(bare), *composites(follower, bare), *_singles(follower, bare)]),
        key=lambda f: f.steps[0],
    )
    sites, site_of = _merged(bare, found)
    sources = {each.steps[0]: each.source for each in found}
    trace = bare.sited(sites=tuple(sites), site_of=site_of, source_of=sources)
    return trace.sited(unseen=(*unseen, *_opaque(bare), *unnamed(trace, follower)))


def _singles(follower: FormulaFollower, trace: Trace) -> Iterator[Found]:
    """Yield the activations that are one step."""
    for step in trace.steps:
        if step.part == "loss" or not step.inputs or step.function == "getitem":
            continue
        act = follower.activations.get(step.place)
        if act is None and step.function not in MAY_FOLLOW_WEIGHTS:
            continue
        source = _source(step, trace)
        if act is None and follows_weights(trace, source):
            act = after_weights(step.function, step.arguments)
        if act is not None and is_float(trace, source) and source not in trace.of_weights:
            learned, trainable = follower.learned.get(step.place, {}), follower.trainable.get(step.place, ())
            yield Found(act, (step.place,), source, learned=learned, trainable=trainable)


def _source(step: Step, trace: Trace) -> int:
    if len(step.inputs) == 1:
        return step.inputs[0]
    return next((value for value in step.inputs if not trace.values[value].origin.startswith("parameter")),
                step.inputs[0])  # fmt: skip


def _gated(trace: Trace, found: Sequence[Found]) -> Iterator[Found]:
    """Yield each activation once, and a product of a value and an activated gate as a gated unit."""
    taken: set[int] = set()
    for each in found:
        if taken.isdisjoint(each.steps):
            taken.update(each.steps)
            yield _as_gated(trace, each) or each


def _as_gated(trace: Trace, found: Found) -> Found | None:
    name = gated_units().get(found.activation.name)
    result = trace.steps[found.steps[-1]].outputs[0]
    readers = trace.readers(result)
    if (
        name is None
        or len(readers) != 1
        or readers[0].function != "mul"
        or not isinstance(found.activation, Activation)
    ):
        return None
    others = [value for value in readers[0].inputs if value != result]
    if len(others) != 1 or others[0] == found.source:
        return None
    value, gate = trace.values[others[0]], trace.values[found.source]
    if value.shape != gate.shape or not _are_projected(trace, others[0], found.source):
        return None
    return found._replace(
        activation=get(name),
        steps=(*found.steps, readers[0].place),
        gate=found.activation,
        learned={},
        trainable=(),
    )


def _are_projected(trace: Trace, value: int, gate: int) -> bool:
    """Return whether both come from a layer, and neither is projected from the other, as in self-attention."""
    layers = [_layer_behind(trace, each) for each in (value, gate)]
    return None not in layers and all(
        layer is not None and other not in (_unmoved(trace, each) for each in layer.inputs)
        for layer, other in zip(layers, (_unmoved(trace, gate), _unmoved(trace, value)), strict=True)
    )


def _unmoved(trace: Trace, value: int) -> int:
    """Return the value of which this one is a part or another arrangement."""
    maker = trace.maker(value)
    while maker is not None and maker.function in MOVES and maker.inputs:
        value = maker.inputs[0]
        maker = trace.maker(value)
    return value


def _layer_behind(trace: Trace, value: int) -> Step | None:
    """Return the layer that computed the value, up to moves and an added bias."""
    maker = trace.maker(value)
    while maker is not None and maker.inputs and maker.function not in LINEAR:
        others = [each for each in maker.inputs if not _is_bias(trace, each)]
        if maker.function == "add" and len(others) == 1:
            value = others[0]
        elif maker.function in MOVES:
            value = maker.inputs[0]
        else:
            return None
        maker = trace.maker(value)
    return maker if maker is not None and maker.function in LINEAR else None


def _is_bias(trace: Trace, value: int) -> bool:
    """Return whether the value is computed from weights alone, or is indexed from them."""
    maker = trace.maker(value)
    picked = maker is not None and maker.function in {"getitem", "index_select"} and bool(maker.inputs)
    return value in trace.of_weights or (
        picked and maker is not None and _is_bias(trace, maker.inputs[0])
    )  # fmt: skip


def channel_axis(trace: Trace, value: int) -> int:
    """Return the axis of the value's units: 1 behind a convolution, else the last."""
    maker = weights_before(trace, value, through=THROUGH | POINTWISE)
    behind = maker is not None and maker.function in CONVOLUTIONS and len(trace.values[value].shape) > 2
    return 1 if behind else -1


def _merged(trace: Trace, found: Sequence[Found]) -> tuple[list[Site], dict[int, int]]:
    """Return one site for each place and weights before it; the calls of a loop over time are one site."""
    sites: list[Site] = []
    calls: list[int] = []
    site_of: dict[int, int] = {}
    known: dict[tuple[Any, ...], int] = {}
    counted: Counter[str] = Counter()
    weights = _weights(trace)
    numbers: dict[Any, int] = {}  # equal activations have one
    number_of: dict[int, int] = {}  # by identity, since most calls of a loop have the same
    for each in found:
        act = number_of.get(id(each.activation))
        if act is None:
            act = number_of[id(each.activation)] = numbers.setdefault(each.activation, len(numbers))
        first = trace.steps[each.steps[0]]
        place = (first.path, first.file, first.line, trace.instructions[first.place], first.spelling)
        key = (*place, act, weights.get(each.source, frozenset()))
        if key not in known:
            known[key] = len(sites)
            calls.append(0)
            sites.append(_site(trace, each, index=counted[first.path]))
            counted[first.path] += 1
        at = known[key]
        calls[at] += 1
        site_of.update(dict.fromkeys(each.steps, at))
    return [replace(site, calls=count) for site, count in zip(sites, calls, strict=True)], site_of


def _weights(trace: Trace) -> Mapping[int, frozenset[str]]:
    """Return for each value the weights of the nearest layers before it, as text."""
    found: dict[int, frozenset[str]] = {}
    names = _weight_names(trace)
    none = frozenset[str]()
    for step in trace.steps:
        own = none
        if step.function in LINEAR:
            own = frozenset([names[value] for value in step.inputs if value in names])
        if not own and len(step.inputs) == 1:
            own = found.get(step.inputs[0], none)
        elif not own:
            behind = {found.get(value, none) for value in step.inputs}
            own = none.union(*behind) if len(behind) != 1 else behind.pop()
        for value in step.outputs:
            found[value] = own
    return found


def _weight_names(trace: Trace) -> Mapping[int, str]:
    """Return for each weight and each value computed from weights alone how it is computed: `T(parameter w)`."""
    names = {each.number: each.origin for each in trace.values if each.origin and each.origin.startswith("parameter")}
    for step in trace.steps:
        if step.outputs and step.outputs[0] in trace.of_weights:
            of = [names.get(value, trace.values[value].origin) for value in step.inputs]
            settings = [f"{name}={value}" for name, value in step.arguments.items()]
            made = f"{step.function}({', '.join([*of, *settings])})"
            made = made if len(made) < _LONGEST_NAME else sha256(made.encode()).hexdigest()
            names.update({value: f"{made}[{at}]" if at else made for at, value in enumerate(step.outputs)})
    return names


_LONGEST_NAME = 400


def _site(trace: Trace, found: Found, *, index: int) -> Site:
    first, last = trace.steps[found.steps[0]], trace.steps[found.steps[-1]]
    value = trace.values[found.source]
    return Site(
        activation=found.activation.name,
        parameters=shown_parameters(found.activation, found.learned),
        path=first.path,
        spelling=_spelling(trace, found),
        file=last.file,
        line=last.line,
        index=index,
        shape=value.shape,
        dtype=value.dtype,
        formula=found.activation,
        channel_axis=channel_axis(trace, found.source),
        gate=found.gate,
        trainable=found.trainable,
        axis=_axis(trace, found),
    )


def _axis(trace: Trace, found: Found) -> int:
    """Return the axis that the steps name; the last if none does."""
    for place in found.steps:
        dim = trace.steps[place].arguments.get("dim")
        dim = dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim
        if isinstance(dim, int) and not isinstance(dim, bool):
            return dim
    return -1


def _spelling(trace: Trace, found: Found) -> str:
    """Return the call, or the formula of several calls."""
    if len(found.steps) == 1:
        return trace.steps[found.steps[0]].spelling
    if found.gate is not None:
        return f"value * {found.written or trace.steps[found.steps[0]].spelling}"
    return found.written


def _opaque(trace: Trace) -> Iterator[Unseen]:
    """Yield functions that cannot be followed, and fused calls that contain an activation."""
    scripted = {each.path.rpartition(".")[0] for each in trace.unseen if each.what == "a scripted module"}
    hidden = [value for value in trace.values if value.origin and value.origin.startswith("opaque")]
    for path, origin in dict.fromkeys((_path_of_readers(trace, value.number), value.origin) for value in hidden):
        what, why = _unshown(origin.removeprefix("opaque "))
        if path not in scripted or what.startswith("autograd"):  # a scripted module is listed already
            yield Unseen(path, what, why)
    named = {each.path for each in trace.unseen}
    calls = dict.fromkeys((step.path, step.function) for step in trace.steps if step.function in _INSIDE)
    for path, function in calls:
        if path not in named:
            yield Unseen(path, f"F.{function}", f"its {_INSIDE[function]} is inside one fused call")


_INSIDE = {
    "scaled_dot_product_attention": "softmax",
    "multi_head_attention_forward": "softmax",
    "gumbel_softmax": "softmax",
}


def _unshown(backward: str) -> tuple[str, str]:
    """Return what a call was, by its backward node, and why it cannot be inspected."""
    if backward == "CppFunction":  # the scripting compiler's own node
        return "a scripted function", "scripted code calls no Python function"
    if re.search(r"Backward\d+$", backward):  # one of PyTorch's own nodes
        return f"a call that ends in {backward}", "scripted code and custom operators call no Python function"
    return f"autograd.Function {backward.removesuffix('Backward')}", "its code does not consist of PyTorch's functions"


def _path_of_readers(trace: Trace, value: int) -> str:
    """Return the path of the module that reads the value; for a module of PyTorch, of its parent."""
    readers = trace.readers(value)
    if not readers:
        return ""
    return readers[0].path.rpartition(".")[0] if readers[0].spelling.startswith("nn.") else readers[0].path
