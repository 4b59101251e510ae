"""Watching a network while somebody else trains it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, SupportsFloat, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from actlab.diagnosis.report import Report
from actlab.errors import BadInput
from actlab.rules.running import running_findings
from actlab.sites.listening import Listening, listening
from actlab.sites.site import Site
from actlab.sites.trace.calls import tensors_in
from actlab.sites.trace.preserve_state import undisturbed
from actlab.sites.trace.run import REPLICATED, is_kind_of, unwrapped
from actlab.sites.trace.trace import Trace
from actlab.telemetry.merge import gathered
from actlab.telemetry.quantities import ParameterQuantities, Quantities, of_distinct
from actlab.telemetry.recording import Recording, is_in_vmap
from actlab.telemetry.settings import Settings
from actlab.telemetry.sink_payload import told
from actlab.telemetry.updates import Updates, listen_to_optimizers

Sink = Callable[[dict[str, Any], int], None]

# Of so many steps one is measured: few enough that a loop hardly notices (docs/watch.md says what it costs).
EVERY = 20
_MOST_LOSSES = 4096


@final
class Watch:
    """A network that is being watched; made by `watch`, and a context manager."""

    def __init__(
        self,
        model: nn.Module,
        *,
        loss: Any,
        every: int,
        evaluation: bool,
        scaler: Any,
        sinks: Sequence[Sink],
        settings: Settings,
    ) -> None:
        self._outer, self._model = model, unwrapped(model)
        self._loss, self._every, self._evaluation = loss, every, evaluation
        self._scaler, self._sinks, self._settings = scaler, tuple(sinks), settings
        self._is_compiled = _is_compiled(model)
        self._recording = Recording(settings)
        self._updates = Updates(self._model)
        self._losses: list[tuple[int, Tensor | float]] = []
        self._trace: Trace | None = None
        self._stack = ExitStack()
        self._steps = self._measured = 0
        self._is_measuring = self._is_stepped = self._is_told = self._is_beside = False
        self._side_outputs: list[Tensor] = []
        self._inputs: list[Tensor] = []  # of the pass that begins
        self._scale: Tensor | float | None = None
        self._was_called = self._has_warned = False

    def __enter__(self) -> Self:
        refuse_watched(self._outer, self._model)
        refuse_lazy(self._model)
        with ExitStack() as stack:
            for handle in listen_to_optimizers(self._before_step, self._after_step):
                stack.callback(handle.remove)
            begin = self._outer.register_forward_pre_hook(self._given, with_kwargs=True)
            stack.callback(begin.remove)
            if self._is_compiled:
                stack.callback(self._outer.register_forward_hook(self._gave).remove)
            else:
                stack.enter_context(listening(self._model, self))
            if isinstance(self._loss, nn.Module):
                stack.callback(self._loss.register_forward_hook(self._lost).remove)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._updates.drop()
        self._side_outputs.clear()
        self._inputs = []
        if kind is None:
            self._close(advance=self._is_stepped and not self._is_told)
        self._is_measuring = self._is_stepped = False  # of a step that was broken off nothing is told
        self._recording.passes = 0
        self._recording.unhook()

    def step(self, loss: Tensor | float | None = None) -> None:
        """A training step is over; without a call, an optimizer's step says so.

        Args:
            loss: its loss; kept without its graph, and read only for a report.

        Raises:
            BadInput: it is no single number, or nothing that the model gave leads to it.
        """
        if loss is not None:
            self._note(loss)
        self._is_told = True
        self._close(advance=True)

    def quantities(self, *, across: bool = False) -> Quantities:
        """What was measured so far; numbers are read back here.

        Args:
            across: whether to merge with the other processes of `torch.distributed`, all of which must ask.
        """
        found = Quantities(
            steps=self._steps + (self._is_stepped or self._recording.passes > 0),
            measured=self._measured + self._is_measuring,
            sites=self._recording.quantities(),
            parameters=_parameters(self._updates),
            losses=tuple((step, float(loss)) for step, loss in self._losses),
            first_non_finite=self._recording.first_non_finite(),
            unseen=(*self._recording.unseen, *self._recording.opaque.values()),
            fingerprints=self._recording.shown.fingerprints(),
        )
        return of_distinct(gathered(found) if across else found)

    def report(self, *, across: bool = False) -> Report:
        """The findings that are drawn from what was measured so far.

        Args:
            across: as for `quantities`.
        """
        self._close_if_stepped()
        found = self.quantities(across=across)
        sites = tuple(each.site for each in found.sites)
        return Report(tuple(running_findings(found, self._settings)), found.unseen, sites, found)

    # what the model tells: a pass begins, and its activations

    def _given(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._is_beside or torch.compiler.is_compiling():
            return
        self._was_called = True
        self._inputs = [each for each in tensors_in([*args, *kwargs.values()]) if each.dim() > 0]
        self._recording.examples = self._inputs[0].shape[0] if self._inputs else 1
        if (self._is_compiled or not self._model.training) and self._wants():
            self._inputs = []
            self._run_beside(args, kwargs)

    def wants(self, forward: int) -> bool:
        """Return whether this pass is measured."""
        if self._is_beside:
            return True
        wanted = self._model.training and self._wants()
        self._inputs = []
        return wanted

    def _wants(self) -> bool:
        recording = self._recording
        if not self._evaluation and not (self._model.training and torch.is_grad_enabled()):
            return False
        if torch._C._current_graph_task_id() != -1 and recording.passes:
            return False  # a checkpoint computes again what was measured already
        self._close_if_stepped()
        wanted = self._steps % self._every == 0
        recording.passes += 1
        recording.number += 1
        self._is_measuring = self._is_measuring or (wanted and self._trace is not None)
        if wanted:
            recording.shown.add(self._inputs, recording.examples)
        return wanted

    def before(self, site: Site, z: Tensor) -> None:
        """An activation is about to be applied."""
        self._recording.add(site, z)

    def after(self, site: Site, y: Tensor) -> None:
        """It was applied."""
        self._recording.hook(site, y)
        if self._is_beside and not is_in_vmap(y) and y.requires_grad:
            self._side_outputs.append(y)

    def traced(self, trace: Trace) -> None:
        """A pass was followed from end to end."""
        self._trace = trace
        self._is_measuring = True
        self._recording.learned(trace)

    def _run_beside(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The same pass once more, beside the model's own, which nobody may listen to."""
        self._is_beside = True
        self._side_outputs.clear()
        try:
            with undisturbed(self._model), listening(self._model, self, known=self._trace):
                output = self._model(*args, **kwargs)
        finally:
            self._is_beside = False
        self._is_measuring = True
        self._side_outputs.insert(0, _only_tensor(output))

    def _gave(self, module: nn.Module, args: object, output: Any) -> None:
        """What the compiled model gave: its gradient is carried through the pass beside it."""
        real = _only_tensor(output)
        if len(self._side_outputs) < 2 or not real.requires_grad:
            self._side_outputs.clear()
            return
        side, *places = self._side_outputs
        self._side_outputs = []

        def carried(gradient: Tensor) -> None:
            torch.autograd.grad(side, places, gradient, allow_unused=True)

        self._recording._handles.append(real.register_hook(carried))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    # what optimizers and losses tell

    def _before_step(self, optimizer: Optimizer) -> None:
        if not self._updates.concerns(optimizer) or not self._is_measuring:
            return
        scaler = self._scaler or _scaler_above(sys._getframe(1))
        self._scale = None if scaler is None else scaler._scale.detach().clone()
        self._updates.begin(optimizer)

    def _after_step(self, optimizer: Optimizer) -> None:
        if self._updates.concerns(optimizer):
            self._updates.end(self._steps)
            self._is_stepped = True
            self._warn_if_nothing_counts()

    def _warn_if_nothing_counts(self) -> None:
        """Warn once if an optimizer stepped before any forward pass that counts."""
        if self._recording.number or self._has_warned:
            return
        self._has_warned = True
        if self._was_called:
            why = "it ran only in evaluation mode or without autograd. Pass evaluation=True to measure such passes."
        else:
            part = next((name for name, _ in self._model.named_children() if name.isidentifier()), "part")
            why = (
                "an optimizer stepped before it was called. Watch the module that the training step calls, such as"
                f" the result of torch.compile or a part, watch(model.{part}); in Lightning,"
                f" ActivationWatch(part='{part}')."
            )
        warnings.warn(f"watch measures nothing of this {type(self._model).__name__}: {why}", UserWarning, stacklevel=2)

    def _lost(self, module: nn.Module, args: object, value: Tensor) -> None:
        if torch.is_grad_enabled() and value.numel() == 1:
            self._close_if_stepped()
            self._note(value)

    def _note(self, loss: Tensor | float) -> None:
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                raise BadInput(f"a step's loss is one number; got a tensor of shape {tuple(loss.shape)}.")
            no_gradient = self._recording.hooked and not self._recording.arrived and not self._updates.came
            if no_gradient and self._is_stepped:
                raise BadInput(
                    "the loss has no gradient by the model: an optimizer stepped, and none came to any activation. "
                    "Look for a detach() or no_grad() between them."
                )
            loss = loss.detach().clone()
        elif not isinstance(loss, SupportsFloat):
            raise BadInput(f"a step's loss is one number; got {loss!r}.")
        if self._losses and self._losses[-1][0] == self._steps:
            self._losses.pop()
        self._losses.append((self._steps, loss))
        if len(self._losses) > _MOST_LOSSES:
            self._losses = self._losses[::2]

    def _close_if_stepped(self) -> None:
        if self._is_stepped and not self._is_told:
            self._close(advance=True)

    def _close(self, *, advance: bool = False) -> None:
        """The step is over."""
        if self._is_measuring:
            self._recording.close(self._steps, scale=self._scale)
            self._measured += 1
            if self._sinks:
                self._recording.add_up()
                for sink in self._sinks:
                    sink(told(self._recording, self._updates), self._steps)
        self._is_measuring = self._is_stepped = False
        self._recording.passes = 0
        self._steps += advance


