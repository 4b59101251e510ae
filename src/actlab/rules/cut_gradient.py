"""Where the way of a gradient from the loss to a parameter is cut."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

from actlab.rules.backward import Backward
from actlab.rules.context import Context
from actlab.rules.dataflow import numbers_read, upstream
from actlab.sites.trace.trace import Step, Trace

# They copy a tensor without its graph.
_DETACHES = frozenset({"detach", "data", "tensor", "as_tensor", "asarray"})


@final
@dataclass(frozen=True)
class Cut:
    """A step behind which no gradient comes back.

    Attributes:
        step: the call.
        how: `detach`, `no_grad`, or `function` for one without a derivative.
        parameters: the names of the trainable parameters that it cuts off, which nothing else connects to the loss.
        feeds: whether trained parameters are applied to what it makes.
    """

    step: Step
    how: str
    parameters: tuple[str, ...]
    feeds: bool


@final
class Cuts:
    """The cuts between the loss and the trainable parameters of one pass."""

    def __init__(self, context: Context, backward: Backward) -> None:
        self._context, self._backward, self._trace = context, backward, context.trace

    def found(self) -> list[Cut]:
        """Return the cuts that leave parameters without any gradient, in the order of the steps."""
        by_step: dict[int, list[str]] = {}
        for name in self.lost:
            for step in self._first_cuts(name):
                by_step.setdefault(step.place, []).append(name)
        return [self._cut(self._trace.steps[at], names) for at, names in sorted(by_step.items())]

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """The parameters without a gradient that are to be trained."""
        names = [name for name, kind in self._backward.gradients.items() if kind == "none"]
        optimizer = self._context.optimizer
        if optimizer is None:
            return tuple(names)
        held = {id(value) for group in optimizer.param_groups for value in group["params"]}
        own = dict(self._context.model.named_parameters())
        return tuple(name for name in names if id(own[name]) in held)

    def _cut(self, step: Step, names: list[str]) -> Cut:
        if step.function in _DETACHES or not step.outputs:
            how = "detach"
        else:
            how = "no_grad" if step.place in self._backward.untracked else "function"
        return Cut(step, how, tuple(names), self._feeds(step))

    def _first_cuts(self, name: str) -> Iterator[Step]:
        """Yield the first steps on the ways from a parameter to the loss that autograd does not follow."""
        trace, known = self._trace, set[int]()
        waiting = [value.number for value in trace.values if value.origin == f"parameter {name}"]
        while waiting:
            value = waiting.pop()
            if value in known:
                continue
            known.add(value)
            for step in trace.readers(value):
                if step.place not in self._context.to_loss or self._is_inside_own(step):
                    continue
                if any(made in self._backward.tracked for made in step.outputs):
                    waiting += step.outputs
                else:
                    yield step

    def _is_inside_own(self, step: Step) -> bool:
        return bool(self._trace.stacks) and self._trace.stacks[step.place].own_backward

    def _feeds(self, step: Step) -> bool:
        """Return whether trained parameters are applied to what follows from the step."""
        trace = self._trace
        waiting, known = list(step.outputs), set[int]()
        while waiting:
            value = waiting.pop()
            if value in known:
                continue
            known.add(value)
            for reader in trace.readers(value):
                if reader.place not in self._context.to_loss:
                    continue
                if any(self._is_trained(each) for each in reader.inputs if each not in known):
                    return True
                waiting += reader.outputs
        return False

    def _is_trained(self, value: int) -> bool:
        """Return whether the value is computed of parameters alone, and these get a gradient."""
        trace = self._trace
        if value not in trace.of_weights:
            return False
        sources = [value, *(each for at in upstream(trace, value) for each in numbers_read(trace.steps[at]))]
        names = [trace.values[each].origin.removeprefix("parameter ") for each in sources]
        return any(self._backward.gradients.get(name) in {"finite", "zero"} for name in names)


def is_whole_part(context: Context, names: tuple[str, ...], lost: frozenset[str]) -> bool:
    """Return whether the parameters are those of whole parts of the model, as of a teacher or a frozen backbone.

    A single layer is not such a part.
    """
    parts = {
        path: {f"{path}.{name}" for name, value in module.named_parameters() if value.requires_grad}
        for path, module in context.model.named_modules()
        if path and next(module.children(), None) is not None
    }
    whole = set().union(*(held for held in parts.values() if held and held <= lost))
    return set(names) <= whole


def may_be_frozen(context: Context, cut: Cut) -> bool:
    """Return whether a part may be detached on purpose, although its parameters are trainable.

    Usual are a linear probe, a discriminator or a critic that also reads data, and a part in evaluation mode.
    """
    backward = context.backward
    trained = [name for name, kind in (backward.gradients if backward else {}).items() if kind != "none"]
    is_probe = len({name.rpartition(".")[0] for name in trained}) < 2 and cut.step.function != "data"
    modules = [context.model.get_submodule(name.rpartition(".")[0]) for name in cut.parameters]
    is_evaluating = context.model.training and not any(module.training for module in modules)
    return is_probe or is_evaluating or _reads_data_too(context.trace, cut)


def _reads_data_too(trace: Trace, cut: Cut) -> bool:
    """Return whether the layers after the cut also read the model's inputs, beside what is cut or in other calls."""
    after, waiting = set[int](), list(cut.step.outputs)
    while waiting:
        value = waiting.pop()
        if value in after:
            continue
        after.add(value)
        for reader in trace.readers(value):
            others = [each for each in reader.inputs if each not in after]
            if reader.function in {"cat", "stack", "concat", "hstack"} and any(
                _is_input(trace, each) for each in others
            ):
                return True
            weights = [each for each in others if trace.values[each].origin.startswith("parameter")]
            if any(other.place != reader.place and not after & {*other.inputs} and not _follows(trace, other, cut)
                   for each in weights for other in trace.readers(each)):  # fmt: skip
                return True
            waiting += reader.outputs
    return False


