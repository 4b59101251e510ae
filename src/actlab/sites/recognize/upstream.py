"""Find what precedes a value in a trace."""

from __future__ import annotations

from actlab.sites.recognize.torch_ops import LINEAR, MOVES
from actlab.sites.trace.trace import Step, Trace

# Steps that move or scale numbers.
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
    """Return whether the value has a floating-point dtype."""
    return trace.values[value].dtype.startswith(("float", "bfloat"))


def follows_weights(trace: Trace, value: int) -> bool:
    """Return whether a layer computed the value, up to scales, shifts and reshapes."""
    maker = weights_before(trace, value, through=frozenset({"mul", "add", "view", "reshape"}))
    return maker is not None and maker.function in LINEAR


def weights_before(trace: Trace, value: int, *, through: frozenset[str] = THROUGH) -> Step | None:
    """Return the nearest layer upstream, along first arguments."""
    known, passed = trace.layers_before, list[tuple[int, frozenset[str]]]()
    found = None
    while (value, through) not in known:
        passed.append((value, through))
        maker = trace.maker(value)
        if maker is None:
            break
        if maker.function in LINEAR:
            found = maker
            break
        if (maker.function not in through and trace.site_of.get(maker.place) is None) or not maker.inputs:
            break
        value = maker.inputs[0]
    else:
        found = known[value, through]
    known.update(dict.fromkeys(passed, found))
    return found
