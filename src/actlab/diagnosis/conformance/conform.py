"""Compare the activations that a model runs with those that its configuration, or another implementation, declares."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.diagnosis.conformance.side_by_side import Parting, Pass, largest_difference, partings, passed
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.jsonable import plain
from actlab.nn.modules import module
from actlab.rules.dataflow import is_move
from actlab.rules.declared import Declared, declared_in, is_read
from actlab.rules.site_groups import site_groups
from actlab.sites.recognize.routes import groups
from actlab.sites.recognize.torch_ops import LINEAR
from actlab.sites.site import Site, Unseen, with_known_line
from actlab.sites.trace.preserve_state import copy_of
from actlab.sites.trace.trace import Step, Trace
from actlab.theory.predicates import stays_in_unit_interval
from actlab.train.tree import called_with

SAME = 1e-6
"""Two functions are one if they differ by less than this, relative to the largest output, computed in float64."""

_ROUNDINGS = 16
"""Roundings of the dtype by which two ways to compute the same numbers may differ."""

_SAMPLED = 1 << 20
"""Elements of a site that are compared at most, evenly spaced."""


_AROUND = "the same function, but what is around it differs: a clamp, a scale, or the order of the halves"


@final
@dataclass(frozen=True)
class SiteConformance:
    """What is declared at a site, and what runs.

    Attributes:
        site: the site.
        declared: the activation that should run; empty if nothing is declared for this site.
        runs: the activation that runs.
        max_difference: the largest difference of an output on the model's own pre-activations, in the dtype that runs;
            None if nothing is declared.
        conforms: whether the declared activation runs.
        reason: why it does not conform, in one clause.
    """

    site: Site
    declared: str
    runs: str
    max_difference: float | None
    conforms: bool
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values; `declared` is None if nothing is declared."""
        return {
            **with_known_line({name: getattr(self.site, name) for name in ("path", "file", "line", "index")}),
            "declared": self.declared or None,
            "runs": self.runs,
            "max_difference": plain(self.max_difference),
            "dtype": self.site.dtype,
            "conforms": self.conforms,
            "reason": self.reason,
        }


@final
@dataclass(frozen=True)
class Conformance:
    """How the activations of a model compare with what is declared.

    Attributes:
        sites: one row for each site, in the order of the forward pass.
        elsewhere: what differs between two implementations where no activation stands, in one sentence each.
        unseen: the parts that could not be inspected.
    """

    sites: tuple[SiteConformance, ...]
    elsewhere: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()

    @property
    def conforms(self) -> bool:
        """Whether every site runs what is declared for it."""
        return all(each.conforms for each in self.sites)

    def to_json(self) -> dict[str, Any]:
        """Return the sites, whether they all conform, and what else was noticed."""
        return {
            "sites": [each.to_json() for each in self.sites],
            "conforms": self.conforms,
            "elsewhere": list(self.elsewhere),
            "unseen": plain(self.unseen),
        }


Target = nn.Module | Mapping[str, Any] | str | Path | None


def conform(model: nn.Module, inputs: Any, *, to: Target = None) -> Conformance:
    """Compare what runs at each activation of a model with what is declared for it.

    A function is compared on the model's own pre-activations, in evaluation mode; the model, its buffers and the random
    state stay as they are. With another implementation, all that lies between two layers is compared too, with the
    first model's weights: a clamp that is missing, or halves of a gated unit that are swapped, is found.

    Args:
        model: the model, in any mode.
        inputs: what it is called with: one tensor, a tuple of arguments, or a dict of keyword arguments.
        to: the path of a `config.json`, its contents, or another implementation of the model; by default the model's
            own `config`.

    Raises:
        BadInput: the configuration is missing or names no activation, or the two models differ in structure.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 2))
        >>> found = conform(model, torch.randn(16, 4), to={"hidden_act": "gelu_new"})
        >>> found.conforms, [(each.declared, each.runs) for each in found.sites]
        (False, [('gelu_new', 'silu')])
    """
    positional, named = called_with(inputs)
    if isinstance(to, nn.Module):
        return conform_to_model(model, positional, named, to)
    if isinstance(to, str | Path):
        to = configuration_in(Path(to))
    config = getattr(model, "config", None) if to is None else to
    if config is None:
        raise BadInput("the model: it must have a `config`, or `to` must name one; got neither. Pass to='config.json'.")
    return conform_to_configuration(model, positional, named, declared_in(config))