def _follows(trace: Trace, step: Step, cut: Cut) -> bool:
    return any(cut.step.place in upstream(trace, value) for value in step.inputs)


def _is_input(trace: Trace, value: int) -> bool:
    """Return whether the value is an input of the model, or computed from it without parameters."""
    if trace.values[value].origin.startswith("input"):
        return True
    steps = [trace.steps[place] for place in upstream(trace, value)]
    origins = {trace.values[each].origin.partition(" ")[0] for step in steps for each in numbers_read(step)}
    return "input" in origins and "parameter" not in origins


def numbers_come_back(trace: Trace, value: int) -> Step | None:
    """Return the call that took numbers out of tensors if the value is a constant that is made of them again.

    As many numbers are taken out on one line of the code as come back, or they come back on that line.
    """
    maker, held = trace.maker(value), trace.values[value]
    if held.origin != "constant" and (maker is None or maker.inputs):
        return None
    size = math.prod(held.shape)
    first = min((reader.place for reader in trace.readers(value)), default=-1) if maker is None else maker.place
    on_line: dict[tuple[str, int], list[Step]] = {}
    for taken in (*trace.escapes, *(_unread(trace) if maker is None and size > 1 else ())):
        if taken.place <= first:
            on_line.setdefault((taken.file, taken.line), []).append(taken)
    for place, calls in on_line.items():
        sizes = [math.prod(trace.values[call.inputs[0]].shape) for call in calls]
        if maker is not None and (maker.file, maker.line) == place:
            return calls[0]
        if size > 1 and (size == sum(sizes) or size in sizes):
            return calls[0]
    return None


def _unread(trace: Trace) -> list[Step]:
    """Return the detached tensors that no call reads: they may come back under another wrapper, as by `Variable`."""
    return [
        step for step in trace.steps
        if step.function in {"data", "detach"} and step.inputs
        and not any(trace.readers(value) or value in trace.outputs for value in step.outputs)
    ]  # fmt: skip
