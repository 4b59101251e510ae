"""Which elements of a loss count: a mask may leave out what its targets mark as missing."""

from __future__ import annotations

from actlab.rules.context import Context
from actlab.sites.trace.trace import Step

# With a mask among their inputs they leave elements out.
_MASKS = frozenset(
    {"mul", "where", "getitem", "masked_select", "masked_fill", "index", "index_select", "einsum", "div"}
)
_BETWEEN = frozenset({"pow", "square", "abs", "sum", "mean", "neg", "add", "sub", "rsub", "relu", "log", "sqrt", "exp",
                      "view", "reshape", "flatten", "squeeze", "unsqueeze", "transpose", "permute", "smooth_l1_loss",
                      "clamp", "log1p", "cosh"})  # fmt: skip


# The number of inputs of a loss without weights, if it is not 2.
_INPUTS = {"cosine_embedding_loss": 3, "margin_ranking_loss": 3}


def is_masked(context: Context, step: Step) -> bool:
    """Return whether the loss of each element is weighted or picked afterwards, or has weights among its inputs."""
    is_written = any(step is each for each in context.written)
    if len(step.inputs) > _INPUTS.get(step.function, 2) and not is_written:
        return True
    trace, waiting, visited = context.trace, list(step.outputs), set[int]()
    if is_written:  # its logarithm is multiplied by the targets
        waiting = [each for reader in trace.readers(waiting[0]) if reader.function == "mul" for each in reader.outputs]
    while waiting:
        value = waiting.pop()
        for reader in trace.readers(value):
            others = [each for each in reader.inputs if each != value]
            is_mask = any(not trace.values[each].requires_grad and trace.values[each].shape for each in others)
            if reader.function in _MASKS and is_mask:
                return True
            if reader.place not in visited and (reader.function in _BETWEEN or reader.function == "mul"):
                visited.add(reader.place)
                waiting += reader.outputs if trace.values[reader.outputs[0]].shape else ()
    return False
