"""The inputs on which a model is run before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from actlab.errors import BadInput
from actlab.sites.trace.calls import tensors_within
from actlab.train.tree import called_with

Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]
"""The positional and the keyword arguments of a model."""

_ROWS = 512
_PLACES = 16
# Lengths of the axes of an image that common models take.
_SIDES = (32, 28, 64, 224, 8)


def arguments_of(batch: Any, *, owner: str) -> Arguments:
    """Return the arguments of the model's call.

    Args:
        batch: inputs, a pair of inputs and targets, or a loader, whose first batch is used. Inputs are one tensor, a
            dict of keyword arguments, or, in a pair, a tuple of arguments.
        owner: the beginning of the message.

    Raises:
        BadInput: the batch is none of these, or holds no example.
    """
    if isinstance(batch, Iterable) and not isinstance(batch, Tensor | Mapping | tuple | list | str):
        with torch.random.fork_rng(devices=[]):  # a loader draws a seed even if it does not shuffle
            batch = next(iter(batch), ())
    if isinstance(batch, tuple | list):
        if len(batch) not in (1, 2):
            raise BadInput(
                f"{owner}: the batch must be inputs, or a pair of inputs and targets; got {len(batch)} values."
                " Pass several arguments of the model as ((a, b, c), None)."
            )
        batch = batch[0]
    found = called_with(batch)
    tensors = tensors_within([*found[0], dict(found[1])])
    if not tensors:
        raise BadInput(f"{owner}: the batch must hold tensors; got {type(batch).__name__}.")
    if any(tensor.dim() and len(tensor) == 0 for tensor in tensors):
        raise BadInput(f"{owner}: the batch must hold at least one example; got inputs without any.")
    return found


def refuse_lazy(model: nn.Module, *, owner: str) -> None:
    """Raise `BadInput` if a parameter has no shape yet."""
    lazy = next((name for name, value in model.named_parameters() if is_lazy(value)), None)
    if lazy is not None:
        raise BadInput(f"{owner}: {lazy} has no shape yet. Run the model once on a batch first.")


def random_arguments(model: nn.Module) -> Iterator[Arguments]:
    """Yield standard normal inputs, or random tokens, of shapes that the model's first layer takes."""
    first = next((module for module in model.modules() if isinstance(module, _TAKES)), None)
    weight = next(model.parameters(), None)
    if first is None or weight is None:
        return
    numbers = torch.Generator().manual_seed(0)
    kind = {"device": weight.device, "dtype": weight.dtype if weight.is_floating_point() else torch.float32}
    for shape in _shapes(first):
        if isinstance(first, nn.Embedding):
            tokens = torch.randint(first.num_embeddings, shape, generator=numbers)
            yield (tokens.to(weight.device),), {}
        else:
            yield (torch.randn(shape, generator=numbers).to(**kind),), {}


_TAKES = (
    nn.Linear,
    _ConvNd,
    nn.Embedding,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
    nn.LayerNorm,
)


def _shapes(first: nn.Module) -> list[tuple[int, ...]]:
    match first:
        case nn.Linear():
            features = [first.in_features]
        case nn.RNNBase() | nn.RNNCellBase():
            features = [first.input_size]
        case nn.MultiheadAttention():
            features = [first.embed_dim]
        case nn.LayerNorm():
            features = list(first.normalized_shape)
        case nn.Embedding():
            return [(_PLACES, _PLACES), (_ROWS,)]
        case _:
            assert isinstance(first, _ConvNd)
            return [(_PLACES, first.in_channels, *[side] * len(first.kernel_size)) for side in _SIDES]
    return [(_ROWS, *features), (_PLACES, _PLACES, *features)]
