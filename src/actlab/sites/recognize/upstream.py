"""What stands before a value in a trace."""

from __future__ import annotations

from actlab.sites.recognize.torch_ops import LINEAR, MOVES
from actlab.sites.trace.trace import Step, Trace

# They move numbers or scale them and leave it open what made them.
THROUGH = MOVES | {
    "dropout",
    "add",
    "mul",
    "sub",
    "rsub",
    "div",
    "neg",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "activation",
}


def is_float(trace: Trace, value: int) -> bool:
    """Whether the value is of floating-point numbers."""
    return trace.values[value].dtype.startswith(("float", "bfloat"))


def follows_weights(trace: Trace, value: int) -> bool:
    """Whether weights made the value, or what it is scaled, shifted or reshaped from."""
    maker = weights_before(trace, value, through=frozenset({"mul", "add", "view", "reshape"}))
    return maker is not None and maker.function in LINEAR


def weights_before(trace: Trace, value: int, *, through: frozenset[str] = THROUGH) -> Step | None:
    """The nearest step with weights upstream, along first arguments."""
    for _ in range(len(trace.steps) + 1):
        maker = trace.maker(value)
        if maker is None:
            return None
        if maker.function in LINEAR:
            return maker
        if (maker.function not in through and trace.site_of.get(maker.place) is None) or not maker.inputs:
            return None
        value = maker.inputs[0]
    return None
