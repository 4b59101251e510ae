"""Run the functions of stacked tensors from within `torch.vmap`, which calls a model for one lane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from actlab.train.lanes import functions
from actlab.train.lanes.activations import ACTIVATIONS, applied
from actlab.train.noise import Function, Stream, dropout, replacements


class _Outside(torch.autograd.Function):
    """Calls a function of the stacked tensors; autograd records what it does."""

    @staticmethod
    def forward(function: Function, *tensors: Tensor | None) -> Tensor:
        raise AssertionError("one of the tensors belongs to a lane")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], function: Function, *tensors: Tensor | None
    ) -> tuple[Tensor, int]:
        stacked = [
            None if each is None else each.expand(info.batch_size, *each.shape) if dim is None else each.movedim(dim, 0)
            for each, dim in zip(tensors, in_dims[1:], strict=True)
        ]
        return function(*stacked), 0


@final
class Outside:
    """What runs instead of PyTorch's functions and actlab's activations while a model is called under `torch.vmap`.

    Attributes:
        lane: the number of the lane, as `torch.vmap` shows it; to be set within it.
        table: what runs instead of a function; it returns None if it does not apply.
    """

    def __init__(self, stream: Callable[[], Stream]) -> None:
        self.lane: Tensor | None = None
        self._stream = stream
        drawing = replacements(self._drop)
        self.table: Mapping[Function, Function] = {
            **drawing,
            F.linear: self._linear,
            F.embedding: self._embedding,
            F.layer_norm: self._layer_norm,
            F.batch_norm: self._batch_norm,
            F.scaled_dot_product_attention: self._attention(drawing[F.scaled_dot_product_attention]),
            **{each: self._convolution(each) for each in (F.conv1d, F.conv2d, F.conv3d)},
            **{each.forward: self._activation for each in ACTIVATIONS},
        }

    def _run(self, function: Function, *tensors: Tensor | None) -> Tensor:
        """Call a function of stacked tensors. The number of the lane goes along: one tensor must belong to a lane."""

        def without_lane(lane: Tensor, *stacked: Tensor | None) -> Tensor:
            result: Tensor = function(*stacked)
            return result

        result: Tensor = _Outside.apply(without_lane, self.lane, *tensors)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
        return result

    def _drop(self, x: Tensor, *, p: float, axes: int | None = None) -> Tensor:
        return self._run(lambda stacked: dropout(stacked, self._stream(), p=p, axes=axes), x)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
        return self._run(functions.linear, input, weight, bias) if input.dim() > 1 else None

    def _embedding(self, input: Tensor, weight: Tensor, *settings: Any, **named: Any) -> Tensor | None:
        if any(settings) or any(value for name, value in named.items() if name != "norm_type"):
            return None
        return self._run(functions.embedding, input, weight)

    def _layer_norm(
        self,
        input: Tensor,
        normalized_shape: Any,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        def normalized(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
            return functions.layer_norm(x, normalized_shape, weight, bias, eps)

        return self._run(normalized, input, weight, bias)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        def normalized(
            x: Tensor, mean: Tensor | None, variance: Tensor | None, weight: Tensor | None, bias: Tensor | None
        ) -> Tensor:
            return functions.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)

        return self._run(normalized, input, running_mean, running_var, weight, bias)

    def _attention(self, drawing: Function) -> Function:
        def attention(
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attn_mask: Tensor | None = None,
            dropout_p: float = 0.0,
            is_causal: bool = False,
            **settings: Any,
        ) -> Tensor | None:
            dropped: Tensor | None = drawing(query, key, value, attn_mask, dropout_p, is_causal, **settings)
            if dropped is not None or query.dim() != 4:
                return dropped
            same = attn_mask is None or (attn_mask.dim() == 2 and not _belongs_to_lane(attn_mask))

            def attended(q: Tensor, k: Tensor, v: Tensor, own: Tensor | None = None) -> Tensor:
                return functions.attention(q, k, v, attn_mask if same else own, dropout_p, is_causal, **settings)

            return self._run(attended, query, key, value, *([] if same else [attn_mask]))

        return attention

    def _convolution(self, function: Function) -> Function:
        looped = functions.one_by_one(function)

        def convolved(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
            return self._run(lambda *tensors: looped(*tensors, *args, **kwargs), input, weight, bias)

        return convolved

    def _activation(self, module: Any, *inputs: Tensor, **settings: Any) -> Tensor | None:
        if any(settings.values()):
            return None
        learned = dict(module.named_parameters())

        def activated(*tensors: Tensor) -> Tensor:
            own = tensors[len(inputs) :]
            return applied(module, tensors[: len(inputs)], dict(zip(learned, own, strict=True)))

        return self._run(activated, *inputs, *learned.values())


def _belongs_to_lane(tensor: Tensor) -> bool:
    return torch._C._functorch.is_batchedtensor(tensor)