def configuration_in(path: Path) -> Mapping[str, Any]:
    """Read a configuration from a JSON file.

    Raises:
        BadInput: it cannot be read, or is not a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"'{path}': a configuration must be a JSON file; {error}. Name a config.json.") from error
    if not isinstance(found, Mapping):
        raise BadInput(f"'{path}': a configuration must be a JSON object; got {type(found).__name__}.")
    return found


def conform_to_configuration(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], declared: Sequence[Declared]
) -> Conformance:
    """Compare what a model runs with the activations that its configuration names.

    Args:
        model, inputs, kwargs: the model, in any mode, and what it is called with.
        declared: the activations, those of its parts first.

    Raises:
        BadInput: nothing is declared, or the model raises.
    """
    if not declared:
        raise BadInput("the configuration: an activation must be named in it, as in hidden_act='silu'; got none.")
    ran = passed(model, inputs, kwargs)
    wanted = _wanted(model, ran.trace, declared)
    rows = [
        _row(ran, at, wanted.get(at, (None, ""))[0], named=wanted.get(at, (None, ""))[1])
        for at in range(len(ran.trace.sites))
    ]
    return Conformance(tuple(rows), unseen=ran.trace.unseen)


def conform_to_model(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], other: nn.Module
) -> Conformance:
    """Compare what a model runs with another implementation of it, on the first model's weights and pre-activations.

    Besides the functions, all that lies between two layers is compared: a clamp, or the order of the halves of a gated
    unit, is a difference too.

    Raises:
        BadInput: the two are not implementations of one model, or one raises.
    """
    ran = passed(model, inputs, kwargs)
    copied = copy_of(other)
    alike = _with_weights_of(model, copied)
    theirs = passed(copied, inputs, kwargs).trace
    paired = _paired(ran.trace.sites, theirs.sites)
    rows = [_row(ran, at, paired[at].measured, named=paired[at].formula.label) for at in range(len(ran.trace.sites))]
    if not alike:
        note = "The parts between the layers were not compared: the two models do not have the same parameters."
        return Conformance(tuple(rows), (note,), ran.trace.unseen)
    return _with_partings(rows, ran, partings(ran, copied, inputs, kwargs))


def _with_weights_of(model: nn.Module, other: nn.Module) -> bool:
    """Load the first model's weights into the other, in place; return whether all have their counterpart."""
    ours, theirs = model.state_dict(), other.state_dict()
    if ours.keys() == theirs.keys():
        pairs = [(ours[name], theirs[name]) for name in ours]
    else:
        pairs = list(zip(ours.values(), theirs.values(), strict=False))
        if len(ours) != len(theirs):
            return False
    if any(one.shape != two.shape for one, two in pairs):
        return False
    with torch.no_grad():
        for one, two in pairs:
            two.copy_(one)
    return True


def _paired(ours: Sequence[Site], theirs: Sequence[Site]) -> dict[int, Site]:
    """Return for each site the site of the other model: that of the same name, or else of the same number."""
    if len(ours) != len(theirs):
        raise BadInput(
            f"the two models must apply as many activations; got {len(ours)} and {len(theirs)}."
            " Name two implementations of one model."
        )
    named = {site.name: site for site in theirs}
    if len(named) == len(theirs) and all(site.name in named for site in ours):
        return {at: named[site.name] for at, site in enumerate(ours)}
    return dict(enumerate(theirs))


