"""Record one forward pass of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from actlab.errors import BadInput
from actlab.sites.trace.calls import tensors_within
from actlab.sites.trace.preserve_state import uncompiled, undisturbed
from actlab.sites.trace.recorder import Follower, Observer, Recorder
from actlab.sites.trace.trace import Trace
from actlab.user_code import their_code

Loss = Callable[..., Tensor]

REPLICATED = frozenset({"DistributedDataParallel", "DataParallel"})
_SHARDED = frozenset({"FullyShardedDataParallel", "FSDPModule"})


@final
@dataclass(frozen=True, eq=False)
class Recorded:
    """A forward pass that was recorded.

    Attributes:
        trace: what was computed, without its sites.
        output: the model's output; None if the model raised.
        loss: the loss; None without one.
        raised: what the model or the loss raised; the trace then ends there.
    """

    trace: Trace
    output: Any
    loss: Tensor | None
    raised: BadInput | None = None


def recorded(
    model: nn.Module,
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    follower: Follower | None = None,
    loss: Loss | None = None,
    targets: Any = None,
    observe: Observer | None = None,
    settle: Callable[[], None] | None = None,
    stand_ins: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
    then: Callable[[Tensor], None] | None = None,
    may_raise: bool = False,
) -> Recorded:
    """Record one forward pass of the model; random state and buffers are the same afterwards.

    Parts that `torch.compile` has compiled run uncompiled.

    Args:
        model: in the mode to be recorded, without the wrapper of `torch.compile` or DDP.
        inputs, kwargs: passed to the model.
        follower: called with every step.
        loss: a function of the output and the targets, recorded too.
        targets: passed to the loss.
        observe: called with every step and its tensors; of what is overwritten in place it gets a copy.
        settle: called before a tensor is overwritten in place.
        stand_ins: by a function of PyTorch, what runs in its place; its call is recorded all the same.
        then: called with the loss before buffers and random state are restored, such as for a backward pass.
        may_raise: whether to return what was recorded before the model or the loss raised.

    Raises:
        BadInput: the model or the loss raises, without `may_raise`.
    """
    if has_lazy_parts(model):
        _initialize(model, inputs, kwargs or {})
    recorder = Recorder(model, follower=follower, observe=observe, settle=settle, stand_ins=stand_ins)
    recorder.given(tensors_within([*inputs, kwargs or {}]), "input")
    if targets is not None:
        recorder.given(tensors_within(targets), "target")
    output: Any = None
    value: Tensor | None = None
    outputs: list[int] = []
    raised: BadInput | None = None
    with undisturbed(model), uncompiled():
        try:
            with recorder, their_code("the model", error=BadInput):
                output = model(*inputs, **(kwargs or {}))
            outputs = [recorder.number(tensor) for tensor in tensors_within(output)]
            value = _loss(recorder, loss, output, targets)
        except BadInput as error:
            if not may_raise:
                raise
            raised = error
        if value is not None and then is not None:
            then(value)
    number = None if value is None else recorder.number(value)
    return Recorded(recorder.trace(outputs=outputs, loss=number), output, value, raised)


def has_lazy_parts(model: nn.Module) -> bool:
    """Return whether a parameter or buffer has no shape yet, as in an `nn.LazyLinear` that has not run."""
    return any(is_lazy(each) for each in (*model.parameters(), *model.buffers()))


def _initialize(model: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Run the model once in evaluation mode, so that its lazy modules take their shapes and nothing else changes."""
    with in_mode(model, training=False), torch.no_grad(), uncompiled(), their_code("the model", error=BadInput):
        model(*inputs, **kwargs)


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Set the mode of every module within a block, and restore it afterwards.

    A `train` of the model's own that is not about the mode is not called.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        if model.training != training and all(_sets_mode(type(module)) for module, _ in modes):
            model.train(training)
        elif model.training != training:
            for module, _ in modes:
                module.training = training
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _sets_mode(kind: type[nn.Module]) -> bool:
    """Return whether the class's `train` takes the mode as its only argument."""
    parameters = list(inspect.signature(kind.train).parameters.values())[1:]
    return [each.name for each in parameters] == ["mode"] or [type(each.default) for each in parameters] == [bool]


def _loss(recorder: Recorder, loss: Loss | None, output: Any, targets: Any) -> Tensor | None:
    if loss is None:
        return None
    recorder.part = "loss"
    with recorder, their_code("the loss", error=BadInput):
        value = loss(output) if targets is None else loss(output, targets)
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise BadInput(f"the loss must return a single number; got {found}.")
    return value


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model without the wrapper of `torch.compile`, DDP or DataParallel.

    Raises:
        BadInput: it is not a module, or it is sharded or scripted.
    """
    if not isinstance(model, nn.Module):
        raise BadInput(f"the model must be a torch.nn.Module; got {type(model).__name__}.")
    sharded = next((part for part in model.modules() if is_kind_of(part, _SHARDED)), None)
    if sharded is not None:
        whose = "the model is" if sharded is model else "a part of the model is"
        name = type(sharded).__name__
        raise BadInput(f"{whose} wrapped in {name}, which shards parameters over processes. Pass the wrapped module.")
    if isinstance(model, torch.jit.ScriptModule):
        raise BadInput("the model is scripted (torch.jit), so its calls cannot be recorded. Pass the original module.")
    inner = getattr(model, "_orig_mod", None)
    if inner is None and is_kind_of(model, REPLICATED):
        inner = model.module
    return unwrapped(inner) if isinstance(inner, nn.Module) else model


def is_kind_of(model: nn.Module, names: frozenset[str]) -> bool:
    """Return whether the class or a base class has one of the names, without importing it."""
    return any(kind.__name__ in names for kind in type(model).__mro__)
