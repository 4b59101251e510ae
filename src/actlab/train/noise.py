"""Dropout from a counter-based stream, so that its noise does not depend on how a model is run.

The noise of a call is a function of the seed, the step and the number of the call within the step alone (Philox, by
Salmon et al. 2011, from NumPy): the plain loop and batched lanes draw the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from actlab.train.evaluate import output

TRAINING, EVALUATION = 0, 1

Function = Callable[..., Any]


@final
class Stream:
    """The noise of several seeds: one tensor for all of them at every call.

    Attributes:
        seeds: the seed of each entry along the first axis of the noise.
        drew: whether any noise has been drawn.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self.drew = False
        self._distinct = list(dict.fromkeys(self.seeds))
        self._place = torch.tensor([self._distinct.index(seed) for seed in self.seeds])
        self._step, self._phase, self._call = 0, TRAINING, 0

    def begin(self, step: int, *, phase: int = TRAINING) -> None:
        """Begin a step: its calls are counted from 0."""
        self._step, self._phase, self._call = step, phase, 0

    def scales(self, shape: Sequence[int], *, p: float, dtype: torch.dtype) -> Tensor:
        """Return what dropout multiplies by: 0 with probability `p`, and otherwise 1/(1 − p).

        The result has the shape (seeds, *shape); entries of one seed are the same.
        """
        call, self._call, self.drew = self._call, self._call + 1, True
        if p >= 1.0:
            return torch.zeros(len(self.seeds), *shape, dtype=dtype)
        count, least = int(np.prod(shape)), round(p * 2**32) - 2**31
        kept = torch.stack([self._bits(seed, count, call=call) >= least for seed in self._distinct])
        scales = kept.to(dtype).mul_(1.0 / (1.0 - p)).reshape(-1, *shape)
        return scales if len(self._distinct) == len(self.seeds) else scales.index_select(0, self._place)

    def _bits(self, seed: int, count: int, *, call: int) -> Tensor:
        """Return so many random integers of 32 bits."""
        philox = np.random.Philox(key=[seed % 2**64, self._phase], counter=[0, 0, call, self._step])
        words = np.asarray(philox.random_raw((count + 1) // 2))
        return torch.from_numpy(words.view(np.int32)[:count])


def dropout(x: Tensor, stream: Stream, *, p: float, axes: int | None = None) -> Tensor:
    """Apply dropout to a tensor of shape (seeds, batch, ...).

    Args:
        x: the tensor.
        stream: draws the noise.
        p: the probability of 0.
        axes: the number of axes, from the batch on, along which the noise differs; by default all.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")  # as PyTorch says it
    if p == 0.0:
        return x
    shape = x.shape[1:] if axes is None else (*x.shape[1 : axes + 1], *[1] * (x.dim() - axes - 1))
    return x * stream.scales(shape, p=p, dtype=x.dtype)


class Drop(Protocol):
    """Applies dropout to a tensor of shape (batch, ...)."""

    def __call__(self, x: Tensor, *, p: float, axes: int | None = None) -> Tensor: ...


def replacements(drop: Drop) -> Mapping[Function, Function]:
    """Return what runs instead of PyTorch's functions that draw dropout; it returns None if it does not apply."""

    def of_elements(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training:
            return input
        dropped = drop(input, p=p)
        return input.copy_(dropped) if inplace else dropped

    def of_channels(dims: int) -> Function:
        def of_some(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor | None:
            if not training:
                return input
            if input.dim() != dims:
                return None
            dropped = drop(input, p=p, axes=2)
            return input.copy_(dropped) if inplace else dropped

        return of_some

    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor | None:
        if dropout_p == 0.0 or enable_gqa:
            return None
        weights = _attention_weights(query, key, attn_mask, is_causal=is_causal, scale=scale)
        return drop(weights, p=dropout_p) @ value

    return {
        F.dropout: of_elements,
        torch.dropout: lambda input, p, train: of_elements(input, p, train),
        F.dropout1d: of_channels(3),
        F.dropout2d: of_channels(4),
        F.dropout3d: of_channels(5),
        F.scaled_dot_product_attention: attention,
    }


def _attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, *, is_causal: bool, scale: float | None
) -> Tensor:
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        past = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~past, float("-inf"))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


class Replacing(TorchFunctionMode):
    """Run other functions instead of some of PyTorch's, within a block.

    Args:
        table: what runs instead of a function; if it returns None, the function itself does.
    """

    def __init__(self, table: Mapping[Function, Function]) -> None:
        super().__init__()
        self.table = table

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            with self:  # what it calls is replaced too
                return _unfollowed_attention(*args, **kwargs)
        other = self.table.get(func)
        result = None if other is None else other(*args, **kwargs)
        return func(*args, **kwargs) if result is None else result


# PyTorch's own code, which does not ask again whether a mode follows it.
_unfollowed_attention = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "has_torch_function": lambda tensors: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)


@final
class PlainNoise:
    """The dropout of one model that is trained alone.

    Args:
        model: the model.
        seed: the seed of its noise.
    """

    def __init__(self, model: nn.Module, seed: int) -> None:
        self.stream = Stream([seed])
        # After the first step, a mode that follows every call is kept only where something draws.
        self.wanted = True
        self._has_modules = any(isinstance(module, _DropoutNd) for module in model.modules())
        self._mode = Replacing(replacements(self._drop))

    def apply(self, model: nn.Module, inputs: Any, *, step: int) -> Any:
        """Return the model's output in one training step."""
        if not self.wanted:
            return output(model, inputs)
        self.stream.begin(step)
        with self._mode:
            outputs = output(model, inputs)
        self.wanted = self._has_modules or self.stream.drew
        return outputs

    def _drop(self, x: Tensor, *, p: float, axes: int | None = None) -> Tensor:
        return dropout(x.unsqueeze(0), self.stream, p=p, axes=axes).squeeze(0)