def _row(ran: Pass, at: int, declared: Activation | AxisActivation | None, *, named: str) -> SiteConformance:
    site = ran.trace.sites[at]
    runs = site.formula.label
    if declared is None:
        return SiteConformance(site, "", runs, None, conforms=True)
    if type(declared) is not type(site.measured) or (
        isinstance(declared, Activation) and len(declared.inputs) != len(_inputs(site.measured))
    ):
        return SiteConformance(site, named, runs, None, conforms=False, reason="another kind of function")
    difference, is_same = _difference(ran, at, declared)
    return SiteConformance(
        site, named, runs, difference, conforms=is_same, reason="" if is_same else "another function"
    )


def _inputs(function: Activation | AxisActivation) -> tuple[str, ...]:
    return function.inputs if isinstance(function, Activation) else ("x",)


def _difference(ran: Pass, at: int, declared: Activation | AxisActivation) -> tuple[float | None, bool]:
    """Return the largest difference in the dtype that runs, and whether the two are the same function."""
    site = ran.trace.sites[at]
    largest, exact, scale = 0.0, 0.0, 0.0
    is_known = _is_bound(site)
    for places, of in groups(ran.trace):
        first, last = ran.trace.steps[places[0]], ran.trace.steps[places[-1]]
        z, y = ran.tensors.get(ran.trace.source(first)), ran.tensors.get(last.outputs[0])
        if of != at or z is None or y is None or (isinstance(declared, Activation) and len(declared.inputs) > 1):
            continue
        axis = site.axis
        if isinstance(declared, Activation) and z.shape == y.shape:
            z, y = _sample(z), _sample(y)
        should = _applied(declared, z, axis)
        if should.shape != y.shape:
            continue
        largest = max(largest, largest_difference(should, y))
        wide = _applied(declared, z.double(), axis)
        running = _applied(site.measured, z.double(), axis) if is_known else y.double()
        exact = max(exact, largest_difference(wide, running))
        scale = max(scale, float(wide.abs().nan_to_num(0.0, 0.0, 0.0).max()) if wide.numel() else 0.0)
    same = declared.key == site.measured.key if is_known and isinstance(declared, Activation) else False
    rounding = SAME if is_known else _ROUNDINGS * torch.finfo(getattr(torch, site.dtype)).eps
    return largest, same or exact <= rounding * max(1.0, scale)


def _is_bound(site: Site) -> bool:
    """Return whether each parameter of the site has one value, so that its formula is the function that runs."""
    return not any(isinstance(value, tuple) for value in site.parameters.values())


def _applied(function: Activation | AxisActivation, z: Tensor, axis: int) -> Tensor:
    with torch.no_grad():
        made = module(function, dim=axis) if isinstance(function, AxisActivation) else module(function, trainable=False)
        result: Tensor = made(z)
        return result


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLED)].contiguous()


def _wanted(model: nn.Module, trace: Trace, declared: Sequence[Declared]) -> dict[int, tuple[Activation, str]]:
    """Return the declared activation of each site for which one is declared, and its name."""
    found: dict[int, tuple[Activation, str]] = {}
    roles: dict[str, list[int]] = {}
    for at, site in enumerate(trace.sites):
        if isinstance(site.measured, Activation):
            roles.setdefault(re.sub(r"\d+", "*", site.path) + f"#{site.index}", []).append(at)
    of_part: dict[str, list[list[int]]] = {}
    for role, sites in roles.items():
        of_part.setdefault(_part_of(role, declared), []).append(sites)
    for part, members in of_part.items():
        named = [one for one in declared if one.part == part]
        if named:
            found |= _wanted_of(trace, members, named)
    fields = {one.name: one for one in declared}
    return {at: one for at, one in found.items() if is_read(model, trace.sites[at].path, fields[one[1]])}


def _part_of(role: str, declared: Sequence[Declared]) -> str:
    """Return the part of the configuration that a site belongs to: that whose name stands in its path."""
    parts = [one.part for one in declared if one.part and any(one.part in word for word in role.split("."))]
    return max(parts, key=len, default="")


