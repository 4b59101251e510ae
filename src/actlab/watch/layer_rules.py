"""Findings about what stands between two layers with weights."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from actlab.sites.known import LAYERS, MOVES
from actlab.sites.trace import Step
from actlab.watch.finding import Finding
from actlab.watch.flow import back, behind, data_of, is_layer, parameters_of, sole
from actlab.watch.seen import Seen, finding

DROPOUTS = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"})
_POOLS = frozenset({"avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean"})
_TURNS = frozenset({"transpose", "permute", "movedim", "moveaxis", "swapaxes", "T", "mT"})
_AFFINE = (
    MOVES - _TURNS - {"gather", "getitem", "masked_select", "index_select", "chunk", "split", "unbind"}
) | DROPOUTS
STRAIGHT = _AFFINE | _POOLS | {"batch_norm", "alpha_dropout"}


def collapse(seen: Seen) -> Iterator[Finding]:
    """AL301: two layers with nothing but straight lines between."""
    for second in seen.trace.steps:
        first = _before(seen, second) if second.part == "model" and is_layer(seen.trace, second) else None
        if first is not None and not _is_meant(seen, first, second):
            yield _collapsed(seen, first, second)


def _before(seen: Seen, second: Step) -> Step | None:
    """The layer whose answer the second reads unbent, and nothing else reads."""
    trace = seen.trace
    value = data_of(trace, second)
    if value is None or second.inputs[0] != value:
        return None
    for step in back(trace, value, STRAIGHT):
        read_elsewhere = len(trace.readers(step.outputs[0])) > 1 or step.outputs[0] in trace.outputs
        if read_elsewhere or trace.site_at(step) is not None:
            return None
        if step.function not in STRAIGHT:
            return step if is_layer(trace, step) and step.function != "bilinear" else None
    return None


def _is_meant(seen: Seen, first: Step, second: Step) -> bool:
    """A factorisation: of rank, of space and channels, of size; or weights that are shared or do not learn."""
    one, two = weight_of(seen, first), weight_of(seen, second)
    if one is None or two is None or not (one.requires_grad and two.requires_grad):
        return True
    if first.function == second.function == "linear" and one.shape[0] != two.shape[1]:
        return True  # along another axis than the first, as in mixers
    shared = any(len(seen.trace.readers(value)) > 1 for step in (first, second) for value in step.inputs[1:2])
    (out_one, in_one, *space_one), (out_two, in_two, *space_two) = one.shape, two.shape
    grouped = _is_grouped(seen, first, in_one) or _is_grouped(seen, second, in_two)
    oblong = any(len(set(space)) > 1 for space in (space_one, space_two))
    patches = bool(space_one) and max(space_one) > 1 and _stride(first) == space_one[0]
    transposed = "transpose" in first.function or "transpose" in second.function
    narrow = min(out_one, in_two) < min(in_one, out_two)
    return shared or grouped or oblong or patches or transposed or narrow


def _is_grouped(seen: Seen, step: Step, channels: int) -> bool:
    """Whether a convolution's weights see a part of the channels each."""
    value = data_of(seen.trace, step)
    shape = () if value is None else seen.trace.values[value].shape
    return step.function.startswith("conv") and channels not in shape[-4:]


def _stride(step: Step) -> int:
    stride = step.arguments.get("stride", step.arguments.get("3", 1))
    return int(stride[0] if isinstance(stride, tuple) else stride)


def _collapsed(seen: Seen, first: Step, second: Step) -> Finding:
    one, two = weight_of(seen, first), weight_of(seen, second)
    assert one is not None
    assert two is not None
    paths = [place(seen, first), place(seen, second)]
    return finding(
        "AL301",
        f"{paths[0]} and {paths[1]} are two layers with nothing that bends between: together they are one layer"
        f" from {one.shape[1]} to {two.shape[0]}, and cannot learn what one could not.",
        layers=paths,
        lines=[f"{step.file}:{step.line}" for step in (first, second)],
        equivalent=[int(one.shape[1]), int(two.shape[0])],
        weights=int(one.numel() + two.numel()),
        weights_of_one=int(one.shape[1] * two.shape[0]) if one.dim() == 2 == two.dim() else None,
    )


def weight_of(seen: Seen, step: Step) -> nn.Parameter | None:
    """The layer's weight, output axis first, as `F.linear` and `F.conv2d` take it."""
    named = dict(seen.model.named_parameters(remove_duplicate=False))
    names = [name for name in parameters_of(seen.trace, step) if name in named and named[name].dim() > 1]
    return named[names[0]] if names and step.function != "addmm" else None


def place(seen: Seen, step: Step) -> str:
    """The module of the layer, by the name of its weight."""
    names = parameters_of(seen.trace, step)
    return names[0].rpartition(".")[0] or names[0] if names else step.path


def hidden_softmax(seen: Seen) -> Iterator[Finding]:
    """AL302: softmax between two layers, along the units."""
    trace = seen.trace
    for step in trace.steps:
        if step.part == "loss" or step.function not in LAYERS or not is_layer(trace, step):
            continue
        value = data_of(trace, step)
        made = None if value is None else sole(trace, behind(seen.trace, value, STRAIGHT))
        if made is None or made.name != "softmax" or made.site is None or made.source is None:
            continue
        before = sole(trace, behind(seen.trace, made.source, STRAIGHT))
        alone = len(trace.readers(made.value)) == 1 and made.value not in trace.outputs
        if alone and is_layer(trace, before.step):
            units = trace.values[made.source].shape[made.dim or 0]
            yield finding(
                "AL302",
                f"softmax stands between two layers: its {units} units sum to 1, each is about 1/{units}, and one large"
                " unit silences the rest.",
                site=made.site,
                units=units,
            )


RULES = (collapse, hidden_softmax)
