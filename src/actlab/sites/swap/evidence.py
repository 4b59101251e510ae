"""Run a swapped model once, to know what its new activations do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from actlab.errors import BadInput
from actlab.sites.trace.calls import tensors_in
from actlab.sites.trace.preserve_state import uncompiled, undisturbed
from actlab.user_code import their_code


@final
class Evidence:
    """What one module did in a forward pass.

    Attributes:
        calls: how often it was called.
        is_used: whether anything read its result.
        is_input_read: whether the memory of its input was read after the call, or was kept.
    """

    def __init__(self, calls: int = 0, *, is_used: bool = False, is_input_read: bool = False) -> None:
        self.calls, self.is_used, self.is_input_read = calls, is_used, is_input_read

    def __or__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.calls + other.calls,
            is_used=self.is_used or other.is_used,
            is_input_read=self.is_input_read or other.is_input_read,
        )


def evidence(
    model: nn.Module, modules: Sequence[nn.Module], inputs: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Evidence]:
    """Return what each module does in a forward pass of the model, in its mode and in the other one.

    Random state, buffers and modes are the same afterwards. If a pass raises, as batch normalization does in training
    for a single example, nothing is known of it, and every input counts as read.
    """
    found = _of_pass(model, modules, inputs, kwargs, unknown=Evidence(1, is_used=True, is_input_read=True))
    with _in_other_mode(model):
        other = _of_pass(model, modules, inputs, kwargs, unknown=Evidence(is_input_read=True))
    return [one | two for one, two in zip(found, other, strict=True)]


def run_once(model: nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run the model and return its output; random state and buffers are the same afterwards.

    Raises:
        BadInput: the model raises.
    """
    what = "the model with the new activations"
    with undisturbed(model), uncompiled(), torch.enable_grad(), their_code(what, error=BadInput):
        return model(*inputs, **kwargs)


def fresh(value: Any) -> Any:
    """Return a copy of a tensor, or of a dict with tensors: a model may overwrite its inputs."""
    if isinstance(value, Tensor):
        return value.clone()
    return {name: fresh(each) for name, each in value.items()} if type(value) is dict else value


def _of_pass(
    model: nn.Module,
    modules: Sequence[nn.Module],
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    unknown: Evidence,
) -> list[Evidence]:
    watching = Watching()
    args, named = [fresh(each) for each in inputs], fresh(kwargs)  # kept until the end: the caller may read its inputs
    handles = [
        module.register_forward_hook(watching.hook(module, each), with_kwargs=True)
        for module, each in zip(modules, watching.added(len(modules)), strict=True)
    ]
    try:
        with watching:
            output = run_once(model, args, named)
        watching.read(output)
        del output  # and with it what autograd has saved
    except BadInput:
        return [unknown] * len(modules)
    finally:
        for handle in handles:
            handle.remove()
    watching.finish()
    return watching.evidence


@contextmanager
def _in_other_mode(model: nn.Module) -> Iterator[None]:
    modes, mode = [(module, module.training) for module in model.modules()], not model.training
    try:
        for module, _ in modes:
            module.training = mode  # `train` may be the user's own, or refuse
        yield
    finally:
        for module, before in modes:
            module.training = before


@final
class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
    """Note which of the memory that modules read and made is read after them."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: PyTorch would import its compiler (2 s) to exclude this mode; models run uncompiled here."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.evidence: list[Evidence] = []
        self._inputs: dict[int, list[Evidence]] = {}  # by storage
        self._outputs: dict[int, list[Evidence]] = {}
        self._kept: dict[int, StorageWeakRef] = {}  # keeps the identity of a freed storage from being used again

    def added(self, count: int) -> list[Evidence]:
        """Return evidence about so many further modules."""
        new = [Evidence() for _ in range(count)]
        self.evidence += new
        return new

    def hook(self, module: nn.Module, of: Evidence) -> Any:
        """Return the hook that follows the calls of a module."""

        def after(called: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if called is not module:
                return  # the module that it has replaced, which has the same hooks
            of.calls += 1
            for table, tensors in ((self._inputs, tensors_in([*args, kwargs])), (self._outputs, tensors_in([output]))):
                for tensor in tensors:
                    self._follow(table, tensor, of)

        return after

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        read = tensors_in([*args, kwargs or {}])
        if func is torch.ops.aten.copy_.default and self._is_output(read[1]):
            for each in self._outputs[_identity(read[1])]:  # the result is written to another place
                self._follow(self._outputs, read[0], each)
            read = []
        self.read(read)
        return func(*args, **(kwargs or {}))

    def read(self, what: Any) -> None:
        """Note that the tensors in it are read."""
        for tensor in tensors_in([what]):
            self._note(_identity(tensor))

    def finish(self) -> None:
        """Note that what is still in memory after the pass can be read."""
        for identity, reference in self._kept.items():
            if not reference.expired():  # type: ignore[no-untyped-call]  # likewise
                self._note(identity)

    def _note(self, identity: int) -> None:
        for each in self._inputs.get(identity, ()):
            each.is_input_read = True
        for each in self._outputs.get(identity, ()):
            each.is_used = True

    def _is_output(self, tensor: Tensor) -> bool:
        return _identity(tensor) in self._outputs

    def _follow(self, table: dict[int, list[Evidence]], tensor: Tensor, of: Evidence) -> None:
        identity = _identity(tensor)
        if not identity:  # sparse: nothing is known of its memory
            of.is_used = of.is_input_read = True
            return
        table.setdefault(identity, []).append(of)
        if identity not in self._kept:
            self._kept[identity] = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # likewise


def _identity(tensor: Tensor) -> int:
    """Return the identity of a tensor's memory; 0 if it has none, as a sparse one."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0
