"""AL114: parameters without a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from actlab.formula.activation import Activation
from actlab.rules.backward import Backward
from actlab.rules.context import Context
from actlab.rules.cut_gradient import Cut, Cuts, is_whole_part, may_be_frozen, numbers_come_back
from actlab.rules.dataflow import downstream, known_lines, parameters_of, place_of, spot_of, upstream
from actlab.rules.finding import SEVERITIES, Severity
from actlab.rules.rule import Found, found, rule
from actlab.sites.site_text import line_phrase
from actlab.sites.trace.trace import Step, Trace

# Element-wise functions of one input, besides activations, whose derivative can be 0.
_FLAT = frozenset(
    {"sign", "sgn", "round", "floor", "ceil", "trunc", "fix", "clamp", "heaviside", "frac", "floor_divide", "relu",
     "threshold", "hardtanh", "bernoulli", "poisson"}
)  # fmt: skip


@rule("AL114", title="no gradient", severity="error", remedies=("remove-detach",))
def no_gradient(context: Context, *, least_numbers: int = 16) -> Iterator[Found]:
    """The loss depends on trainable parameters that get no gradient, or exactly 0.

    Why it matters:
        These parameters keep their initial values: the layers before the cut are not trained.

    How it is detected:
        A backward pass is run on the batch. From each parameter that gets no gradient, the computation is followed
        towards the loss, up to the call that cuts the gradient: a `detach`, a block without autograd, a function
        without a derivative, or an activation whose derivative is 0 on the whole batch. Not reported: parameters that
        get a gradient by another path, frozen ones, those that the loss or the optimizer does not use, targets and
        teachers (no trained layer follows the cut), and layers that a zero weight keeps from learning at first. Layers
        that run in a block without autograd, and detached embeddings, are information. So is a whole part of the model
        that may be frozen on purpose: one that is detached before a single trained layer, or before layers that process
        other values too, as a critic does real examples, or that is in evaluation mode. Any other whole part that is
        detached before trained layers is a warning; if the optimizer holds its parameters, it is an error.

    Thresholds:
        least_numbers: with fewer inputs, all of them can be on the flat side of an activation by chance.

    Example:
        class Cut(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.out = nn.Linear(8, 16), nn.Linear(16, 3)

            def forward(self, x):
                return self.out(torch.relu(self.first(x)).detach())

        model = Cut()
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Whole(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.out = nn.Linear(8, 16), nn.Linear(16, 3)

            def forward(self, x):
                return self.out(torch.relu(self.first(x)))

        model = Whole()
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()

    References:
        Bengio, Léonard, Courville 2013, arXiv:1308.3432 (functions without a derivative)
    """
    backward = context.backward
    if backward is None or backward.failure is not None:
        return
    cuts = Cuts(context, backward)
    if not set(backward.gradients.values()) - {"none"}:
        yield from _nothing_learns(context, cuts)
        return
    yield from _cut(context, cuts)
    yield from _through_numbers(context, cuts)
    if backward.loss != 0:  # all margins of a hinge are kept: there is nothing left to learn on this batch
        yield from _blocked(context, backward, least_numbers)


def _nothing_learns(context: Context, cuts: Cuts) -> Iterator[Found]:
    """Report that no parameter at all gets a gradient."""
    names = tuple(context.backward.gradients) if context.backward else ()
    found_cuts = cuts.found()
    if found_cuts:
        widest = max(found_cuts, key=lambda cut: len(cut.parameters))
        yield _found(context, widest, f"no gradient reaches {_counted(names)}: nothing learns", names, "error")
        return
    taken = context.trace.escapes[-1] if context.trace.escapes else None
    if taken is not None:
        yield _escaped(taken, f"no gradient reaches {_counted(names)}: nothing learns", names)
    elif context.trace.loss is not None:
        message = f"no gradient reaches {_counted(names)}: nothing learns, since the loss does not depend on them"
        yield found(message, parameters=names, cut_by=None)


def _cut(context: Context, cuts: Cuts) -> Iterator[Found]:
    """Report the parameters whose every way to the loss is cut, in one finding."""
    lost = frozenset(cuts.lost)
    judged = [(cut, severity) for cut in cuts.found() if (severity := _severity(context, cut, lost)) is not None]
    if not judged:
        return
    most_severe = min((severity for _, severity in judged), key=SEVERITIES.index)
    chosen = [cut for cut, severity in judged if severity == most_severe]
    names = tuple(dict.fromkeys(name for cut in chosen for name in cut.parameters))
    yield _found(context, chosen[0], f"no gradient reaches {_counted(names)}", names, most_severe, chosen)


def _through_numbers(context: Context, cuts: Cuts) -> Iterator[Found]:
    """Report parameters whose layer's numbers are taken out of a tensor and come back as a constant."""
    trace = context.trace
    for value in trace.values:
        maker = trace.maker(value.number)
        if value.origin != "constant" and (maker is None or maker.inputs):
            continue  # computed of other tensors
        taken = numbers_come_back(trace, value.number)
        if taken is None or not any(reader.place in context.to_loss for reader in trace.readers(value.number)):
            continue
        names = tuple(name for name in _parameters_of(trace, taken.inputs[0]) if name in cuts.lost)
        cut = Cut(taken._replace(outputs=(value.number,)), "detach", names, feeds=True)
        if names and not (taken.outputs and may_be_frozen(context, cut)):
            yield _escaped(taken, f"no gradient reaches {_counted(names)}", names)
            return


def _escaped(taken: Step, message: str, names: tuple[str, ...]) -> Found:
    return found(
        f"{message}: {taken.spelling}{line_phrase(taken.line)} takes the numbers out of the tensor, where autograd"
        " cannot follow",
        site=spot_of(taken),
        parameters=names,
        cut_by=taken.function,
    )


def _severity(context: Context, cut: Cut, lost: frozenset[str]) -> Severity | None:
    """Judge a cut by what is usual in correct programs; None if it is on purpose."""
    if cut.how == "function":
        gates = cut.step.part == "model" and not is_whole_part(context, cut.parameters, lost)
        return "error" if cut.feeds or (gates and _reaches_output(context, cut.step)) else None
    if not cut.feeds:
        return None
    if cut.how == "no_grad" and _reads_parameters(context, cut):
        return "information"
    if _only_looks_up(context, cut):
        return "information"
    if is_whole_part(context, cut.parameters, lost):
        if cut.how == "no_grad" or _is_compared(context, cut):
            return "information"
        if context.optimizer is not None:
            return "error"
        return "information" if may_be_frozen(context, cut) else "warning"
    return "error"


def _is_compared(context: Context, cut: Cut) -> bool:
    """Return whether the layers after the cut also process something else, as a critic does real examples."""
    trace, after = context.trace, downstream(context.trace, cut.step.outputs)
    names = {name for place in after for name in parameters_of(trace, trace.steps[place])}
    beside = {name for step in trace.steps if step.place not in after for name in parameters_of(trace, step)}
    return not names.isdisjoint(beside)


def _reads_parameters(context: Context, cut: Cut) -> bool:
    """Return whether the block without autograd holds the layers themselves, as is usual for frozen ones."""
    return any(context.trace.values[value].origin.startswith("parameter") for value in cut.step.inputs)


def _reaches_output(context: Context, step: Step) -> bool:
    ends = [upstream(context.trace, value) for value in context.trace.outputs]
    return any(step.place in each for each in ends)


def _only_looks_up(context: Context, cut: Cut) -> bool:
    """Return whether the parameters are embeddings, which are often kept as they are."""
    readers = [
        step
        for value in context.trace.values
        if value.origin.removeprefix("parameter ") in cut.parameters
        for step in context.trace.readers(value.number)
    ]
    return all(step.function == "embedding" for step in readers)


def _found(
    context: Context, cut: Cut, message: str, names: tuple[str, ...], severity: Severity, every: Sequence[Cut] = ()
) -> Found:
    step = cut.step
    spelled = step.spelling or step.function
    why = {
        "detach": f"{spelled}{line_phrase(step.line)} cuts it off",
        "no_grad": f"from {spelled}{line_phrase(step.line)} on, autograd is switched off (torch.no_grad)",
        "function": f"{spelled}{line_phrase(step.line)} has no derivative",
    }[cut.how]
    return found(
        f"{message}: {why}",
        site=place_of(context.trace, step),
        severity=severity,
        remedies={"function": ("straight-through",), "no_grad": ("enable-grad",)}.get(cut.how, ()),
        parameters=names,
        cut_by="no_grad" if cut.how == "no_grad" else step.function,
        lines=known_lines(each.step for each in (every or (cut,))),
    )


def _blocked(context: Context, backward: Backward, least_numbers: int) -> Iterator[Found]:
    """Report an element-wise function whose derivative is 0 on the whole batch, and everything before it untrained."""
    trace = context.trace
    reported: set[str] = set()
    for step in (trace.steps[place] for place in sorted(backward.blocked & context.to_loss)):
        site = trace.site_at(step)
        is_flat = isinstance(site.measured, Activation) if site is not None else step.function in _FLAT
        is_own = bool(trace.stacks) and trace.stacks[step.place].own_backward
        shape = trace.values[step.outputs[0]].shape if step.outputs else ()
        if not (is_flat or is_own) or _numel(shape) < least_numbers:
            continue
        names = _parameters_before(context, backward, step)
        if not names or any(backward.gradients[name] == "finite" for name in names) or set(names) <= reported:
            continue
        reported.update(names)
        called = "the backward function around" if is_own else "the derivative of"
        yield found(
            f"no gradient reaches {_counted(names)}: {called} {step.spelling or step.function}{line_phrase(step.line)}"
            f" {'returns' if is_own else 'is'} 0 for all {_numel(shape)} numbers of the batch",
            site=place_of(trace, step),
            remedies=("fix-backward",)
            if is_own
            else ("use-leaky", "init-with-gain")
            if site is not None
            else ("straight-through",),
            parameters=names,
            cut_by=step.function,
            numbers=_numel(shape),
        )


def _parameters_before(context: Context, backward: Backward, step: Step) -> tuple[str, ...]:
    return tuple(name for name in _parameters_of(context.trace, step.outputs[0]) if name in backward.gradients)


def _parameters_of(trace: Trace, value: int) -> tuple[str, ...]:
    """Return the names of the parameters on which the value depends."""
    values = sorted({each for place in upstream(trace, value) for each in trace.steps[place].inputs})
    origins = (trace.values[each].origin for each in values)
    return tuple(dict.fromkeys(o.removeprefix("parameter ") for o in origins if o.startswith("parameter ")))


def _numel(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _counted(names: Sequence[str]) -> str:
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else "the parameters"
