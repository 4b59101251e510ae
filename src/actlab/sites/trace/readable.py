"""Tell the tensors whose numbers lie in memory from those that only stand for them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_PLAIN = frozenset({Tensor, nn.Parameter})
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor


def is_readable(tensor: Tensor) -> bool:
    """Return whether the tensor is one strided block of numbers.

    Sparse, nested and quantized tensors are not, nor are those of `torch.func` and of the meta device, and subclasses
    that keep their numbers elsewhere, such as fake, masked and distributed tensors.
    """
    if type(tensor) not in _PLAIN and (is_lazy(tensor) or not _is_dispatched_as_plain(tensor)):
        return False
    if tensor.is_nested or tensor.layout is not torch.strided or _is_wrapped(tensor):
        return False
    return not (tensor.is_meta or tensor.is_quantized or tensor._is_zerotensor())


def _is_dispatched_as_plain(tensor: Tensor) -> bool:
    return type(tensor).__torch_dispatch__ is torch._C._disabled_torch_dispatch_impl


def numbers_of(tensor: Tensor) -> Tensor | None:
    """Return the numbers of a tensor as a plain one, of a nested tensor its values as rows; None if there are none."""
    if is_readable(tensor):
        return tensor if not tensor.is_neg() and not tensor.is_conj() else tensor.resolve_neg().resolve_conj()
    if not _is_nested(tensor):
        return None
    values = tensor.values()
    if tensor.layout is not torch.strided:  # jagged: the rows of all examples, one below the other
        return values if is_readable(values) else None
    width = _size(tensor, tensor.dim() - 1)
    return values.reshape(-1, width) if width > 0 and tensor.is_contiguous() else None


def _is_nested(tensor: Tensor) -> bool:
    return tensor.is_nested and not tensor.is_meta and not is_in_transform(tensor)


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of any tensor; a size that differs from example to example is -1."""
    if not tensor.is_nested:
        return tuple(tensor.shape)
    return tuple(_size(tensor, at) for at in range(tensor.dim()))


def _size(tensor: Tensor, at: int) -> int:
    try:
        size = tensor.size(at)
    except RuntimeError:  # PyTorch has no number for it
        return -1
    return size if type(size) is int else -1


def is_in_transform(tensor: Tensor) -> bool:
    """Return whether a tensor is a view of a transform such as `torch.vmap`: reading it raises."""
    return bool(_is_wrapped(tensor))


def why_not_now() -> str:
    """Return why no numbers can be read at this moment, whatever the tensors are; empty if they can."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "its values inside torch.func or torch.vmap cannot be read"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit.trace records every call, so nothing is measured while it runs"
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None:
        return "fake tensors hold no numbers"
    return ""


def unreadable_kind(tensors: Iterable[Tensor]) -> str:
    """Return a word for the first tensor that cannot be read; empty if all can."""
    for tensor in tensors:
        if not is_readable(tensor):
            return next((word for word, holds in _KINDS if holds(tensor)), f"a {type(tensor).__name__}")
    return ""


_KINDS = (
    ("inside torch.vmap", is_in_transform),
    ("nested", lambda tensor: tensor.is_nested),
    ("quantized", lambda tensor: tensor.is_quantized),
    ("on the meta device", lambda tensor: tensor.is_meta),
    ("sparse", lambda tensor: "sparse" in str(tensor.layout)),
)
