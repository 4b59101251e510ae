"""AL115: a second derivative that is 0 everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.formula.activation import Activation
from actlab.rules.context import Context
from actlab.rules.dataflow import known_lines, spot_of, upstream
from actlab.rules.rule import Found, found, rule
from actlab.sites.site import Site, Spot
from actlab.sites.site_text import line_phrase
from actlab.sites.trace.trace import Step, Trace
from actlab.theory.predicates import is_piecewise_linear


@rule("AL115", title="second derivative is 0", severity="error", remedies=("smooth-activation",))
def second_derivative_zero(context: Context) -> Iterator[Found]:
    """The loss uses a second derivative by the input, and it is 0 since the activations are piecewise linear.

    Why it matters:
        A term such as u'' in the residual of a differential equation is 0 whatever the weights are: it trains nothing,
        and the equation is never solved.

    How it is detected:
        A call of `torch.autograd.grad` differentiates the result of another one by the same input, every number that it
        returns is 0 (or it raises, since the first derivative does not depend on it), and the activations between have
        a second derivative of 0. A gradient penalty, which needs only the first one, is not reported.

    Example:
        def residual(u, x):
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
            return (ddu + torch.sin(x)).pow(2).mean()

        model = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 1))
        x = torch.linspace(0, 6, 64)[:, None].requires_grad_()
        batch, loss = (x, x), residual

    Use instead:
        def residual(u, x):
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
            return (ddu + torch.sin(x)).pow(2).mean()

        model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
        x = torch.linspace(0, 6, 64)[:, None].requires_grad_()
        batch, loss = (x, x), residual

    References:
        Raissi, Perdikaris, Karniadakis 2019, doi:10.1016/j.jcp.2018.10.045
    """
    trace = context.trace
    calls = [step for step in trace.steps if step.function == "grad"]
    zero = [step for step in calls if step.place in context.observed.zero_derivatives and step.place in context.matters]
    reported: set[tuple[str, int]] = set()
    for second in (*zero, *trace.without_gradient):
        before = {place for value in second.inputs for place in upstream(trace, value)}
        for first in (step for step in calls if step.place in before and step is not second):
            if not _same_variable(trace, first, second):
                continue
            sites = _straight_sites(trace, first)
            new = [site for site in sites if (site.file, site.line) not in reported]
            reported.update((site.file, site.line) for site in sites)
            if new:
                yield _found(trace, sites, second)


def _found(trace: Trace, sites: list[Site | Spot], second: Step) -> Found:
    names = ", ".join(dict.fromkeys(getattr(site, "activation", site.spelling) for site in sites))
    place = spot_of(second)
    where = "" if place is None else line_phrase(place.line)
    return found(
        f"the loss uses a second derivative with respect to the input{where}, and the second derivative of {names}"
        " is 0: the term is 0 whatever the weights are, and trains nothing",
        site=sites[0],
        activations=tuple(dict.fromkeys(site.name for site in sites)),
        lines=known_lines(sites),
    )


def _same_variable(trace: Trace, first: Step, second: Step) -> bool:
    """Return whether both calls differentiate by the same value, which is not a parameter."""
    once, twice = _variables(trace, first), _variables(trace, second)
    return any(one == two or one in _behind(trace, two) or two in _behind(trace, one) for one in once for two in twice)


def _variables(trace: Trace, call: Step) -> set[int]:
    """Return the values by which the call differentiates: those on which its other inputs depend."""
    behind = {value: _behind(trace, value) for value in call.inputs}
    variables = {
        value for value in call.inputs if any(value in behind[other] for other in call.inputs if other != value)
    }
    return {value for value in variables if not trace.values[value].origin.startswith("parameter")}


def _behind(trace: Trace, value: int) -> set[int]:
    return {each for place in upstream(trace, value) for each in trace.steps[place].inputs}


def _straight_sites(trace: Trace, first: Step) -> list[Site | Spot]:
    """Return the piecewise linear activations and calls between the variable and what is differentiated."""
    before = {place for value in first.inputs for place in upstream(trace, value)}
    found_sites: dict[Site | Spot, None] = {}
    for step in (trace.steps[place] for place in sorted(before)):
        site = trace.site_at(step)
        if site is None:
            spot = spot_of(step) if step.function in _STRAIGHT else None
            found_sites.update({} if spot is None else {spot: None})
        elif site.gate is None and isinstance(site.formula, Activation) and is_piecewise_linear(site.formula):
            found_sites[site] = None
    return list(found_sites)


# Piecewise linear functions that need not be an activation.
_STRAIGHT = frozenset({"abs", "maximum", "minimum", "clamp"})
