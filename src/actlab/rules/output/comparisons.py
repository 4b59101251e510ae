"""Comparisons of an output with targets of the same shape: a regression loss, or the size of a difference."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from actlab.rules.context import Context
from actlab.rules.dataflow import parameters_of, upstream
from actlab.rules.observed import REGRESSIONS
from actlab.sites.trace.trace import Step

_EVEN = frozenset({"pow", "square", "abs", "norm", "smooth_l1_loss"})


def comparisons(context: Context) -> Iterator[tuple[Step, int, int]]:
    """Yield each comparison, with the places of the output and of the targets among its inputs."""
    for step in context.trace.steps:
        if step.place not in context.to_loss or len(step.inputs) < 2:
            continue
        is_composite = step.function in {"sub", "rsub"} and any(
            reader.function in _EVEN or (reader.function == "mul" and reader.inputs == (step.outputs[0],) * 2)
            for reader in context.trace.readers(step.outputs[0])
        )
        if step.function in REGRESSIONS or is_composite:
            for output, target in ((0, 1), (1, 0)):
                if _are_output_and_targets(context, step, output, target):
                    yield step, output, target


def _are_output_and_targets(context: Context, step: Step, output: int, target: int) -> bool:
    values = context.trace.values
    one, other = values[step.inputs[output]], values[step.inputs[target]]
    learns = one.requires_grad and not other.requires_grad
    return learns and len(other.shape) > 0 and one.shape == other.shape


def is_data(context: Context, value: int) -> bool:
    """Return whether no weights took part: targets that a network computes move with it."""
    steps = [context.trace.steps[place] for place in upstream(context.trace, value)]
    return not any(parameters_of(context.trace, step) for step in steps)


def is_policy(context: Context, step: Step) -> bool:
    """Return whether a density made of the comparison is a ratio or is weighted by data, as that of a policy's action.

    Actions are drawn around the mean, also beyond its range.
    """
    trace, numbers = context.trace, context.observed.numbers
    divided, waiting, visited = False, [step], {step.place}
    while waiting:
        step = waiting.pop()
        others = [value for value in step.inputs if not trace.values[value].requires_grad and trace.values[value].shape]
        divided |= step.function == "div"
        if step.function == "exp":
            return True
        if step.function == "mul" and any(_is_weight(numbers.get(value), divided=divided) for value in others):
            return True
        new = [reader for value in step.outputs for reader in trace.readers(value) if reader.place not in visited]
        visited.update(reader.place for reader in new)
        waiting += new
    return False


def _is_weight(numbers: Tensor | None, *, divided: bool) -> bool:
    """Return whether these are advantages or returns: of either sign, or factors of a Gaussian's logarithm."""
    return numbers is not None and (divided or bool((numbers < 0).any()))