def watch(
    model: nn.Module,
    loss: Any = None,
    every: int = EVERY,
    *,
    evaluation: bool = False,
    scaler: Any = None,
    sinks: Sequence[Sink] = (),
    settings: Settings | None = None,
) -> Watch:
    """The model, watched while it trains: `with watch(model) as w:` around a loop, then `w.report()`.

    Args:
        model: called as it is in the loop; `torch.compile`'s and DDP's wrappers may be around it.
        loss: the loss module, whose value is then noted; a plain function cannot be listened to: use `step(loss)`.
        every: of how many training steps one is measured.
        evaluation: whether passes in evaluation mode or without autograd count too.
        scaler: the loss scaler, if it cannot be found because the optimizer's `step` is called without it.
        sinks: each is called with what was measured, by name, and the step's number.
        settings: thresholds.

    Raises:
        BadInput: `every` is below 1, the model is no module, is watched already, or cannot be looked into.
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise BadInput(f"every counts steps and is 1 at least; got {every!r}.")
    if loss is not None and not callable(loss):
        raise BadInput(f"a loss is a function of outputs and targets; got {type(loss).__name__}.")
    return Watch(model, loss=loss, every=every, evaluation=evaluation, scaler=scaler, sinks=sinks,
                 settings=settings or Settings())  # fmt: skip


def _is_compiled(model: nn.Module) -> bool:
    """Whether a wrapper of compiled code is around the model, on whatever level.

    Raises:
        BadInput: the model is compiled in place, where no hook is heard and no uncompiled model is left.
    """
    each: nn.Module | None = model
    found = False
    while isinstance(each, nn.Module):
        if getattr(each, "_compiled_call_impl", None) is not None:
            raise BadInput("the model is compiled in place by model.compile(); use torch.compile(model) instead.")
        inner = getattr(each, "_orig_mod", None)
        found = found or inner is not None
        around = inner is None and is_kind_of(each, REPLICATED)
        each = inner if isinstance(inner, nn.Module) else getattr(each, "module", None) if around else None
    return found


def refuse_watched(*models: nn.Module) -> None:
    """Nothing, where none of the models is watched.

    Raises:
        BadInput: one is.
    """
    for model in models:
        for hook in model._forward_pre_hooks.values():
            owner = getattr(hook, "__self__", None)
            if isinstance(owner, Watch) or (isinstance(owner, Listening) and isinstance(owner._listener, Watch)):
                raise BadInput(f"this {type(model).__name__} is already watched; leave that block first.")


def refuse_lazy(model: nn.Module) -> None:
    """Raise `BadInput` if a parameter has no shape yet."""
    lazy = next((name for name, value in model.named_parameters() if is_lazy(value)), None)
    if lazy is not None:
        raise BadInput(
            f"the model's parameter {lazy} has no shape yet (a lazy module); run the model on a batch first."
        )


def _scaler_above(frame: Any) -> Any:
    """The loss scaler that calls the optimizer, if one does."""
    for _ in range(12):
        if frame is None:
            return None
        # asking a frame for its locals leaves a copy of them in it, which keeps the user's own model alive
        is_scaler = frame.f_code.co_filename.endswith("grad_scaler.py")
        owner = frame.f_locals.get("self") if is_scaler else None
        if hasattr(owner, "unscale_") and isinstance(getattr(owner, "_scale", None), Tensor):
            return owner
        frame = frame.f_back
    return None


def _only_tensor(output: Any) -> Tensor:
    """The first tensor of an output that autograd follows; an empty one without any."""
    found = [each for each in tensors_in([output]) if each.requires_grad]
    return found[0] if found else torch.empty(0)


def _parameters(updates: Updates) -> tuple[ParameterQuantities, ...]:
    pairs: list[list[tuple[int, float]]] = [[] for _ in updates.names]
    for step, places, ratios in updates.rows:
        for at, ratio in zip(places, ratios.tolist(), strict=True):
            if 0 <= ratio < float("inf"):
                pairs[at].append((step, ratio))
    return tuple(ParameterQuantities(name, tuple(each)) for name, each in zip(updates.names, pairs, strict=True))
