"""From the calls of one forward pass to the activations that they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

from actlab.catalog.index import get
from actlab.formula.activation import Activation, typed
from actlab.formula.expr import Expr
from actlab.formula.text import text
from actlab.sites.elementwise import SAME_NUMBERS, bends, has_least_zero, holds_activation, recognised
from actlab.sites.known import CONVOLUTIONS, LINEAR, MOVES, AnyActivation, after_weights
from actlab.sites.learned import Learned, shown_parameters
from actlab.sites.recorder import Recorder
from actlab.sites.site import Site, Unseen
from actlab.sites.trace import Step, Trace

# They move numbers or scale them and leave it open what made them.
THROUGH = MOVES | {
    "dropout",
    "add",
    "mul",
    "sub",
    "rsub",
    "div",
    "neg",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "activation",
}

# The gated unit that a value times the activation of a gate is.
_GATED = {"sigmoid": "glu", "relu": "reglu", "gelu": "geglu", "gelu_tanh": "geglu_tanh", "silu": "swiglu"}
_ARITHMETIC = frozenset({"exponential", "sine", "cosine", "erf", "arctan"})


@final
@dataclass(frozen=True)
class Found:
    """An activation among the steps.

    Attributes:
        activation: which.
        steps: the places of the steps that it is made of, in order.
        source: the number of the value that it is applied to.
        gate: of a gated unit, the function of its gate.
        written: the formula of several steps.
        learned: what it has learned, all values.
    """

    activation: AnyActivation
    steps: tuple[int, ...]
    source: int
    gate: Activation | None = None
    written: str = ""
    learned: Learned = field(default_factory=dict)


def analysed(recorder: Recorder, *, outputs: Sequence[int], loss: int | None, unseen: Sequence[Unseen]) -> Trace:
    """The trace of what was written down."""
    bare = Trace(tuple(recorder.values), tuple(recorder.steps), tuple(outputs), loss, (), {}, tuple(unseen))
    found = sorted(_gated(bare, [*_composites(recorder, bare), *_singles(recorder, bare)]), key=lambda f: f.steps[0])
    sites, site_of = _merged(bare, found, recorder.instructions)
    return Trace(bare.values, bare.steps, bare.outputs, loss, tuple(sites), site_of, (*unseen, *_opaque(bare)))


def _composites(recorder: Recorder, trace: Trace) -> list[Found]:
    """Activations that are written out in several steps, the largest first."""
    used: set[int] = set()
    found: list[Found] = []
    weights = _of_weights_alone(trace)
    for step in reversed(trace.steps):
        made = recorder.pointwise.get(step.outputs[0]) if step.outputs else None
        if made is None or step.place in used or step.part == "loss" or made.root in weights:
            continue
        if not isinstance(made.formula, Expr) or not _is_float(trace, made.root):
            continue
        steps = _cone(recorder, trace, step, root=made.root)
        work = {place for place in steps if trace.steps[place].function not in SAME_NUMBERS}
        alone = work <= recorder.activations.keys()  # each is a site of its own, also relu after relu
        if alone or not used.isdisjoint(steps) or not _is_closed(trace, steps, step):
            continue
        act = _meant(recorder, trace, steps, made.formula, root=made.root)
        if act is not None:
            used.update(steps)
            found.append(Found(act, tuple(sorted(steps)), made.root, written=text(made.formula)))
    return found


def _cone(recorder: Recorder, trace: Trace, last: Step, *, root: int) -> set[int]:
    """The places of the steps from the root to this one."""
    steps: set[int] = set()
    waiting = [last]
    while waiting:
        step = waiting.pop()
        if step.place in steps:
            continue
        steps.add(step.place)
        for value in step.inputs:
            maker = trace.maker(value)
            known = recorder.pointwise.get(value)
            if value != root and maker is not None and known is not None and known.root == root:
                waiting.append(maker)
    return steps


def _is_closed(trace: Trace, steps: set[int], last: Step) -> bool:
    """Whether nothing else reads what is computed on the way."""
    for place in steps - {last.place}:
        for value in trace.steps[place].outputs:
            if value in trace.outputs or any(reader.place not in steps for reader in trace.readers(value)):
                return False
    return True


def _meant(recorder: Recorder, trace: Trace, steps: set[int], formula: Expr, *, root: int) -> Activation | None:
    act = recognised(formula)
    if act is None:
        return _unnamed(recorder, trace, steps, formula, root=root)
    if len(steps) == 1 and act.name not in {"relu", "relu6", "hard_tanh"}:
        return None  # a single step of arithmetic, such as a square, is an activation only by the rules for those
    if len(steps) == 1 and act.name == "relu" and not has_least_zero(formula):
        return None  # a floor of 1e-6 keeps a logarithm finite
    return None if act.name in _ARITHMETIC and not _follows_weights(trace, root) else act


def _unnamed(recorder: Recorder, trace: Trace, steps: set[int], formula: Expr, *, root: int) -> Activation | None:
    """The formula as an activation of its own: what gates itself, and holds an activation among its steps."""
    reads = sum(root in trace.steps[place].inputs for place in steps)
    if reads < 2 or (not any(place in recorder.activations for place in steps) and not holds_activation(formula)):
        return None
    if not bends(formula) or any(trace.steps[place].function in {"add", "sub", "rsub"} and root in
                                 trace.steps[place].inputs for place in steps):  # fmt: skip
        return None  # x + f(x): a residual branch around the activation f
    return typed(text(formula), formula)


def _singles(recorder: Recorder, trace: Trace) -> Iterator[Found]:
    """Activations that are one step."""
    weights = _of_weights_alone(trace)
    for step in trace.steps:
        if step.part == "loss" or not step.inputs or step.function == "getitem":
            continue
        source = _source(step, trace)
        act = recorder.activations.get(step.place)
        if act is None and _follows_weights(trace, source):
            act = after_weights(step.function, step.arguments)
        if act is not None and _is_float(trace, source) and source not in weights:
            yield Found(act, (step.place,), source, learned=recorder.learned.get(step.place, {}))


def _is_float(trace: Trace, value: int) -> bool:
    return trace.values[value].dtype.startswith(("float", "bfloat"))


def _of_weights_alone(trace: Trace) -> set[int]:
    """The values that are computed of weights only: a learned number kept positive by a softplus is no site."""
    fixed = {value.number for value in trace.values if value.origin.startswith(("buffer", "constant"))}
    found = {value.number for value in trace.values if value.origin.startswith("parameter")}
    for step in trace.steps:
        if not found.isdisjoint(step.inputs) and all(value in found or value in fixed for value in step.inputs):
            found.update(step.outputs)
    return found


def _source(step: Step, trace: Trace) -> int:
    return next((value for value in step.inputs if not trace.values[value].origin.startswith("parameter")),
                step.inputs[0])  # fmt: skip


def _gated(trace: Trace, found: Sequence[Found]) -> Iterator[Found]:
    """The same, each once, and a value times an activation of a gate as the gated unit that it is."""
    taken: set[int] = set()
    weights = _of_weights_alone(trace)
    for each in found:
        if taken.isdisjoint(each.steps):
            taken.update(each.steps)
            yield _as_gated(trace, each, weights) or each


def _as_gated(trace: Trace, found: Found, weights: set[int]) -> Found | None:
    name = _GATED.get(found.activation.name)
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
    if value.shape != gate.shape or not all(_is_projected(trace, each, weights) for each in (others[0], found.source)):
        return None
    return Found(get(name), (*found.steps, readers[0].place), found.source, found.activation, found.written)


def _is_projected(trace: Trace, value: int, weights: set[int]) -> bool:
    """Whether weights, a bias after them, or a part of what they gave, made the value."""
    maker = trace.maker(value)
    while maker is not None and maker.inputs and maker.function not in LINEAR:
        others = [each for each in maker.inputs if not _is_bias(trace, each, weights)]
        if maker.function == "add" and len(others) == 1:
            value = others[0]
        elif maker.function in MOVES:
            value = maker.inputs[0]
        else:
            return False
        maker = trace.maker(value)
    return maker is not None and maker.function in LINEAR


def _is_bias(trace: Trace, value: int, weights: set[int]) -> bool:
    """Whether the value is computed of weights alone, or is those rows of them that data picked."""
    maker = trace.maker(value)
    picked = maker is not None and maker.function in {"getitem", "index_select"} and bool(maker.inputs)
    return value in weights or trace.values[value].origin.startswith("parameter") or (
        picked and maker is not None and _is_bias(trace, maker.inputs[0], weights)
    )  # fmt: skip


def _follows_weights(trace: Trace, value: int) -> bool:
    maker = _weights_before(trace, value, through=frozenset({"mul", "add", "view", "reshape"}))
    return maker is not None and maker.function in LINEAR


def _weights_before(trace: Trace, value: int, *, through: frozenset[str] = THROUGH) -> Step | None:
    """The nearest step with weights upstream, along first arguments."""
    for _ in range(len(trace.steps) + 1):
        maker = trace.maker(value)
        if maker is None:
            return None
        if maker.function in LINEAR:
            return maker
        if (maker.function not in through and trace.site_of.get(maker.place) is None) or not maker.inputs:
            return None
        value = maker.inputs[0]
    return None


def channel_axis(trace: Trace, value: int) -> int:
    """The axis along which the value's units lie: 1 behind a convolution, else the last."""
    maker = _weights_before(trace, value, through=THROUGH | frozenset(_GATED) | {"relu", "leaky_relu", "elu"})
    behind = maker is not None and maker.function in CONVOLUTIONS and len(trace.values[value].shape) > 2
    return 1 if behind else -1


