"""Measure the activations of a model in a training loop that exists already."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Any, Self, SupportsFloat, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from actlab.diagnosis.report import Report
from actlab.diagnosis.unwrapping import is_compiled
from actlab.diagnosis.watched_calls import Calls, compiled_wrapper_of, parts_of
from actlab.errors import BadInput
from actlab.rules.registry import run_findings, validate
from actlab.sites.listening import Hook
from actlab.sites.site import Unseen
from actlab.sites.trace.guard import Guard
from actlab.sites.trace.readable import why_not_now
from actlab.sites.trace.run import unwrapped
from actlab.sites.trace.trace import Trace
from actlab.telemetry.close_look import CloseLook, MeasuredStep
from actlab.telemetry.merge import gathered
from actlab.telemetry.quantities import ParameterQuantities, Quantities, of_distinct
from actlab.telemetry.recording import Recording
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
        self._scaler, self._sinks, self._settings = scaler, list(sinks), settings
        is_compiled(model)  # refuses a model that is compiled in place
        self._guard, self._turn = Guard(), Lock()
        self._recording = Recording(settings)
        self._updates = Updates(self._model)
        self._losses: list[tuple[int, Tensor | float]] = []
        self._stack, self._scouts = ExitStack(), ExitStack()
        self._calls: list[Calls] = []  # the model itself, then the parts that the loop calls in its place
        self._steps = self._measured = 0
        self._is_measuring = self._is_stepped = self._user_ends_steps = False
        self._scale: Tensor | float | None = None
        self._is_called = self._was_called = self._has_looked = False
        self.look: CloseLook | None = None
        self._during: AbstractContextManager[object] = nullcontext()

    def __enter__(self) -> Self:
        refuse_watched(self._outer, self._model)
        refuse_lazy(self._model)
        with ExitStack() as stack:
            stack.enter_context(self._during)
            for handle in listen_to_optimizers(self._before_step, self._after_step):
                stack.callback(handle.remove)
            self._attach(self._outer, "", stack)
            self._scouts = stack.enter_context(ExitStack())
            for path, part in parts_of(self._model):
                found = part.register_forward_pre_hook(Hook(partial(self._on_part, path)), with_kwargs=True)
                self._scouts.callback(found.remove)
            if isinstance(self._loss, nn.Module):
                stack.callback(self._loss.register_forward_hook(Hook(self._on_loss)).remove)
            self._stack = stack.pop_all()
        return self

    def _attach(self, outer: nn.Module, path: str, stack: ExitStack) -> Calls:
        """Measure the calls of a module from now on."""
        calls = Calls(self, self._recording, self._guard, self._turn, whole=self._model, outer=outer, path=path)
        calls.attach(stack)
        self._calls.append(calls)
        return calls

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._updates.drop()
        if kind is None:
            self._close(advance=self._is_stepped and not self._user_ends_steps)
        self._is_measuring = self._is_stepped = False  # an interrupted step is not counted
        self._recording.passes = 0
        self._recording.unhook()
        if self.look is not None:
            self.look.drop()

    def look_closely(
        self, receive: Callable[[MeasuredStep], None], *, during: AbstractContextManager[object] | None = None
    ) -> Self:
        """Pass on the distributions of every activation's input, output and gradient in each measured step.

        Args:
            receive: called at the end of a measured step, in the thread that trains; if it raises, a warning says so
                and it is not called again.
            during: entered and left together with the watch.
        """
        self.look = CloseLook(receive, self._settings)
        self._during = during or nullcontext()
        return self

    def traces(self) -> tuple[Trace, ...]:
        """Return the first measured pass of the model, or of each part that the loop calls."""
        return tuple(each.trace for each in self._calls if each.trace is not None)

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
            unseen=(
                *self._recording.unseen,
                *self._recording.opaque.values(),
                *self._between_parts(),
                *self._guard.unseen.values(),
            ),
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

    # called by the hooks on the model and its parts

    def was_called(self, calls: Calls) -> None:
        """Note that the loop calls the model, so that its parts are measured within."""
        self._was_called = True
        if not calls.path and not self._is_called:
            self._is_called = True
            self._scouts.close()

    def _on_part(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Measure a part from now on, since the loop calls it and not the model."""
        counts = self._evaluation or (module.training and torch.is_grad_enabled())
        known = any(path == each.path or path.startswith(f"{each.path}.") for each in self._calls[1:])
        if not counts or known or self._turn.locked() or why_not_now():
            return
        self._attach(module, path, self._stack).begin_part(args, kwargs, sys._getframe(3))

    def _between_parts(self) -> list[Unseen]:
        """Name what lies between the calls of parts."""
        parts = [each.path for each in self._calls[1:] if each.trace is not None and each.trace.sites]
        if self._is_called or not parts:
            return []
        names = ", ".join(parts[:3]) + ", ..." * (len(parts) > 3)
        why = f"the loop calls only its parts ({names}); activations between these calls are not measured"
        return [Unseen("", type(self._model).__name__, why)]

    def wants(self, calls: Calls, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether to measure the pass of a module that begins with these arguments."""
        recording = self._recording
        if not self._evaluation and not (calls.model.training and torch.is_grad_enabled()):
            return False
        if torch._C._current_graph_task_id() != -1 and recording.passes:
            return False  # a checkpoint computes again what was measured already
        self._close_if_stepped()
        recording.passes += 1
        recording.number += 1
        if self._steps % self._every:
            return False
        inputs, recording.examples = calls.inputs(args, kwargs)
        self._is_measuring = self._is_measuring or calls.trace is not None
        first = next((each for each in self._calls if each.trace is not None), calls)
        if calls is first:  # the next part gets what it computes of the same examples
            recording.shown.add(inputs, recording.examples)
        return True

    def measures(self) -> None:
        """Note that the current step is measured."""
        self._is_measuring = True

    # called by the hooks on optimizers and on the loss

    def _before_step(self, optimizer: Optimizer) -> None:
        with self._guard.around("updates", "", "the optimizer's updates"):
            if not self._is_measuring or "updates" in self._guard.unseen or not self._updates.concerns(optimizer):
                return
            scaler = self._scaler or _scaler_above(sys._getframe(1))
            self._scale = None if scaler is None else scaler._scale.detach().clone()
            self._updates.begin(optimizer)

    def _after_step(self, optimizer: Optimizer) -> None:
        with self._guard.around("updates", "", "the optimizer's updates"):
            if not self._updates.concerns(optimizer):
                return
            self._updates.end(self._steps)
        self._is_stepped = True
        if not self._has_looked:
            self._has_looked = True
            self._look_for_calls()

    def _look_for_calls(self) -> None:
        """Find out, after the first step, what the loop calls if it does not call the model; else warn once."""
        if (self._is_called and self._recording.number) or self._guard.unseen:
            return
        if any(each.trace is not None and each.trace.sites for each in self._calls):
            return
        wrapper = None if self._was_called else compiled_wrapper_of(self._model)
        if wrapper is not None:
            self._attach(wrapper, "", self._stack)
            return
        if self._is_called:
            why = "it ran only in evaluation mode or without autograd. Pass evaluation=True to measure such passes."
        elif self._was_called:
            parts = ", ".join(each.path for each in self._calls[1:])
            why = (
                f"the loop calls its parts {parts}, which hold no activation, and functions between them. Call the"
                " model itself, or watch a part that applies the activations."
            )
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
            with self._guard.around("step", "", "a step"):
                self._recording.close(self._steps, scale=self._scale)
            self._measured += 1
            if self._sinks:
                self._recording.add_up()
                self._tell_sinks(payload(self._recording, self._updates))
        step, was_measuring = self._steps, self._is_measuring
        self._is_measuring = self._is_stepped = False
        self._recording.passes = 0
        self._steps += advance
        if was_measuring and self.look is not None and self.look not in self._guard.unseen:
            with self._guard.around(self.look, "", "a close look"):
                self._end_look(self.look, step)

    def _end_look(self, look: CloseLook, step: int) -> None:
        loss = float(self._losses[-1][1]) if self._losses and self._losses[-1][0] == step else None
        scale = 1.0 if self._scale is None else float(self._scale)
        look.close(step, loss=loss, points=self._recording.latest(), scale=scale)

    def _tell_sinks(self, numbers: dict[str, Any]) -> None:
        """Call the sinks; one that raises is not called again."""
        for sink in tuple(self._sinks):
            try:
                sink(numbers, self._steps)
            except Exception as error:
                self._sinks.remove(sink)
                self._guard.failed(sink, "", "a sink", error)


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
    """Watch a model while it trains; `actlab.watch`, which can also show a live page, describes the arguments.

    Raises:
        BadInput: `every` is below 1, or the model is already watched or cannot be traced.
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise BadInput(f"every must be a positive integer; got {every!r}.")
    if loss is not None and not callable(loss):
        raise BadInput(f"the loss must be a function of outputs and targets; got {type(loss).__name__}.")
    return Watch(model, loss=loss, every=every, evaluation=evaluation, scaler=scaler, sinks=sinks,
                 settings=validate(settings or Settings()))  # fmt: skip


def refuse_watched(*models: nn.Module) -> None:
    """Raise `BadInput` if any model is already being watched."""
    for model in models:
        for hook in model._forward_pre_hooks.values():
            if isinstance(hook, Hook) and isinstance(getattr(hook.function, "__self__", None), Calls):
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


def _parameters(updates: Updates) -> tuple[ParameterQuantities, ...]:
    pairs: list[list[tuple[int, float]]] = [[] for _ in updates.names]
    for step, places, ratios in updates.rows:
        for at, ratio in zip(places, ratios.tolist(), strict=True):
            if 0 <= ratio < float("inf"):
                pairs[at].append((step, ratio))
    return tuple(ParameterQuantities(name, tuple(each)) for name, each in zip(updates.names, pairs, strict=True))
