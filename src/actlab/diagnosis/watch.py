"""Measure the activations of a model in a training loop that exists already."""

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
from actlab.rules.registry import run_findings, validate
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
from actlab.telemetry.sink_payload import payload
from actlab.telemetry.updates import Updates, listen_to_optimizers

Sink = Callable[[dict[str, Any], int], None]

# One step in so many is measured; docs/watch.md says what that costs.
EVERY = 20
_MOST_LOSSES = 4096


@final
class Watch:
    """A context manager that measures a model; returned by `watch`."""

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
        self._is_measuring = self._is_stepped = self._user_ends_steps = self._is_side_pass = False
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
            begin = self._outer.register_forward_pre_hook(self._on_call, with_kwargs=True)
            stack.callback(begin.remove)
            if self._is_compiled:
                stack.callback(self._outer.register_forward_hook(self._on_output).remove)
            else:
                stack.enter_context(listening(self._model, self))
            if isinstance(self._loss, nn.Module):
                stack.callback(self._loss.register_forward_hook(self._on_loss).remove)
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
            self._close(advance=self._is_stepped and not self._user_ends_steps)
        self._is_measuring = self._is_stepped = False  # an interrupted step is not counted
        self._recording.passes = 0
        self._recording.unhook()

    def step(self, loss: Tensor | float | None = None) -> None:
        """End a training step; without this call, the optimizer's step ends it.

        Args:
            loss: the loss of the step; stored without its graph, and read only for a report.

        Raises:
            BadInput: the loss is not a single number, or no gradient of it reaches the model.
        """
        if loss is not None:
            self._note(loss)
        self._user_ends_steps = True
        self._close(advance=True)

    def quantities(self, *, across: bool = False) -> Quantities:
        """Return the measurements so far; this copies them from the device.

        Args:
            across: merge with the other processes of `torch.distributed`, all of which must make this call.
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
            broken=self._updates.broken(),
        )
        return of_distinct(gathered(found) if across else found)

    def report(self, *, across: bool = False) -> Report:
        """Return the findings so far.

        Args:
            across: as for `quantities`.
        """
        self._close_if_stepped()
        found = self.quantities(across=across)
        sites = tuple(each.site for each in found.sites)
        return Report(run_findings(found, self._settings), found.unseen, sites, found)

    # called by the hooks on the model

    def _on_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._is_side_pass or torch.compiler.is_compiling():
            return
        self._was_called = True
        self._inputs = [each for each in tensors_in([*args, *kwargs.values()]) if each.dim() > 0]
        self._recording.examples = self._inputs[0].shape[0] if self._inputs else 1
        if (self._is_compiled or not self._model.training) and self._wants():
            self._inputs = []
            self._run_side_pass(args, kwargs)

    def wants(self, forward: int) -> bool:
        """Return whether this pass is measured."""
        if self._is_side_pass:
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
        """Measure the input of an activation."""
        self._recording.add(site, z)

    def after(self, site: Site, y: Tensor) -> None:
        """Measure the gradient of an activation's output."""
        self._recording.hook(site, y)
        if self._is_side_pass and not is_in_vmap(y) and y.requires_grad:
            self._side_outputs.append(y)

    def traced(self, trace: Trace) -> None:
        """Take over the trace of a pass."""
        self._trace = trace
        self._is_measuring = True
        self._recording.learned(trace)

    def _run_side_pass(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Measure the same pass of the uncompiled model, since hooks would change the compiled one."""
        self._is_side_pass = True
        self._side_outputs.clear()
        try:
            with undisturbed(self._model), listening(self._model, self, known=self._trace):
                output = self._model(*args, **kwargs)
        finally:
            self._is_side_pass = False
        self._is_measuring = True
        self._side_outputs.insert(0, _only_tensor(output))

    def _on_output(self, module: nn.Module, args: object, output: Any) -> None:
        """Backpropagate the gradient of the compiled model's output through the side pass as well."""
        real = _only_tensor(output)
        if len(self._side_outputs) < 2 or not real.requires_grad:
            self._side_outputs.clear()
            return
        side, *places = self._side_outputs
        self._side_outputs = []

        def carried(gradient: Tensor) -> None:
            torch.autograd.grad(side, places, gradient, allow_unused=True)

        self._recording._handles.append(real.register_hook(carried))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    # called by the hooks on optimizers and on the loss

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

    def _on_loss(self, module: nn.Module, args: object, value: Tensor) -> None:
        if torch.is_grad_enabled() and value.numel() == 1:
            self._close_if_stepped()
            self._note(value)

    def _note(self, loss: Tensor | float) -> None:
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                raise BadInput(f"the loss of a step must be one number; got a tensor of shape {tuple(loss.shape)}.")
            no_gradient = self._recording.hooked and not self._recording.arrived and not self._updates.came
            if no_gradient and self._is_stepped:
                raise BadInput(
                    "the loss: no gradient reached any activation before the optimizer step. Look for a detach() or"
                    " no_grad() between the activations and the loss."
                )
            loss = loss.detach().clone()
        elif not isinstance(loss, SupportsFloat):
            raise BadInput(f"the loss of a step must be one number; got {loss!r}.")
        if self._losses and self._losses[-1][0] == self._steps:
            self._losses.pop()
        self._losses.append((self._steps, loss))
        if len(self._losses) > _MOST_LOSSES:
            self._losses = self._losses[::2]

    def _close_if_stepped(self) -> None:
        if self._is_stepped and not self._user_ends_steps:
            self._close(advance=True)

    def _close(self, *, advance: bool = False) -> None:
        if self._is_measuring:
            self._recording.close(self._steps, scale=self._scale)
            self._measured += 1
            if self._sinks:
                self._recording.add_up()
                for sink in self._sinks:
                    sink(payload(self._recording, self._updates), self._steps)
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
    """Watch a model while it trains: `with watch(model) as w:` around a loop, then `w.report()`.

    Args:
        model: the module that the loop calls; wrapped by `torch.compile` or DDP if the loop calls the wrapper.
        loss: the loss module, whose value is then recorded; for a plain function, call `step(loss)` instead.
        every: measure one training step in so many.
        evaluation: count passes in evaluation mode or without autograd too.
        scaler: the loss scaler; only needed if it does not call the optimizer's `step` itself.
        sinks: called at every measured step with a dict of numbers and histograms, and the number of the step.
        settings: the thresholds.

    Raises:
        BadInput: `every` is below 1, or the model is already watched or cannot be traced.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model, every=1) as watched:
        ...     loss = model(torch.randn(16, 4)).square().mean()
        ...     loss.backward()
        ...     optimizer.step()
        >>> watched.quantities().measured
        1
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise BadInput(f"every must be a positive integer; got {every!r}.")
    if loss is not None and not callable(loss):
        raise BadInput(f"the loss must be a function of outputs and targets; got {type(loss).__name__}.")
    return Watch(model, loss=loss, every=every, evaluation=evaluation, scaler=scaler, sinks=sinks,
                 settings=validate(settings or Settings()))  # fmt: skip


def _is_compiled(model: nn.Module) -> bool:
    """Return whether the model is wrapped by `torch.compile`, at any level.

    Raises:
        BadInput: the model is compiled in place, so hooks are not called and no uncompiled model is left.
    """
    each: nn.Module | None = model
    found = False
    while isinstance(each, nn.Module):
        if getattr(each, "_compiled_call_impl", None) is not None:
            raise BadInput(
                "the model must not be compiled in place by model.compile(); use torch.compile(model) instead."
            )
        inner = getattr(each, "_orig_mod", None)
        found = found or inner is not None
        around = inner is None and is_kind_of(each, REPLICATED)
        each = inner if isinstance(inner, nn.Module) else getattr(each, "module", None) if around else None
    return found


def refuse_watched(*models: nn.Module) -> None:
    """Raise `BadInput` if any model is already being watched."""
    for model in models:
        for hook in model._forward_pre_hooks.values():
            owner = getattr(hook, "__self__", None)
            if isinstance(owner, Watch) or (isinstance(owner, Listening) and isinstance(owner._listener, Watch)):
                raise BadInput(f"this {type(model).__name__} is already being watched; leave that block first.")


def refuse_lazy(model: nn.Module) -> None:
    """Raise `BadInput` if a parameter has no shape yet."""
    lazy = next((name for name, value in model.named_parameters() if is_lazy(value)), None)
    if lazy is not None:
        raise BadInput(
            f"the model's parameter {lazy} has no shape yet (a lazy module); run the model on a batch first."
        )


def _scaler_above(frame: Any) -> Any:
    """Return the loss scaler that calls the optimizer, if one does."""
    for _ in range(12):
        if frame is None:
            return None
        # reading f_locals leaves a copy in the frame, which would keep the user's model alive
        is_scaler = frame.f_code.co_filename.endswith("grad_scaler.py")
        owner = frame.f_locals.get("self") if is_scaler else None
        if hasattr(owner, "unscale_") and isinstance(getattr(owner, "_scale", None), Tensor):
            return owner
        frame = frame.f_back
    return None


def _only_tensor(output: Any) -> Tensor:
    """Return the first tensor of an output that requires a gradient, or else an empty one."""
    found = [each for each in tensors_in([output]) if each.requires_grad]
    return found[0] if found else torch.empty(0)


def _parameters(updates: Updates) -> tuple[ParameterQuantities, ...]:
    pairs: list[list[tuple[int, float]]] = [[] for _ in updates.names]
    for step, places, ratios in updates.rows:
        for at, ratio in zip(places, ratios.tolist(), strict=True):
            if 0 <= ratio < float("inf"):
                pairs[at].append((step, ratio))
    return tuple(ParameterQuantities(name, tuple(each)) for name, each in zip(updates.names, pairs, strict=True))
