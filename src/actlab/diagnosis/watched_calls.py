"""The calls that a training loop makes: of the watched model, of its compiled wrapper, or of its parts alone."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from threading import Lock
from types import FrameType
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from actlab.diagnosis.unwrapping import is_compiled
from actlab.sites.listening import Hook, Listening, listening
from actlab.sites.site import Site
from actlab.sites.trace.calls import tensors_in, tensors_within
from actlab.sites.trace.guard import Guard
from actlab.sites.trace.preserve_state import uncompiled, undisturbed
from actlab.sites.trace.readable import is_in_transform, shape_of, why_not_now
from actlab.sites.trace.trace import Trace
from actlab.telemetry.close_look import CloseLook
from actlab.telemetry.recording import Recording


class Loop(Protocol):
    """The watched training loop.

    Attributes:
        look: takes the distributions of a measured step; None if nobody asked for them.
    """

    look: CloseLook | None

    def was_called(self, calls: Calls) -> None:
        """Note that the loop calls the module."""

    def wants(self, calls: Calls, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether to measure the pass that begins with these arguments."""

    def measures(self) -> None:
        """Note that the current step is measured."""


@final
class Calls:
    """The passes of one module that the loop calls.

    Attributes:
        path: the dotted path of the part of the watched model; empty for the model itself.
        model: the module, without the wrapper of `torch.compile` or DDP.
        trace: the first measured pass; None before.
    """

    def __init__(
        self,
        loop: Loop,
        recording: Recording,
        guard: Guard,
        turn: Lock,
        *,
        whole: nn.Module,
        outer: nn.Module,
        path: str,
    ) -> None:
        self.path = path
        self.model = whole.get_submodule(path)
        self.trace: Trace | None = None
        self._loop, self._recording, self._guard, self._turn = loop, recording, guard, turn
        self._whole, self._outer = whole, outer
        # hooks would change the compiled code, also that of a part
        self._needs_side_pass = is_compiled(outer) or any(hasattr(each, "_orig_mod") for each in self.model.modules())
        self._is_side_pass = False
        self._side_outputs: list[Tensor] = []
        self._arguments: tuple[tuple[Any, ...], Mapping[str, Any]] = ((), {})  # of the pass that begins
        self._heard: Listening | None = None

    def attach(self, stack: ExitStack) -> None:
        """Register the hooks, which the stack removes."""
        stack.callback(self._outer.register_forward_pre_hook(Hook(self._called), with_kwargs=True).remove)
        if self._needs_side_pass:
            stack.callback(self._outer.register_forward_hook(Hook(self._on_output)).remove)
        else:
            heard = listening(self._whole, self, guard=self._guard, part=self.path, turn=self._turn)
            self._heard = stack.enter_context(heard)
        stack.callback(self._side_outputs.clear)

    def begin_part(self, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType) -> None:
        """Begin the pass in whose pre-hook the hooks were registered, which that call does not notice."""
        self._called(self.model, args, kwargs)
        if self._heard is not None:
            self._heard.begin(self.model, args, kwargs, frame)

    def _called(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._is_side_pass or self._turn.locked():
            return
        self._loop.was_called(self)
        if why_not_now():
            return
        if not self._needs_side_pass and self.model.training:
            self._arguments = args, kwargs
        elif self._loop.wants(self, args, kwargs):
            self._run_side_pass(args, kwargs)

    def inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[Tensor], int]:
        """Return the tensors among the arguments, and the number of examples."""
        with self._guard.around(("inputs", self.path), self.path, "the inputs"):
            tensors = [each for each in tensors_within([args, kwargs]) if each.dim() > 0]
            packed = next((each for each in args if isinstance(each, PackedSequence)), None)
            rows = shape_of(tensors[0])[0] if tensors else 1
            return tensors, rows if packed is None else int(packed.batch_sizes[0])
        return [], 1

    def wants(self, forward: int) -> bool:
        """Return whether this pass is measured."""
        (args, kwargs), self._arguments = self._arguments, ((), {})
        return self.model.training and not self._is_side_pass and self._loop.wants(self, args, kwargs)

    def before(self, site: Site, z: Tensor) -> None:
        """Measure the input of an activation."""
        self._recording.add(site, z)
        if self._loop.look is not None:
            self._loop.look.input(site, z)

    def after(self, site: Site, y: Tensor) -> None:
        """Measure the output of an activation, and its gradient."""
        self._recording.hook(site, y)
        if self._loop.look is not None and (handle := self._loop.look.output(site, y)) is not None:
            self._recording.until_the_end_of_the_step(handle)

    def traced(self, trace: Trace) -> None:
        """Take over the trace of a pass."""
        self.trace = trace
        self._loop.measures()
        self._recording.learned(trace)

    def _run_side_pass(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Measure the same pass of the uncompiled model, since hooks would change the compiled one."""
        self._is_side_pass = True
        self._side_outputs.clear()
        side = _SidePass(self, self._side_outputs)
        try:
            inner = unwrapped_part(self.model)
            path = self.path + "._orig_mod" * (inner is not self.model)
            heard = listening(self._whole, side, known=self.trace, guard=self._guard, part=path.strip("."))
            with undisturbed(self._whole), uncompiled(), heard:
                output = inner(*args, **kwargs)
            self._loop.measures()
            self._side_outputs.insert(0, _only_tensor(output))
        except Exception as error:
            self._guard.failed(("side pass", self.path), self.path, "the uncompiled pass", error)
            self._side_outputs.clear()
        finally:
            self._is_side_pass = False

    def _on_output(self, module: nn.Module, args: object, output: Any) -> None:
        """Backpropagate the gradient of the compiled model's output through the side pass as well."""
        real = _only_tensor(output)
        if len(self._side_outputs) < 2 or not real.requires_grad:
            self._side_outputs.clear()
            return
        side, *places = self._side_outputs
        self._side_outputs.clear()

        def carried(gradient: Tensor) -> None:
            with self._guard.around(("gradient", self.path), self.path, "the gradients"):
                torch.autograd.grad(side, places, gradient, allow_unused=True)

        self._recording.until_the_end_of_the_step(real.register_hook(carried))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types


@final
class _SidePass:
    """Listens to the pass that is run in addition."""

    def __init__(self, calls: Calls, outputs: list[Tensor]) -> None:
        self._calls, self._outputs = calls, outputs
        self.before, self.traced = calls.before, calls.traced

    def wants(self, forward: int) -> bool:
        return True

    def after(self, site: Site, y: Tensor) -> None:
        self._calls.after(site, y)
        if not is_in_transform(y) and y.requires_grad:
            self._outputs.append(y)


def unwrapped_part(module: nn.Module) -> nn.Module:
    """Return the module without the wrapper of `torch.compile`."""
    inner = getattr(module, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else module


def parts_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts that a loop may call in place of the model: those with weights, and activations.

    A loss that belongs to the model has no weights. A hook on a transformer layer, or inside it, would switch off its
    fused path in evaluation mode.
    """
    closed: list[str] = []
    for path, module in model.named_modules():
        if not path or isinstance(module, nn.ModuleList | nn.ModuleDict) or path.startswith(tuple(closed)):
            continue
        is_activation = type(module).__module__.startswith(("torch.nn.modules.activation", "actlab.nn"))
        has_weights = next(module.parameters(), None) is not None
        if isinstance(module, nn.TransformerEncoderLayer | torch.jit.ScriptModule):
            closed.append(path + ".")
        elif is_activation or has_weights:
            yield path, module
        else:
            closed.append(path + ".")


def compiled_wrapper_of(model: nn.Module) -> nn.Module | None:
    """Return the one result of `torch.compile(model)`; None if there is none, or several."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    if dynamo is None:
        return None
    kind = dynamo.OptimizedModule
    found = [each for each in gc.get_objects() if type(each) is kind and each._orig_mod is model]
    return found[0] if len(found) == 1 else None


def _only_tensor(output: Any) -> Tensor:
    """Return the first tensor of an output that requires a gradient, or else an empty one."""
    found = [each for each in tensors_in([output]) if each.requires_grad]
    return found[0] if found else torch.empty(0)