def _merged(trace: Trace, found: Sequence[Found], instructions: Sequence[int]) -> tuple[list[Site], dict[int, int]]:
    """One site for every place; calls of one place that follow the same weights, as in a loop over time, are one."""
    sites: list[Site] = []
    site_of: dict[int, int] = {}
    known: dict[tuple[Any, ...], int] = {}
    counted: Counter[str] = Counter()
    weights = _weights(trace)
    for each in found:
        first = trace.steps[each.steps[0]]
        place = (first.path, first.file, first.line, instructions[first.place], first.spelling)
        key = (*place, each.activation, weights.get(each.source, frozenset()))
        if key not in known:
            known[key] = len(sites)
            sites.append(_site(trace, each, index=counted[first.path]))
            counted[first.path] += 1
        else:
            at = known[key]
            sites[at] = replace(sites[at], calls=sites[at].calls + 1)
        site_of.update(dict.fromkeys(each.steps, known[key]))
    return sites, site_of


def _weights(trace: Trace) -> Mapping[int, frozenset[str]]:
    """Of every value the names of the weights that it follows directly, by whatever way."""
    found: dict[int, frozenset[str]] = {}
    for step in trace.steps:
        origins = (trace.values[value].origin for value in step.inputs)
        own = frozenset(origin for origin in origins if origin.startswith("parameter"))
        if step.function not in LINEAR or not own:
            own = frozenset[str]().union(*(found.get(value, frozenset()) for value in step.inputs))
        found.update(dict.fromkeys(step.outputs, own))
    return found


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
    )


