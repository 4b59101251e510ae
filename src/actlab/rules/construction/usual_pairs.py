"""Pairs of layers without a non-linearity in between, as correct programs have them."""

from __future__ import annotations

from torch import nn

from actlab.rules.axes import CONTRACTIONS
from actlab.rules.construction.layers import AFFINE, LayerPair, module_of
from actlab.rules.context import Context
from actlab.rules.dataflow import back, data_of, is_layer, parameters_of
from actlab.sites.recognize.torch_ops import CONVOLUTIONS, MOVES
from actlab.sites.trace.trace import Step

_WEIGHTED_SUMS = CONTRACTIONS | {"einsum", "baddbmm", "scaled_dot_product_attention"}
_SUMS = frozenset({"add", "sub", "cat", "stack"})


def is_usual(context: Context, pair: LayerPair) -> bool:
    """Return whether such a pair is common on purpose."""
    if _is_linear(context):
        return False
    is_turned = pair.first.function not in CONVOLUTIONS and pair.second.function in CONVOLUTIONS
    is_apart = is_turned or not _are_of_one_stack(context, pair)
    return is_apart or _averages(context, pair) or _ends_attention(context, pair)


def _is_linear(context: Context) -> bool:
    """Return whether the whole model is affine."""
    trace = context.trace
    return all(
        step.function in AFFINE | MOVES | _SUMS or is_layer(trace, step) or not step.inputs
        for step in trace.steps
        if step.part == "model" and step.place in context.matters
    )


def _are_of_one_stack(context: Context, pair: LayerPair) -> bool:
    """Return whether one module's `forward` calls both layers, or they are the same part of two blocks of one class."""
    one, two = _path(context, pair.first), _path(context, pair.second)
    if _caller(context, one) == _caller(context, two):
        return True
    same = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
    if same is None or one[same + 1 :] != two[same + 1 :]:
        return False
    blocks = [_module(context, path[: same + 1]) for path in (one, two)]
    return type(blocks[0]) is type(blocks[1]) and not isinstance(blocks[0], nn.ModuleList)


def _path(context: Context, step: Step) -> tuple[str, ...]:
    """Return the path of the layer: of its module, or of its parameter if that is one of a larger module."""
    path = tuple(filter(None, module_of(context, step).split(".")))
    is_module = not any(_module(context, path).children()) and not _holds_more(context, path, step)
    return path if is_module else (*path, parameters_of(context.trace, step)[0].rpartition(".")[2])


def _holds_more(context: Context, path: tuple[str, ...], step: Step) -> bool:
    """Return whether the module at the path holds the weights of other layers too."""
    held = [name for name, value in _module(context, path).named_parameters(recurse=False) if value.dim() > 1]
    return len(held) > 1 or not path


def _caller(context: Context, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path of the module that calls the layer; a list of modules calls nothing."""
    owner = path[:-1]
    while owner and isinstance(_module(context, owner), nn.ModuleList | nn.ModuleDict):
        owner = owner[:-1]
    return owner


def _module(context: Context, path: tuple[str, ...]) -> nn.Module:
    found: nn.Module = context.model
    for name in path:
        inner = getattr(found, name, None)
        if not isinstance(inner, nn.Module):
            break
        found = inner
    return found


def _averages(context: Context, pair: LayerPair) -> bool:
    """Return whether a mean over all positions or items stands between the layers."""
    for value in pair.values:
        step, shape = context.trace.maker(value), context.trace.values[value].shape
        if step is not None and (step.function == "mean" or ("avg_pool" in step.function and set(shape[2:]) == {1})):
            return True
    return False


def _ends_attention(context: Context, pair: LayerPair) -> bool:
    """Return whether the first layer projects a weighted sum of computed values."""
    source = data_of(context.trace, pair.first)
    if source is None:
        return False
    *_, last = (None, *back(context.trace, source, MOVES | AFFINE))
    return last is not None and last.function in _WEIGHTED_SUMS and not is_layer(context.trace, last)
