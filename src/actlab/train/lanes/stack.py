"""Many models of one structure as one model, whose parameters have the lanes as their first axis."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from actlab.nn.torch_modules import TORCH_NAMES
from actlab.train.lanes import functions
from actlab.train.lanes.activations import ACTIVATIONS, applied
from actlab.train.lanes.outside import Outside
from actlab.train.noise import Replacing, Stream, dropout

Layer = Callable[[Tensor], Tensor]
"""Maps a tensor of shape (lanes, batch, ...) to another."""


@final
class Stack:
    """Models of one structure, each with parameters and buffers of its own, that run as one.

    Args:
        models: one model per lane; two lanes may have the same. They are read, not kept.
        seeds: the seed of each lane's dropout.
        fixed: the names of the buffers that all models share and that do not change.

    Attributes:
        template: a model whose structure and settings count.
        values: the parameters and buffers by name, each of shape (lanes, *its own); fixed buffers as they are.
    """

    def __init__(self, models: Sequence[nn.Module], *, seeds: Sequence[int], fixed: frozenset[str] = frozenset()):
        self.template = copy.deepcopy(models[0])
        self.fixed = fixed
        self.stream = Stream(seeds)
        self.values: dict[str, Tensor] = {}
        tensors = [{**dict(model.named_parameters()), **dict(model.named_buffers())} for model in models]
        self._trained = [name for name, each in models[0].named_parameters() if each.requires_grad]
        for name, first in tensors[0].items():
            own = first.detach().clone() if name in fixed else torch.stack([each[name].detach() for each in tensors])
            self.values[name] = own
        self._follow()
        own_tensors = {**dict(self.template.named_parameters()), **dict(self.template.named_buffers())}
        self._names = {id(each): name for name, each in own_tensors.items()}
        self._outside = Outside(lambda: self.stream)
        self._replacing = Replacing(self._outside.table)
        self.layer = self._layer(self.template)

    def __len__(self) -> int:
        return len(self.stream.seeds)

    @property
    def trained(self) -> dict[str, Tensor]:
        """The parameters that are trained."""
        return {name: self.values[name] for name in self._trained}

    def copied(self) -> dict[str, Tensor]:
        """Return a copy of what differs between lanes."""
        return {name: each.detach().clone() for name, each in self.values.items() if name not in self.fixed}

    def keep(self, lanes: Tensor) -> None:
        """Keep these lanes, in this order."""
        self.values = {
            name: each if name in self.fixed else each.detach().index_select(0, lanes)
            for name, each in self.values.items()
        }
        self.stream = Stream([self.stream.seeds[lane] for lane in lanes.tolist()])
        self._follow()

    def copy_to(self, values: Mapping[str, Tensor], lanes: Tensor) -> None:
        """Copy what differs between lanes, of these lanes, into tensors that `copied` returned."""
        for name, each in values.items() if len(lanes) else ():
            each.index_copy_(0, lanes, self.values[name].detach().index_select(0, lanes))

    @contextmanager
    def holding(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """Hold other values within a block, for evaluation: those of some lanes."""
        own = self.values
        self.values = {**own, **values}
        try:
            yield
        finally:
            self.values = own

    def _follow(self) -> None:
        for name in self._trained:
            self.values[name].requires_grad_()

    def _value(self, module: nn.Module, name: str) -> Callable[[], Tensor]:
        """Return a function that returns the stacked value of a module's parameter or buffer."""
        key = self._names[id(getattr(module, name))]
        return lambda: self.values[key]

    def _optional(self, module: nn.Module, name: str) -> Callable[[], Tensor | None]:
        """Return the same for one that a module may lack."""
        return _nothing if getattr(module, name, None) is None else self._value(module, name)

    def _layer(self, module: nn.Module) -> Layer:
        make = None if _has_hooks(module) else _LAYERS.get(type(module))
        layer = None if make is None else make(self, module)
        return layer or self._under_vmap(module)

    def _under_vmap(self, module: nn.Module) -> Layer:
        """Return the layer of a module of any kind, whose `forward` is called as if for one lane."""
        own = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
        keys = {name: self._names[id(each)] for name, each in own}
        dims = {name: None if key in self.fixed else 0 for name, key in keys.items()}

        def of_one(lane: Tensor, values: dict[str, Tensor], x: Tensor) -> Tensor:
            self._outside.lane = lane
            result: Tensor = functional_call(module, values, (x,))
            return result

        def run(x: Tensor) -> Tensor:
            values = {name: self.values[key] for name, key in keys.items()}
            with self._replacing:
                result: Tensor = torch.vmap(of_one, in_dims=(0, dims, 0))(torch.arange(len(x)), values, x)
            return result

        return run

    def _dropout(self, module: nn.Module, *, axes: int | None) -> Layer:
        def run(x: Tensor) -> Tensor:
            p = float(module.p)  # type: ignore[arg-type]  # a number in every module of dropout
            return dropout(x, self.stream, p=p, axes=axes) if module.training else x

        return run


def _nothing() -> None:
    return None


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or "forward" in vars(module)
    )


