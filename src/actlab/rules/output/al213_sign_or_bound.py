"""AL213: an activation that takes away the sign or the range that the loss needs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.rules.bounds import Bounds, range_of
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, made_by, upstream
from actlab.rules.output.losses import called_at, confined, last_source
from actlab.rules.output.terms import Term, terms, through_constants
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

_FACTORS = frozenset({"mul", "div", "neg", "pow", "square", "sqrt", "rsqrt", "reciprocal"})
_SCALES = frozenset({"mul", "div", "neg"})
_SHIFTS = frozenset({"sub", "div", "add"})


@rule(
    "AL213",
    title="activation that removes the sign or the range the loss needs",
    severity="warning",
    remedies=("linear-output",),
)
def sign_or_bound(context: Context, *, hinge_margin: float = 0.1, hinge_share: float = 0.01) -> Iterator[Found]:
    """ReLU, sigmoid or another activation of limited range computes a number whose sign or size must be free.

    Why it matters:
        The logarithm of a variance is negative for a variance below 1, and the latent mean of a variational
        autoencoder lies on both sides of 0: behind a ReLU neither can. The score of a Wasserstein critic is compared by
        its mean and has no bound: behind a sigmoid it saturates. A hinge loss asks for scores beyond its margin on both
        sides of 0: behind a sigmoid it never falls to 0.

    How it is detected:
        By data flow, from the ranges of the activations and the arithmetic after them: a non-negative value occurs in
        the loss both as it is and in an exponential, as a log-variance does, or its square stands beside one; the loss
        is a difference of means of a bounded activation's outputs; or the argument of a hinge cannot be negative.

    Thresholds:
        hinge_margin: the argument of a hinge must exceed 0 by this, whatever the weights.
        hinge_share: on at least this share of the examples.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(), nn.Linear(16, 1), nn.Sigmoid())
        x = torch.randn(32, 4)
        batch = x, x[:, 0] > 0
        loss = lambda score, real: score[~real].mean() - score[real].mean()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(), nn.Linear(16, 1))
        x = torch.randn(32, 4)
        batch = x, x[:, 0] > 0
        loss = lambda score, real: score[~real].mean() - score[real].mean()

    References:
        Kingma and Welling 2014, arXiv:1312.6114, appendix B; Arjovsky et al. 2017, arXiv:1701.07875, section 3
    """
    if context.trace.loss is None:
        return
    parts = list(terms(context, context.trace.loss))
    yield from _log_variance(context, parts)
    yield from _difference_of_means(context, parts)
    yield from _hinges(context, hinge_margin, hinge_share)
    yield from _margins(context)


def _log_variance(context: Context, parts: list[Term]) -> Iterator[Found]:
    """Report a non-negative log-variance, and a non-negative mean beside it."""
    exponents = {exponent for part in parts for exponent in _exponents(context, part.value)}
    plain = {through_constants(context, part.value, frozenset()) for part in parts}
    logs = [step for part in parts if (step := context.trace.maker(part.value)) is not None and step.function == "log"]
    plain |= {exponent for step in logs for exponent in _exponents(context, step.inputs[0])}
    variances = exponents & plain
    for value in variances:
        known = _nonnegative(context, value)
        if known is not None:
            made = last_source(known)
            yield found(
                f"{made.name} computes a number of which the loss takes the exponential, such as the logarithm of a"
                f" variance: it is at least {known.least:.3g}, so the variance cannot fall below"
                f" {math.exp(known.least):.3g}.",
                site=made.spot,
                range=[known.least, known.most],
            )
    for value in _squared(context, parts) if variances else ():
        known = _nonnegative(context, value)
        if known is not None and value not in variances:
            made = last_source(known)
            yield found(
                f"{made.name} computes the mean of a Gaussian whose square is penalized, so it cannot be negative: half"
                " of the space that the prior fills is out of reach.",
                site=made.spot,
                range=[known.least, known.most],
            )


def _nonnegative(context: Context, value: int) -> Bounds | None:
    known = confined(context, value)
    return known if known is not None and known.least >= 0 else None


def _exponents(context: Context, value: int) -> set[int]:
    """Return the values whose exponential, or a power of it, is a factor of the value."""
    trace, found_, waiting, visited = context.trace, set[int](), [value], set[int]()
    while waiting:
        value = through_constants(context, waiting.pop(), frozenset())
        step = trace.maker(value)
        if step is None or value in visited or not step.inputs:
            continue
        visited.add(value)
        if step.function in {"exp", "expm1", "exp2"}:
            found_.add(through_constants(context, step.inputs[0], _SCALES))
        elif step.function in _FACTORS:
            waiting += step.inputs
    return found_


def _squared(context: Context, parts: list[Term]) -> set[int]:
    """Return the values whose squares, if need be less a constant, are terms."""
    trace, bases = context.trace, set[int]()
    for part in parts:
        step = trace.maker(part.value)
        if step is None or not step.inputs:
            continue
        is_power = step.function == "square" or (step.function == "pow" and 2 in step.arguments.values())
        if is_power or (step.function == "mul" and step.inputs[:1] * 2 == step.inputs):
            base = through_constants(context, step.inputs[0], _SHIFTS)
            is_deviation = bool(_exponents(context, base))
            is_error = any(trace.values[each].origin == "target" for each in _read_between(context, step, base))
            if not is_deviation and not is_error:
                bases.add(base)
    return bases


def _read_between(context: Context, last: Step, base: int) -> set[int]:
    """Return the values read on the way from the base to the step."""
    inside = upstream(context.trace, last.outputs[0]) - upstream(context.trace, base)
    return {value for place in inside for value in context.trace.steps[place].inputs}


def _difference_of_means(context: Context, parts: list[Term]) -> Iterator[Found]:
    """Report a critic whose bounded scores are compared by their means."""
    scores: dict[str, list[tuple[Made, Term]]] = {}
    for part in parts:
        made = made_by(context.trace, part.value)
        limits = range_of(made)
        if limits is not None and all(map(math.isfinite, limits)) and made.name != "softmax":
            scores.setdefault(made.name, []).append((made, part))
    for name, group in scores.items():
        signs = frozenset[int]().union(*(part.signs for _, part in group))
        site = next((made.site for made, _ in group if made.site is not None), None)
        others = [part for part in parts if all(part is not each for _, each in group)]
        if signs == {1, -1} and site is not None and not _reads_any(context, others, [made for made, _ in group]):
            low, high = range_of(group[0][0]) or (math.nan, math.nan)
            yield found(
                f"the loss is a difference of means of the outputs of {name}, which lie between {low:.3g} and"
                f" {high:.3g}: it cannot fall below {low - high:.3g}, and the scores are driven to the ends of the"
                " range, where the gradient is zero.",
                site=site,
                remedies=("remove-output-activation", "linear-output"),
                range=[low, high],
            )


def _reads_any(context: Context, parts: list[Term], group: list[Made]) -> bool:
    """Return whether one of the terms depends on the outputs of these activations, other than by their gradient."""
    trace, places = context.trace, {made.step.place for made in group if made.step is not None}
    waiting, known = [part.value for part in parts], set[int]()
    while waiting:
        step = trace.maker(waiting.pop())
        if step is None or step.place in known or step.function == "grad":
            continue
        known.add(step.place)
        waiting += step.inputs
    return not places.isdisjoint(known)


def _hinges(context: Context, margin: float, share: float) -> Iterator[Found]:
    """Report `relu(c - t * p)` in the loss whose argument is positive whatever the weights."""
    reported: set[int] = set()
    for step in context.trace.steps:
        if step.part != "loss" or step.place not in context.to_loss:
            continue
        value = _argument_of_hinge(context, step)
        known = None if value is None else confined(context, value)
        if known is None:
            continue
        stuck = float((known.low > margin).double().mean())
        made = last_source(known)
        if stuck >= share and made.value not in reported:
            reported.add(made.value)
            yield found(
                f"{made.name} computes the scores of a hinge loss, whose argument is then positive on"
                f" {100 * stuck:.0f} % of the examples whatever the weights: their loss never falls to"
                f" 0.{called_at(step)}",
                site=made.spot,
                stuck=stuck,
            )


def _argument_of_hinge(context: Context, step: Step) -> int | None:
    """Return the value whose negative part is cut off; None for other steps."""
    if step.function == "relu" or (step.function == "clamp" and step.arguments.get("min") == 0):
        return step.inputs[0] if len(step.inputs) == 1 and step.arguments.get("max") is None else None
    if step.function in {"max", "maximum"} and len(step.inputs) == 2:
        for value, other in (step.inputs, step.inputs[::-1]):
            known = context.bounds(other)
            if known is not None and not known.sources and known.least == known.most == 0:
                return value
    return None


def _margins(context: Context) -> Iterator[Found]:
    """Report scores that are confined to less than the margin of the loss."""
    for step in context.losses("multi_margin_loss", "multilabel_margin_loss", "margin_ranking_loss"):
        known = confined(context, step.inputs[0])
        wanted = step.arguments.get("margin", 0.0 if step.function == "margin_ranking_loss" else 1.0)
        if known is None or not isinstance(wanted, int | float) or not known.most - known.least <= wanted > 0:
            continue
        made = last_source(known)
        yield found(
            f"{made.name} confines the scores to {known.least:.3g} ... {known.most:.3g}, but {step.function} asks for a"
            f" margin of {wanted:.3g} between two of them: the loss is 0 only at the ends of the"
            f" range.{called_at(step)}",
            site=made.spot,
            remedies=("remove-output-activation",),
            range=[known.least, known.most],
            margin=float(wanted),
        )
