"""AL112: NaN or infinite gradients."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.backward import Broken
from actlab.rules.context import Context
from actlab.rules.dataflow import place_of, upstream
from actlab.rules.non_finite import blame, culprit, remedies_for
from actlab.rules.rule import Found, found, rule
from actlab.sites.site_text import line_phrase
from actlab.sites.trace.trace import Step, Trace

# They drop numbers, whose gradient is then 0.
_DROPS = ("where", "masked_fill", "clamp", "minimum", "maximum", "nan_to_num", "masked_select", "getitem")
_FARTHEST = 8


@rule(
    "AL112",
    title="NaN or infinite gradients",
    severity="error",
    remedies=("guard-branch", "keep-away-from-edge", "check-data"),
)
def gradient_not_finite(context: Context) -> Iterator[Found]:
    """The loss is finite, but gradients of parameters are NaN or infinite.

    Why it matters:
        The first optimizer step makes these parameters NaN; from the second step on, the loss is NaN too.

    How it is detected:
        A backward pass is run on the batch. The finding names the first operation of the backward pass that turns
        finite gradients into NaN or infinity. If the NaN or infinity arose in the forward pass already and was dropped
        later, it names the operation where it arose.

    Example:
        class Branches(nn.Module):
            def forward(self, x):
                return torch.where(x <= 0, torch.exp(x), 1 + x)  # exp overflows where it is not taken

        model = nn.Sequential(nn.Linear(5, 16), Branches(), nn.Linear(16, 1))
        batch = 1000 * torch.randn(64, 5), torch.randn(64, 1)
        loss = nn.SmoothL1Loss()

    Use instead:
        class Branches(nn.Module):
            def forward(self, x):
                return torch.where(x <= 0, torch.exp(x.clamp(max=0)), 1 + x)

        model = nn.Sequential(nn.Linear(5, 16), Branches(), nn.Linear(16, 1))
        batch = 1000 * torch.randn(64, 5), torch.randn(64, 1)
        loss = nn.SmoothL1Loss()

    References:
        pytorch/pytorch#68425
    """
    backward, trace = context.backward, context.trace
    lost = [] if backward is None else [name for name, each in backward.gradients.items() if each == "not finite"]
    if backward is None or not lost:
        return
    broken = backward.broken
    step = None if broken is None or broken.place is None else trace.steps[broken.place]
    narrow = context.is_dtype_to_blame
    start = f"the loss is finite, but the gradients of {len(lost)} of {len(backward.gradients)} parameters are not"
    if broken is None or step is None:
        yield found(start, parameters=tuple(lost))
        return
    maker = _made_before(context, step)
    named = step if maker is None else maker
    fault = None if maker is None else context.observed.faults[maker.place]
    why = _derivative(step, broken) if fault is None else blame(trace, named, fault, dtype_to_blame=narrow)
    dropped = _dropped_by(trace, named) if fault is not None or broken.dropped else None
    after = "" if dropped is None else _although(named, dropped)
    rounding = f"; {trace.values[step.outputs[0]].dtype} is too narrow here" if narrow and fault is None else ""
    yield found(
        f"{start}: {why}{after}{rounding}. The first optimizer step makes these parameters NaN",
        site=place_of(trace, named),
        remedies=_remedies(named, dropped, narrow, fault),
        made_by=named.function,
        numbers=broken.numbers,
        of=broken.total,
        parameters=tuple(lost),
        dropped_by=None if dropped is None else f"{dropped.function}, line {dropped.line}",
    )


def _made_before(context: Context, step: Step) -> Step | None:
    """Return the operation of the forward pass that made NaN or infinity which the step reads or makes."""
    trace, observed = context.trace, context.observed
    makers = [each for value in step.inputs if (each := trace.maker(value)) is not None]
    if not any(each.place in observed.not_finite for each in (step, *makers)):
        return None
    return culprit(trace, observed.faults, {step.place} | upstream(trace, step.outputs[0]))


def _derivative(step: Step, broken: Broken) -> str:
    name, which = step.spelling or step.function, "result" if broken.is_result else "input"
    at = "" if broken.at is None else f", such as where its {which} is {broken.at:.3g}"
    return f"the derivative of {name} is not finite for {broken.numbers} of {broken.total} numbers{at}"


def _dropped_by(trace: Trace, step: Step) -> Step | None:
    """Return the nearest operation after the step that drops some of its numbers."""
    waiting, known = [(step, 0)], {step.place}
    while waiting:
        each, far = waiting.pop(0)
        if each is not step and each.function in _DROPS:
            return each
        for reader in (one for value in each.outputs for one in trace.readers(value)) if far < _FARTHEST else ():
            if reader.place not in known:
                known.add(reader.place)
                waiting.append((reader, far + 1))
    return None


def _although(step: Step, dropped: Step) -> str:
    line = line_phrase(dropped.line)
    if dropped.function == "where":
        return f"; torch.where{line} discards them, but the backward pass differentiates both branches"
    return f"; {dropped.spelling or dropped.function}{line} discards them, but the backward pass does not"


def _remedies(named: Step, dropped: Step | None, narrow: bool, fault: object) -> tuple[str, ...]:
    by_function = remedies_for(named, None, dtype_to_blame=narrow)
    if dropped is not None and dropped.function == "where":
        return tuple(dict.fromkeys((*by_function[:1] * narrow, "guard-branch", *by_function)))
    return by_function