def _sequential(stack: Stack, module: nn.Sequential) -> Layer:
    layers, is_product = [], False
    for child in module:
        layers.append((_over_product(child) if is_product else None) or stack._layer(child))
        is_product = type(child) is nn.Linear and not _has_hooks(child)

    def run(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x

    return run


def _over_product(module: nn.Module) -> Layer | None:
    """Return an activation that writes over its input, which a linear layer does not read again; None for others.

    The products of many lanes do not fit into the cache, so that a second tensor of their size takes its time.
    """
    return None if _has_hooks(module) else _IN_PLACE.get(type(module))


_IN_PLACE: Mapping[type[nn.Module], Layer] = {
    nn.ReLU: torch.relu_,
    nn.Sigmoid: torch.sigmoid_,
    nn.Tanh: torch.tanh_,
}


def _linear(stack: Stack, module: nn.Module) -> Layer:
    weight, bias = stack._value(module, "weight"), stack._optional(module, "bias")
    return lambda x: functions.linear(x, weight(), bias())


def _embedding(stack: Stack, module: nn.Embedding) -> Layer | None:
    if module.padding_idx is not None or module.max_norm is not None or module.scale_grad_by_freq or module.sparse:
        return None
    weight = stack._value(module, "weight")
    return lambda x: functions.embedding(x, weight())


def _layer_norm(stack: Stack, module: nn.LayerNorm) -> Layer:
    weight, bias = stack._optional(module, "weight"), stack._optional(module, "bias")
    return lambda x: functions.layer_norm(x, module.normalized_shape, weight(), bias(), module.eps)


def _batch_norm(axes: tuple[int, ...]) -> Callable[[Stack, _NormBase], Layer]:
    def made(stack: Stack, module: _NormBase) -> Layer:
        names = ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")
        mean, variance, weight, bias, count = (stack._optional(module, name) for name in names)

        def run(x: Tensor) -> Tensor:
            if x.dim() - 1 not in axes:
                raise ValueError(f"expected {' or '.join(map(str, axes))} axes (got {x.dim() - 1})")
            batches, momentum = count(), module.momentum
            if module.training and batches is not None:
                batches.add_(1)
                momentum = 1.0 / float(batches[0]) if momentum is None else momentum
            own = module.training or mean() is None
            return functions.batch_norm(x, mean(), variance(), weight(), bias(), own, momentum or 0.0, module.eps)

        return run

    return made


def _flatten(stack: Stack, module: nn.Flatten) -> Layer | None:
    if module.start_dim < 1:
        return None
    end = module.end_dim if module.end_dim < 0 else module.end_dim + 1
    return lambda x: x.flatten(module.start_dim + 1, end)


def _unflatten(stack: Stack, module: nn.Unflatten) -> Layer | None:
    dim = module.dim
    if not isinstance(dim, int) or dim < 1:
        return None
    sizes = tuple(module.unflattened_size)

    def run(x: Tensor) -> Tensor:
        return x.reshape(*x.shape[: dim + 1], *sizes, *x.shape[dim + 2 :])

    return run


def _convolution(function: Callable[..., Tensor]) -> Callable[[Stack, nn.Module], Layer | None]:
    looped = functions.one_by_one(function)

    def made(stack: Stack, module: nn.Module) -> Layer | None:
        if module.padding_mode != "zeros":
            return None
        weight, bias = stack._value(module, "weight"), stack._optional(module, "bias")
        settings = (module.stride, module.padding, module.dilation, module.groups)
        return lambda x: looped(x, weight(), bias(), *settings)

    return made


def _activation(stack: Stack, module: nn.Module) -> Layer:
    learned = {name: stack._value(module, name) for name, _ in module.named_parameters()}
    return lambda x: applied(module, (x,), {name: value() for name, value in learned.items()})


def _prelu(stack: Stack, module: nn.PReLU) -> Layer:
    weight = stack._value(module, "weight")

    def run(x: Tensor) -> Tensor:
        shape = (len(x), 1, -1, *[1] * (x.dim() - 3)) if x.dim() > 2 else (len(x), 1)
        return torch.where(x > 0, x, weight().view(shape) * x)

    return run


def _alike(stack: Stack, module: nn.Module) -> Layer:
    return module


def _row_by_row(stack: Stack, module: nn.Module) -> Layer:
    return functions.row_by_row(module)


# Each takes a module of the type that is its key.
_LAYERS: Mapping[type[nn.Module], Callable[[Stack, Any], Layer | None]] = {
    nn.Sequential: _sequential,
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.BatchNorm1d: _batch_norm((2, 3)),
    nn.BatchNorm2d: _batch_norm((4,)),
    nn.BatchNorm3d: _batch_norm((5,)),
    nn.Dropout: lambda stack, module: stack._dropout(module, axes=None),
    nn.Dropout1d: lambda stack, module: stack._dropout(module, axes=2),
    nn.Dropout2d: lambda stack, module: stack._dropout(module, axes=2),
    nn.Dropout3d: lambda stack, module: stack._dropout(module, axes=2),
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Conv1d: _convolution(torch.conv1d),
    nn.Conv2d: _convolution(torch.conv2d),
    nn.Conv3d: _convolution(torch.conv3d),
    **{each: _alike for each in TORCH_NAMES if each is not nn.RReLU},
    nn.Identity: _alike,
    nn.PReLU: _prelu,
    **dict.fromkeys(ACTIVATIONS, _activation),
    **{
        getattr(nn, f"{kind}Pool{dims}d"): _row_by_row
        for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg")
        for dims in (1, 2, 3)
    },
}
