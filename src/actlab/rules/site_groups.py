"""The group of each site of a model, by what the dataflow does with its result: hidden, gate, block or output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from actlab.formula.activation import Activation
from actlab.rules.construction.layers import AFFINE
from actlab.rules.dataflow import data_of, downstream, is_layer, is_move, numbers_read, upstream
from actlab.sites.recognize.routes import groups as applications
from actlab.sites.site import Group, Site
from actlab.sites.trace.trace import Step, Trace
from actlab.theory.predicates import stays_in_unit_interval

TRIED = 3
"""Applications of a site that are followed at most: the steps of a recurrent network are alike."""

_DIFFERENCES = frozenset({"sub", "rsub"})
_SUMS = _DIFFERENCES | {"add"}
_FIXED = ("parameter", "buffer", "constant")


def site_groups(trace: Trace) -> tuple[Group, ...]:
    """Return the group of each site of a trace, in the order of its sites.

    The first that fits any application of the site counts:

    - output: its result is an output of the model.
    - gate: its result multiplies that of another branch. Of two activations that multiply each other, one that stays
      within 0 and 1 is the gate of one that does not.
    - block: it lies in a branch that is added to its own input, as in a residual block; an interpolation between the
      two, as in a recurrent cell, is not one.
    - hidden: all others.
    """
    found: list[Group] = ["hidden"] * len(trace.sites)
    outputs = {_origin(trace, number) for number in trace.outputs}
    tried = Counter[int]()
    for places, at in applications(trace):
        last, first = trace.steps[places[-1]], trace.steps[places[0]]
        if not last.outputs:
            continue
        if last.outputs[0] in outputs or _product_of(trace, last, at) in outputs:
            found[at] = "output"
        tried[at] += 1
        if tried[at] > TRIED or found[at] == "output":
            continue
        if found[at] in ("hidden", "block") and (_is_unit(trace.sites[at]) or _is_gate(trace, last, at)):
            found[at] = "gate"
        elif found[at] == "hidden" and first.inputs and _is_in_branch(trace, trace.source(first), last):
            found[at] = "block"
    return tuple(found)


def _is_unit(site: Site) -> bool:
    """Return whether the site is a gated unit."""
    return site.gate is not None or (isinstance(site.formula, Activation) and len(site.formula.inputs) == 2)


def _product_of(trace: Trace, last: Step, at: int) -> int | None:
    """Return the output of the gated unit whose gate ends with this step; None for other sites."""
    if trace.sites[at].gate is None:
        return None
    readers = [step for step in trace.readers(last.outputs[0]) if trace.site_of.get(step.place) == at]
    return readers[-1].outputs[0] if readers and readers[-1].outputs else None


def _origin(trace: Trace, value: int) -> int:
    """Return the value that moves lead from to this one."""
    step = trace.maker(value)
    while step is not None and step.place not in trace.site_of and is_move(step) and step.inputs:
        value = step.inputs[0]
        step = trace.maker(value)
    return value


def _is_gate(trace: Trace, last: Step, at: int) -> bool:
    for value in _followed(trace, last.outputs[0]):
        for reader in trace.readers(value):
            others = [other for other in reader.inputs if other != value]
            if reader.function == "mul" and others and _is_branch(trace, others[0]):
                return not _is_gated_by(trace, others[0], at)
    return False


def _followed(trace: Trace, value: int) -> Iterator[int]:
    """Yield a value and what moves, and sums with a number as in 1 - z, turn it into."""
    waiting = [value]
    known = set(waiting)
    while waiting:
        value = waiting.pop()
        yield value
        for reader in trace.readers(value):
            follows = is_move(reader) or (reader.function in _SUMS and len(reader.inputs) == 1)
            more = [] if not follows or reader.place in trace.site_of else list(reader.outputs)
            waiting += [each for each in more if each not in known]
            known.update(more)


def _is_gated_by(trace: Trace, other: int, at: int) -> bool:
    """Return whether the other factor is a gate, and this site is not."""
    step = trace.maker(other)
    while step is not None and step.place not in trace.site_of and step.inputs:
        if not is_move(step) and not (step.function in _SUMS and len(step.inputs) == 1):
            return False
        step = trace.maker(step.inputs[0])
    site = None if step is None else trace.site_at(step)
    return (
        site is not None
        and stays_in_unit_interval(site.measured)
        and not stays_in_unit_interval(trace.sites[at].measured)
    )


def _is_branch(trace: Trace, value: int) -> bool:
    """Return whether a value depends on the model's input, unlike a weight or a mask of dropout."""
    if value in trace.of_weights or trace.values[value].origin.startswith(_FIXED):
        return False
    read = {number for place in upstream(trace, value) for number in numbers_read(trace.steps[place])} | {value}
    return any(trace.values[number].origin.startswith("input") for number in read)


def _is_in_branch(trace: Trace, source: int, last: Step) -> bool:
    """Return whether what the site computes is added to what its branch begins with."""
    behind = downstream(trace, last.outputs)
    depends = set(last.outputs) | {value for place in behind for value in trace.steps[place].outputs}
    before: set[int] | None = None
    for place in sorted(behind):
        step = trace.steps[place]
        skips = [value for value in step.inputs if value not in depends]
        if step.function != "add" or len(step.inputs) != 2 or len(skips) != 1 or step.part != "model":
            continue
        if any(reader.function in _DIFFERENCES and reader.place in behind for reader in trace.readers(skips[0])):
            continue
        if before is None:
            before = {source} | {
                value for place in upstream(trace, source) for value in numbers_read(trace.steps[place])
            }
        if _leads_from(trace, skips[0], before):
            return True
    return False


def _leads_from(trace: Trace, value: int, before: set[int]) -> bool:
    """Return whether a value is one of these, or was computed from one by a shortcut of layers and normalizations."""
    is_identity = True
    while True:
        if value in trace.of_weights or trace.values[value].origin.startswith(_FIXED):
            return False
        if value in before:
            return is_identity or not trace.values[value].origin.startswith("input")
        step = trace.maker(value)
        if step is None or not step.inputs:
            return False
        if is_layer(trace, step):
            following, is_identity = data_of(trace, step), False
        elif step.function in AFFINE:
            following = step.inputs[0]
        else:
            return False
        if following is None:
            return False
        value = following