def _spelling(trace: Trace, found: Found) -> str:
    """How the activation is written: the call, or the formula of several."""
    if len(found.steps) == 1:
        return trace.steps[found.steps[0]].spelling
    if found.gate is not None:
        return f"value * {found.written or trace.steps[found.steps[0]].spelling}"
    return found.written


def _opaque(trace: Trace) -> Iterator[Unseen]:
    """What came from functions that nobody follows, and calls that have an activation inside."""
    scripted = {each.path.rpartition(".")[0] for each in trace.unseen if each.what == "a scripted module"}
    hidden = [value for value in trace.values if value.origin.startswith("opaque")]
    for path, origin in dict.fromkeys((_path_of_readers(trace, value.number), value.origin) for value in hidden):
        what, why = _unshown(origin.removeprefix("opaque "))
        if path not in scripted or what.startswith("autograd"):  # a scripted module is named already
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
    """What a call was that only its backward node tells of, and why it is not seen."""
    if re.search(r"Backward\d+$", backward):  # one of PyTorch's own nodes
        return f"a call that ends in {backward}", "scripted code and custom operators show PyTorch no function"
    return f"autograd.Function {backward.removesuffix('Backward')}", "its code is not made of PyTorch's functions"


def _path_of_readers(trace: Trace, value: int) -> str:
    readers = trace.readers(value)
    return readers[0].path.rpartition(".")[0] if readers else ""
