"""AL212: a value that need not be positive where the loss needs a positive one."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from actlab.rules.bounds import constant_of, range_of
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, is_layer, made_by, moved_from, parameter_behind
from actlab.rules.output.losses import called_at, path_of, place_of
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

# Functions that are not defined for negative numbers, with the place of the argument.
_DOMAINS = {"log": 0, "log2": 0, "log10": 0, "rsqrt": 0, "sqrt": 0, "lgamma": 0, "xlogy": 1, "gaussian_nll_loss": 2}
_JOINED = frozenset({"cat", "stack"})
_GUARD = 1e-3
_MOST = 8


@rule(
    "AL212",
    title="possibly negative value where the loss needs a positive one",
    severity="error",
    remedies=("positive-output",),
)
def not_positive(context: Context) -> Iterator[Found]:
    """The loss takes the logarithm or the root of an output that can be negative, such as a rate or a variance.

    Why it matters:
        A Poisson rate, a variance, the scale of a distribution are positive. A linear output is negative for some
        inputs sooner or later: its logarithm is NaN, and so is every gradient. It may be positive on this batch
        and negative on the next.

    How it is detected:
        By data flow: `poisson_nll_loss` with `log_input=False`, the variance of `gaussian_nll_loss`, or a logarithm or
        root in the loss, also within `torch.distributions`, reads the output of a layer or of an activation with
        negative outputs. The finding is a warning if all numbers are positive on this batch; nothing is reported if the
        layer's weights are all positive.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
        batch = torch.randn(32, 4), torch.randint(5, (32, 1)).float()
        loss = nn.PoissonNLLLoss(log_input=False)

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1), nn.Softplus())
        batch = torch.randn(32, 4), torch.randint(5, (32, 1)).float()
        loss = nn.PoissonNLLLoss(log_input=False)

    References:
        PyTorch documentation of PoissonNLLLoss and GaussianNLLLoss
    """
    reported = _probabilities(context)  # of those AL204 speaks
    for step, at in _readers(context):
        behind = [made for made in _unguarded(context, step.inputs[at]) if _can_be_negative(context, made)]
        if not behind or behind[0].value in reported:
            continue
        made = behind[0]
        reported |= {each.value for each in behind}
        numbers = _numbers(context, step, at)
        negative = 0 if numbers is None else int((numbers <= 0).sum())
        count = 0 if numbers is None else numbers.numel()
        now = (
            f"{negative} of {count} numbers of this batch are not positive, which makes the loss and every gradient NaN"
            if negative
            else f"all {count} numbers of this batch are positive, but the first that is not makes every gradient NaN"
        )
        yield found(
            f"{step.function} takes positive numbers, but its input is computed by {made.name}"
            f"{''.join(f' at {path}' for path in path_of(made))}, which can be negative: {now}.{called_at(step)}",
            site=place_of(context, step),
            severity="error" if negative else "warning",
            negative=negative,
            numbers=count,
            made_by=made.name,
            layers=path_of(made),
        )


def _probabilities(context: Context) -> set[int]:
    """Return what computed the probabilities of written-out binary losses."""
    losses = (step for step in context.written if step.function == "binary_cross_entropy")
    return {made.value for step in losses for made in _unguarded(context, step.inputs[0])}


def _readers(context: Context) -> Iterator[tuple[Step, int]]:
    """Yield each step that takes a positive number, and the place of that input."""
    for step in context.trace.steps:
        if step.place not in context.to_loss:
            continue
        if step.function == "poisson_nll_loss" and step.arguments.get("log_input", True) is False:
            yield step, 0
        at = _DOMAINS.get(step.function)
        is_loss = step.part == "loss" or step.function == "gaussian_nll_loss"
        if at is not None and is_loss and at < len(step.inputs):
            yield step, at


def _unguarded(context: Context, value: int) -> Iterator[Made]:
    """Yield what computed the value, or its parts, apart from moves, positive factors and a guard against 0."""
    trace = context.trace
    step = trace.maker(value)
    while step is not None and step.inputs:
        moved, number = moved_from(step, value), constant_of(step)
        is_scaled = step.function in {"mul", "div"} and len(step.inputs) == 1 and number is not None and number > 0
        is_guard = step.function == "add" and len(step.inputs) == 1 and number is not None and abs(number) <= _GUARD
        if step.function in _JOINED:
            for part in step.inputs[:_MOST]:
                yield from _unguarded(context, part)
            return
        if moved is None and not is_scaled and not is_guard:
            break
        value = step.inputs[0] if moved is None else moved
        step = trace.maker(value)
    is_shifted = step is not None and step.function == "add" and len(step.inputs) == 1
    if step is not None and not is_shifted:
        yield made_by(trace, value)


def _can_be_negative(context: Context, made: Made) -> bool:
    if not context.trace.values[made.value].requires_grad:
        return False
    if not is_layer(context.trace, made.step):
        limits = range_of(made)
        return limits is not None and limits[0] < 0
    assert made.step is not None
    names = {name for value in made.step.inputs if (name := parameter_behind(context.trace, value))}
    parameters = dict(context.model.named_parameters())
    return not all(name in parameters and bool((parameters[name] >= 0).all()) for name in names)


def _numbers(context: Context, step: Step, at: int) -> Tensor | None:
    held = context.tensor(step, at)
    return context.observed.numbers.get(step.inputs[at]) if held is None else held
