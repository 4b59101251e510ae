"""Which softmax computes the probabilities that a model answers with, rather than weights for further layers."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import is_move, made_by, may_complete_softmax
from actlab.sites.trace.trace import Step

_SOFTMAXES = frozenset({"softmax", "log_softmax"})
# Probabilities remain what they are, or become their logarithms.
_KEPT = frozenset({"log", "clamp", "add", "broadcast_tensors"})


def output_of_softmax(context: Context) -> Iterator[tuple[Step, int]]:
    """Yield each softmax whose result is an answer of the model, or is computed in the loss, and what it is applied to.

    A model's softmax that is read by anything else in the model weighs something, as in attention.
    """
    trace = context.trace
    for step in trace.steps:
        if step.place not in context.to_loss or not step.outputs:
            continue
        if step.function == "logsumexp":
            source = step.inputs[0]
            normal = [each for each in trace.readers(source) if each.function == "sub" and each.inputs[0] == source]
            if normal and _is_answer(context, normal[0]):
                yield step, source
            continue
        if step.function == "exp" or not may_complete_softmax(step):
            continue  # the softmax behind an exponential is judged by itself
        made = made_by(trace, step.outputs[0])
        if made.name in _SOFTMAXES and made.source is not None and made.step is step and _is_answer(context, step):
            yield step, made.source


def _is_answer(context: Context, step: Step) -> bool:
    if step.part == "loss":
        return True
    trace, waiting, reaches = context.trace, [step.outputs[0]], False
    while waiting:
        value = waiting.pop()
        reaches = reaches or value in trace.outputs
        for reader in trace.readers(value):
            if reader.part == "loss":
                reaches = True
            elif reader.place not in context.matters:
                continue  # such as a check of the arguments
            elif is_move(reader) or reader.function in _KEPT:
                waiting += reader.outputs
            else:
                return False
    return reaches