def _wanted_of(
    trace: Trace, roles: Sequence[Sequence[int]], declared: Sequence[Declared]
) -> dict[int, tuple[Activation, str]]:
    """Return what is declared for the sites of one part.

    A role, such as the activation of each block's feed-forward layers, that runs a declared activation anywhere is
    declared to run it everywhere. If none does, those between two linear layers are declared to run the first.
    """
    found: dict[int, tuple[Activation, str]] = {}
    for sites in roles:
        for one in declared:
            if any(_are_one(trace.sites[at].measured, one.activation) for at in sites):
                found |= dict.fromkeys(sites, (one.activation, one.name))
                break
    if not found:
        between = [at for sites in roles for at in sites if _is_between_layers(trace, at)]
        repeated = [at for at in between if any(part.isdigit() for part in trace.sites[at].path.split("."))]
        found = dict.fromkeys(repeated or between, (declared[0].activation, declared[0].name))
    return found


def _are_one(function: Activation | AxisActivation, other: Activation) -> bool:
    return isinstance(function, Activation) and (function.key == other.key or function.label == other.label)


def _is_between_layers(trace: Trace, at: int) -> bool:
    """Return whether a layer gives the input of the site and another reads its result, perhaps times another branch."""
    site = trace.sites[at]
    if not isinstance(site.measured, Activation) or stays_in_unit_interval(site.measured):
        return False
    if site_groups(trace)[at] == "output":
        return False
    for places, of in groups(trace):
        if of == at:
            first, last = trace.steps[places[0]], trace.steps[places[-1]]
            return _made_by_layer(trace, trace.source(first)) and _read_by_layer(trace, last)
    return False


_PASSED = frozenset({"mul", "dropout", "add", "layer_norm", "clamp", "to", "type_as"})
_FAR = 12


def _made_by_layer(trace: Trace, value: int) -> bool:
    return _search(trace.maker(value), lambda step: [trace.maker(each) for each in step.inputs[:1]])


def _read_by_layer(trace: Trace, last: Step) -> bool:
    def readers(step: Step) -> list[Step | None]:
        return [reader for value in step.outputs for reader in trace.readers(value)]

    return any(_search(step, readers) for step in readers(last))


def _search(step: Step | None, following: Callable[[Step], list[Step | None]]) -> bool:
    """Return whether a product with weights is met, through moves, gates and dropout alone."""
    waiting = deque([step])
    for _ in range(_FAR):
        if not waiting:
            return False
        at = waiting.popleft()
        if at is None:
            continue
        if at.function in LINEAR:
            return True
        if is_move(at) or at.function in _PASSED:
            waiting.extend(following(at))
    return False


def _with_partings(rows: list[SiteConformance], ran: Pass, found: Sequence[Parting]) -> Conformance:
    elsewhere: list[str] = []
    for each in found:
        step = ran.trace.steps[each.place]
        dtype = ran.tensors[step.outputs[0]].dtype
        if each.difference <= _ROUNDINGS * torch.finfo(dtype).eps * max(each.scale, torch.finfo(dtype).tiny):
            continue
        near = _nearest_sites(ran, step)
        if not near:
            elsewhere.append(
                f"the input of {step.path or 'the model'} ({step.function}) differs by up to {each.difference:.3g}."
            )
        for at in near:
            if rows[at].conforms:
                reason = (
                    "the same function, but what is around it differs: a clamp, a scale, or the order of the halves"
                )
                rows[at] = replace(rows[at], max_difference=each.difference, conforms=False, reason=reason)
    return Conformance(tuple(rows), tuple(dict.fromkeys(elsewhere)), ran.trace.unseen)


def _nearest_sites(ran: Pass, step: Step) -> tuple[int, ...]:
    """Return the sites between this product and the ones before it that are the fewest steps away."""
    trace, products = ran.trace, {each.place for each in ran.products}
    waiting = [trace.maker(value) for value in step.inputs]
    met: set[int] = set()
    while waiting:
        here = [each for each in waiting if each is not None and each.place not in products and each.place not in met]
        met.update(each.place for each in here)
        sites = tuple(dict.fromkeys(trace.site_of[each.place] for each in here if each.place in trace.site_of))
        if sites:
            return sites
        waiting = [trace.maker(value) for each in here for value in each.inputs]
    return ()
