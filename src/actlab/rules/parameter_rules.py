"""Findings about activations that learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from actlab.rules.context import Context, finding
from actlab.rules.dataflow import is_layer, parameters_of
from actlab.rules.finding import Finding
from actlab.sites.recognize.torch_ops import LAYERS
from actlab.sites.site import Site
from actlab.sites.trace.trace import Trace


def learned(trace: Trace) -> Mapping[str, tuple[Site, frozenset[tuple[str, ...]]]]:
    """Of every parameter of an activation: the first site that has it, and behind which weights it is applied."""
    found: dict[str, tuple[Site, frozenset[tuple[str, ...]]]] = {}
    for step in trace.steps:
        site = trace.site_at(step)
        if site is None or step.function in LAYERS:
            continue
        for name in parameters_of(trace, step):
            behind = _weights_behind(trace, step.inputs)
            first, others = found.get(name, (site, frozenset()))
            found[name] = (first, others | ({behind} if behind else frozenset()))
    return found


def _weights_behind(trace: Trace, values: tuple[int, ...]) -> tuple[str, ...]:
    """The names of the nearest weights upstream of the values."""
    waiting, looked = list(values), set(values)
    while waiting:
        step = trace.maker(waiting.pop(0))
        if step is None:
            continue
        if step.function in LAYERS or is_layer(trace, step):
            return parameters_of(trace, step)
        new = [value for value in step.inputs if value not in looked]
        looked.update(new)
        waiting += new
    return ()


def shared(context: Context) -> Iterator[Finding]:
    """AL306: one parameter serves activations behind several layers."""
    for name, (site, behind) in learned(context.trace).items():
        if len(behind) > 1:
            yield finding(
                "AL306",
                f"{name} is the parameter of one activation that stands behind {len(behind)} layers: all of them pull"
                " one value their own way.",
                site=site,
                parameter=name,
                places=len(behind),
                layers=sorted(names[0] for names in behind),
            )


def decayed(context: Context) -> Iterator[Finding]:
    """AL307: weight decay on parameters of activations."""
    if context.optimiser is None:
        return
    names = {id(value): name for name, value in context.model.named_parameters()}
    known = learned(context.trace)
    hit = {
        names[id(value)]: float(group.get("weight_decay") or 0.0)
        for group in context.optimiser.param_groups
        for value in group["params"]
        if group.get("weight_decay") and names.get(id(value)) in known
    }
    if hit:
        first = next(iter(hit))
        yield finding(
            "AL307",
            f"weight decay of {max(hit.values()):g} pulls {len(hit)} parameters of activations to 0, {first} first:"
            " that chooses another function, it does not regularise.",
            site=known[first][0],
            severity="warning" if max(hit.values()) >= 1e-4 else "information",
            parameters=sorted(hit),
            weight_decay=max(hit.values()),
        )


def of_another(context: Context) -> Iterator[Finding]:
    """AL111 beforehand: the optimiser steps none of what the loss depends on."""
    if context.optimiser is None:
        return
    held = {id(value) for group in context.optimiser.param_groups for value in group["params"]}
    trains = [value for value in context.model.parameters() if value.requires_grad]
    if trains and not any(id(value) in held for value in trains):
        yield finding(
            "AL111",
            f"the optimiser holds {len(held)} parameters and none of the model's {len(trains)} that train: no step"
            " changes the model. It was made for another model, or before this one was replaced or moved.",
            severity="error",
            held=len(held),
            parameters=len(trains),
        )


RULES = (shared, decayed, of_another)
