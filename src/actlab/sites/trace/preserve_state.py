"""Restore random state and buffers after a block."""

from __future__ import annotations

import copy
import gc
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from actlab.sites.trace.calls import tensors_within
from actlab.sites.trace.readable import is_readable


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore the random state and the buffers of the model at the end of the block."""
    devices = sorted({value.device for value in model.parameters() if value.is_cuda}, key=str)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(_python_streams())
        stack.enter_context(_buffers(model))
        yield


def copy_of(model: nn.Module) -> nn.Module:
    """Return a deep copy of the model, also of sparse tensors and of results it keeps, which PyTorch does not copy."""
    held = [tensor for module in model.modules() for tensor in tensors_within(dict(vars(module)))]
    special = [each for each in held if not each.is_leaf or (each.layout is not torch.strided and not each.is_nested)]
    memo: dict[int, object] = {id(each): each.detach().clone() for each in special}
    copied = copy.deepcopy(model, memo)
    for own, its in zip(model.parameters(), copied.parameters(), strict=True):
        if own.is_leaf and not its.is_leaf:  # a scripted module's are copied as a computation
            its.detach_().requires_grad_(own.requires_grad)
    return copied


class _Stance:
    """The blocks that now run compiled modules eagerly.

    PyTorch's stance is one for all threads: of two blocks that overlap, the later end would restore what the other had
    set. So the first to begin changes it and the last to end restores it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.whole = ExitStack()


_stance = _Stance()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run modules that `torch.compile` has compiled eagerly within the block."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and its import takes a second
        yield
        return
    with _stance.lock:
        if _stance.blocks == 0:
            _stance.whole.enter_context(torch.compiler.set_stance("force_eager"))
        _stance.blocks += 1
    try:
        yield
    finally:
        with _stance.lock:
            _stance.blocks -= 1
            if _stance.blocks == 0:
                _stance.whole.close()


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no cyclic garbage within the block: visiting all recorded steps again takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _python_streams() -> Iterator[None]:
    plain, numpy_random = random.getstate(), sys.modules.get("numpy.random")
    arrays = None if numpy_random is None else numpy_random.get_state()
    try:
        yield
    finally:
        random.setstate(plain)
        if numpy_random is not None:
            numpy_random.set_state(arrays)


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    saved = [
        (module, name, buffer, None if buffer is None else (buffer.detach().clone(), _version(buffer)))
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    try:
        yield
    finally:
        for module, name, buffer, kept in saved:
            module._buffers[name] = buffer
            if buffer is not None and kept is not None and not _is_same(buffer, *kept):
                with torch.no_grad():
                    buffer.copy_(kept[0])


def _is_same(buffer: Tensor, kept: Tensor, version: int) -> bool:
    """Return whether nothing was written: restoring equal numbers would stop autograd from using them in backward."""
    if not is_readable(buffer):
        return buffer.is_meta or _version(buffer) == version
    return buffer.shape == kept.shape and torch.equal(buffer.nan_to_num(), kept.nan_to_num())


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
