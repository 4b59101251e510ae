"""Quantities of a running network, measured the plain way: every step, every number, in float64."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor
from torch.nn import functional

from actlab.formula.activation import Activation
from actlab.sites.listening import listening
from actlab.telemetry.quantities import (
    FirstNonFinite,
    ParameterQuantities,
    Point,
    Quantities,
    SiteQuantities,
    UnitStatistics,
)

BORDERS = torch.linspace(-8, 8, 65, dtype=torch.float64)
FLOOR = 1e-3
BOUNDS = {"sigmoid": 0.25, "gelu": 1.129, "silu": 1.0998}
FUNCTIONS = {
    "relu": torch.relu,
    "leaky_relu": lambda z: functional.leaky_relu(z, 0.2),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


class Tape:
    """Keeps what every activation got and gave, and the gradient by that."""

    def __init__(self):
        self.calls, self.step = {}, 0

    def wants(self, forward):
        return True

    def traced(self, trace):
        pass

    def before(self, site, z):
        if isinstance(site.measured, Activation):
            z = z.detach().clone().requires_grad_()
            with torch.enable_grad():
                slope = torch.autograd.grad(FUNCTIONS[site.activation](z).sum(), z)[0]
            self.calls.setdefault(site.name, []).append([site, self.step, z.detach(), slope, None, None])

    def after(self, site, y):
        if isinstance(site.measured, Activation):
            call = self.calls[site.name][-1]
            call[4] = y.detach().clone()
            if y.requires_grad:
                y.register_hook(lambda gradient: call.__setitem__(5, gradient.detach().clone()))


def trained(model, batches, loss_of, optimiser):
    """Quantities of `model`, trained on the batches; `loss_of(model, batch)` is the loss."""
    tape, losses, updates = Tape(), [], {name: [] for name, _ in model.named_parameters()}
    loss_of(copy.deepcopy(model), batches[0])
    with listening(model, tape):
        _forget(model, batches[0], loss_of)
        tape.calls.clear()
        for tape.step, batch in enumerate(batches):
            optimiser.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            before = {name: each.detach().clone() for name, each in model.named_parameters()}
            optimiser.step()
            losses.append((tape.step, float(loss.detach())))
            for name, each in model.named_parameters():
                updates[name].append((tape.step, _ratio(before[name], each.detach())))
    sites = tuple(_site(calls) for calls in tape.calls.values())
    parameters = tuple(ParameterQuantities(name, tuple(pairs)) for name, pairs in updates.items())
    return Quantities(len(batches), len(batches), sites, parameters, tuple(losses), _first(tape), ())


def _forget(model, batch, loss_of):
    """The pass that is followed from end to end, so that every later one is listened to."""
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    loss_of(model, batch)
    model.load_state_dict(state)
    torch.set_rng_state(random)


def _ratio(before, after):
    size = float(before.double().square().mean().sqrt())
    return float((after - before).double().square().mean().sqrt()) / size if size else math.inf


def _site(calls):
    site = calls[0][0]
    bound = BOUNDS.get(site.activation, 1.0)
    recent, seen = [], 0
    for call in reversed(calls):
        recent.append(call)
        seen += len(call[2])
        if seen >= 200:
            break
    return SiteQuantities(
        site, bound, _units(calls, bound), _units(recent, bound), tuple(_point(c, bound) for c in calls)
    )


def _rows(numbers: Tensor, site) -> Tensor:
    return numbers.movedim(site.channel_axis, -1).reshape(-1, numbers.shape[site.channel_axis])


def _units(calls, bound):
    z = torch.cat([_rows(call[2], call[0]) for call in calls]).double()
    slope = torch.cat([_rows(call[3], call[0]) for call in calls]).double().abs()
    finite = z.isfinite()
    return UnitStatistics(
        examples=sum(len(call[2]) for call in calls),
        positions=torch.full(z.shape[1:], float(len(z)), dtype=torch.float64),
        fired=(slope > FLOOR * bound).double().sum(0),
        slope_max=slope.amax(0),
        slope_mean=slope.mean(0),
        mean=z.nan_to_num(0, 0, 0).mean(0),
        variance=torch.where(finite, z, z.nan_to_num(0, 0, 0).mean(0)).var(0, correction=0),
        non_finite=(~finite).double().sum(0),
        histogram_borders=BORDERS,
        histogram=torch.zeros(len(BORDERS) + 1, dtype=torch.float64),
        within=_within([_rows(call[2], call[0]).double() for call in calls if len(call[2]) > 1]),
    )


def _within(parts):
    """The variance of z about its mean in the same call."""
    numbers = sum(len(part) for part in parts)
    squares = [(part - part.mean(0)).square().sum(0) for part in parts]
    return torch.stack(squares).sum(0) / numbers if parts else torch.tensor(torch.nan)


def _point(call, bound):
    site, step, _, slope, y, gradient = call
    slopes = _rows(slope, site).double().abs()
    y = y.double()
    return Point(
        step,
        float((slopes.amax(0) <= FLOOR * bound).double().mean()),
        float((slopes.mean(0) < 0.05 * bound).double().mean()),
        float((y == 0).double().mean()),
        float(y.mean()),
        float(y.var(correction=0)),
        math.nan if gradient is None else float(gradient.double().square().mean().sqrt()),
    )


def _first(tape):
    wrong = [
        (call[1], number, call[0])
        for number, calls in enumerate(tape.calls.values())
        for call in calls
        if not bool(call[2].isfinite().all()) or not bool(call[4].isfinite().all())
    ]
    return FirstNonFinite(min(wrong)[2], min(wrong)[0]) if wrong else None
