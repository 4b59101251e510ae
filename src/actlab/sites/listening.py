"""Report the activations of a model to a listener while the user's code runs the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import is_
from threading import Lock, local
from types import FrameType
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actlab.sites.recognize.formula_follower import FormulaFollower
from actlab.sites.recognize.routes import groups
from actlab.sites.recognize.sites import with_sites
from actlab.sites.recognize.torch_ops import POINTWISE
from actlab.sites.recognize.torch_ops import known as known_activation
from actlab.sites.site import Site, Unseen
from actlab.sites.trace.call_places import CallPlaces
from actlab.sites.trace.calls import name_of, named_arguments, tensors_in, tensors_within
from actlab.sites.trace.guard import Guard
from actlab.sites.trace.readable import why_not_now
from actlab.sites.trace.recorder import Recorder
from actlab.sites.trace.run import has_lazy_parts
from actlab.sites.trace.source_location import places_of
from actlab.sites.trace.trace import Trace


class Listener(Protocol):
    """What receives the activations."""

    def wants(self, forward: int) -> bool:
        """Return whether to report this forward pass of the model, counted from 0."""

    def before(self, site: Site, z: Tensor) -> None:
        """Receive the input of an activation before it is applied; of a gated unit, the gate."""

    def after(self, site: Site, y: Tensor) -> None:
        """Receive the output of an activation."""

    def traced(self, trace: Trace) -> None:
        """Receive the trace of a pass that was recorded as a whole, before its activations.

        They have all been applied by then; an input that was overwritten meanwhile is left out.
        """


_FUSED = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)

Key = tuple[str, str, int, str]


@final
class Listening(TorchFunctionMode):
    """Report the activations of each forward pass to a listener.

    Attributes:
        trace: the forward pass that was recorded as a whole; None before the first one.
        left_alone: the number of passes that were wanted and not reported: a function mode switches off the fused path
            of transformer layers in evaluation, which changes the last bits of the output.
    """

    def __init__(
        self, model: nn.Module, listener: Listener, *, known: Trace | None = None, guard: Guard, turn: Lock, path: str
    ) -> None:
        super().__init__()
        self.trace = known
        self._listener = listener
        self._model = model
        self._guard = guard
        self._name = path
        self._is_off = False
        self._turn = turn
        self._places = CallPlaces(places_of(model))
        self._starts: Mapping[Key, list[tuple[int, int]]] = {}
        self._ends: Mapping[Key, list[tuple[int, int]]] = {}
        self._takes: Mapping[tuple[str, str, int, str, int], int] = {}
        self._functions: frozenset[str] = frozenset()
        self._passed: set[Callable[..., Any]] = set()  # of no interest
        self._followed: frozenset[Key] = frozenset()
        self._seen: dict[Key, int] = {}
        self._met: set[Key] = set()  # beside those that are followed
        self._forwards = 0
        self.left_alone = 0
        self._fused = [module for module in model.modules() if isinstance(module, _FUSED)]
        self._follower = FormulaFollower()
        self._by_thread = local()
        if known is not None:
            self._learn(known)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if torch.compiler.is_compiling() or func in self._passed:  # in this order: dynamo reads no set of functions
            return func(*args, **kwargs) if kwargs else func(*args)
        kwargs = kwargs or {}
        name = "activation" if (getattr(func, "__module__", None) or "").startswith("actlab.nn.") else name_of(func)
        if name not in self._functions:
            self._passed.add(func)
            return func(*args, **kwargs)
        ending = self._before(func, name, args, kwargs, sys._getframe(1))
        result = func(*args, **kwargs)
        if ending is not None and isinstance(result, Tensor):
            self._heard(ending, self._listener.after, result)
        return result

    def _before(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], frame: FrameType
    ) -> Site | None:
        """Report the input of the call, if it begins an activation; return the site that it ends."""
        with self._guard.around((self._name, name), self._name, f"a call of {name}"):
            starting, takes, ending = self._sites(func, name, args, kwargs, frame)
            z = None if starting is None else _input(args, kwargs, takes)
            if starting is not None and z is not None:
                self._heard(starting, self._listener.before, z)
            return ending
        return None

    def _heard(self, site: Site, report: Callable[[Site, Tensor], None], tensor: Tensor) -> None:
        """Report a tensor; if that raises, do not report the site again."""
        key = (site.path, site.file, site.line, site.index, site.spelling)
        if key in self._guard.unseen:
            return
        with self._guard.around(key, site.path, site.spelling):
            report(site, tensor)

    def _sites(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], frame: FrameType
    ) -> tuple[Site | None, int, Site | None]:
        """Return the sites that this call begins and ends, and the index of the input of the first."""
        path, _, file, line, _ = self._places.of(frame).place
        key = (path, file, line, name)
        if key not in self._followed and key not in self._met:  # perhaps of a module that was added meanwhile
            self._places = CallPlaces(places_of(self._model))
            path = self._places.of(frame).place.path
            key = (path, file, line, name)
            self._met.add(key)
        at = self._seen.get(key, 0)
        self._seen[key] = at + 1
        assert self.trace is not None
        found = [_at(table.get(key, ()), at) for table in (self._starts, self._ends)]
        if key not in self._followed:
            site = _unknown(func, name, path, file, line, args, kwargs)
            return site, 0, site
        sites = [None if each is None else self.trace.sites[each] for each in found]
        return sites[0], self._takes.get((*key, at), 0), sites[1]

    def _learn(self, trace: Trace) -> None:
        self.trace = trace
        starts: dict[Key, list[tuple[int, int]]] = {}
        ends: dict[Key, list[tuple[int, int]]] = {}
        takes: dict[tuple[str, str, int, str, int], int] = {}
        counted: dict[Key, int] = {}
        parts = groups(trace)
        first, last = {steps[0]: at for steps, at in parts}, {steps[-1]: at for steps, at in parts}
        for step in trace.steps:
            key = (step.path, step.file, step.line, step.function)
            at = counted.get(key, 0)
            counted[key] = at + 1
            if step.place in first:
                takes[*key, at] = step.inputs.index(trace.source(step))
                starts.setdefault(key, []).append((at, first[step.place]))
            if step.place in last:
                ends.setdefault(key, []).append((at, last[step.place]))
        self._starts, self._ends, self._takes = starts, ends, takes
        self._followed = frozenset(counted)  # also the middle of a formula, which is not a site
        self._passed.clear()
        # lines that construct modules are looked for in the file that runs the model, as for the trace
        self._places = CallPlaces(places_of(self._model))
        self._functions = frozenset(key[3] for key in (*starts, *ends)) | _ALWAYS

    @property
    def _running(self) -> list[tuple[FrameType, TorchFunctionMode | None]]:
        """The passes of this thread that have begun, the outermost first."""
        found: list[tuple[FrameType, TorchFunctionMode | None]] | None = getattr(self._by_thread, "running", None)
        if found is None:
            found = self._by_thread.running = []
        return found

    def begin(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType | None = None
    ) -> None:
        """Start a forward pass, in the frame that makes it: by default that of the caller of the hook."""
        frame = frame or sys._getframe(2)
        self._drop_stale(frame)
        mode: TorchFunctionMode | None = None
        if not self._is_off and not self._running and self._turn.acquire(blocking=False):
            with self._guard.around((self._name, "pass"), self._name, type(module).__name__):
                mode = self._mode_of_pass(args, kwargs)
            if mode is None:
                self._turn.release()
        if mode is not None:
            mode.__enter__()  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
        self._running.append((frame, mode))

    def _mode_of_pass(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TorchFunctionMode | None:
        """Return what reports or records the pass that begins; None if it is not wanted."""
        why = why_not_now()
        if why:
            self._guard.name((self._name, why), Unseen(self._name, f"a pass of {type(self._model).__name__}", why))
            return None
        wanted = self._listener.wants(self._forwards)
        self._forwards += 1
        if wanted and self._may_run_fused():
            self.left_alone += 1
            return None
        if not wanted or (self.trace is None and has_lazy_parts(self._model)):
            return None  # lazy modules take their shapes in this pass
        self._seen.clear()
        return self if self.trace is not None else self._recorder(args, kwargs)

    def _recorder(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recorder:
        self._follower = FormulaFollower()
        recorder = Recorder(self._model, follower=self._follower, keeps=True, spares=self._guard.spares)
        recorder.given(tensors_within([*args, kwargs]), "input")
        return recorder

    def stop(self) -> None:
        """End the passes that Ctrl-C has interrupted, for which no hook is called."""
        while self._running:
            self._leave()

    def _leave(self) -> TorchFunctionMode | None:
        """End the innermost pass of this thread; return what reported or recorded it."""
        _, mode = self._running.pop()
        if mode is not None:
            self._places.forget()
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
            self._turn.release()
        return mode

    def _drop_stale(self, frame: FrameType) -> None:
        """End interrupted passes, but not those of a model that calls itself."""
        if self._running and not _is_within(frame, self._running[-1][0]):
            self.stop()

    def _may_run_fused(self) -> bool:
        return not torch.is_grad_enabled() and any(not module.training for module in self._fused)

    def end(self, module: object, args: object, output: object) -> None:
        """End the forward pass, also one that raised."""
        if not self._running:
            return
        mode = self._leave()
        if isinstance(mode, Recorder) and output is not None:  # a pass that raised has no output
            name = type(self._model).__name__
            with self._guard.around((self._name, "pass"), self._name, name):
                if mode.broken is not None:
                    raise mode.broken
                self._take_over(mode, output)
            self._is_off = self.trace is None

    def _take_over(self, recorder: Recorder, output: object) -> None:
        """Learn the sites of a recorded pass, and report it."""
        if isinstance(output, Generator):
            why = "its forward is a generator, which runs after the call; return a list instead"
            self._guard.name((self._name, "pass"), Unseen(self._name, type(self._model).__name__, why))
            return
        outputs = [recorder.number(each) for each in tensors_within(output)]
        trace = with_sites(recorder.trace(outputs=outputs, loss=None), self._follower, self._model)
        self._learn(trace)
        self._listener.traced(trace)
        for site, z, y in _kept(recorder, trace):
            self._heard(site, self._listener.before, z)
            if y is not None:
                self._heard(site, self._listener.after, y)


@final
class Hook:
    """A hook that does nothing in compiled code, in a pickle, and in a copy of the module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return None if torch.compiler.is_compiling() else self.function(*args)

    def __deepcopy__(self, memo: Any) -> Leftover:
        return Leftover()

    def __reduce__(self) -> Any:
        return _NOTHING.__reduce__()


@final
class Leftover:
    """The copy of a hook; the first call of the copied module removes it."""

    def __call__(self, module: nn.Module, *args: Any) -> None:
        hooks, before = module._forward_hooks, module._forward_pre_hooks
        for kept, of_kind in (
            (hooks, (module._forward_hooks_with_kwargs, module._forward_hooks_always_called)),
            (before, (module._forward_pre_hooks_with_kwargs,)),
        ):
            for key in [key for key, hook in kept.items() if isinstance(hook, Leftover)]:
                for each in (kept, *of_kind):
                    each.pop(key, None)


# Returns None whatever its arguments are, and can be unpickled where actlab is not installed.
_NOTHING: Callable[..., None] = partial(max, None, key=partial(is_, None))


@contextmanager
def listening(
    model: nn.Module,
    listener: Listener,
    *,
    known: Trace | None = None,
    guard: Guard | None = None,
    turn: Lock | None = None,
    part: str = "",
) -> Iterator[Listening]:
    """Report the activations of every forward pass of `model` within the block.

    A pass that is not wanted costs one call. All hooks are removed at the end.

    Args:
        model: the model that the block calls (`model(x)`); calls of a part of it are not reported.
        listener: receives the activations.
        known: a recorded forward pass; without it the first wanted pass is recorded.
        guard: names what cannot be reported, and lets the block go on; without it errors are raised.
        turn: held during a pass that is reported: those in other threads, or of other parts within it, are not.
        part: the dotted path of the part that the block calls instead of the model.
    """
    mode = Listening(model, listener, known=known, guard=guard or Guard(spares=False), turn=turn or Lock(), path=part)
    called = model.get_submodule(part)
    handles = (
        called.register_forward_pre_hook(Hook(mode.begin), with_kwargs=True),
        called.register_forward_hook(Hook(mode.end), always_call=True),
    )
    try:
        yield mode
    finally:
        mode.stop()
        for handle in handles:
            handle.remove()


def _kept(recorder: Recorder, trace: Trace) -> Iterator[tuple[Site, Tensor, Tensor | None]]:
    """Yield the activations of a recorded pass with the tensors that it left."""
    for steps, at in groups(trace):
        first, last = trace.steps[steps[0]], trace.steps[steps[-1]]
        z = recorder.kept(trace.source(first))
        if z is not None:
            yield trace.sites[at], z, recorder.kept(last.outputs[0])


def _is_within(frame: FrameType, outer: FrameType) -> bool:
    found: FrameType | None = frame
    while found is not None and found is not outer:
        found = found.f_back
    return found is not None


def _at(places: Any, at: int) -> int | None:
    """Return the site of the `at`-th call of a line; beyond the recorded calls, if all belong to one site."""
    for place, site in places:
        if place == at:
            return int(site)
    sites = {site for _, site in places}
    beyond = bool(places) and at > places[-1][0] and len(sites) == 1 and len(places) > 1
    return int(sites.pop()) if beyond else None


# Reported even if the recorded pass did not reach them.
_ALWAYS = POINTWISE | {"activation"}


def _unknown(
    func: Callable[..., Any],
    name: str,
    path: str,
    file: str,
    line: int,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Site | None:
    """Return a site that the recorded pass did not reach, such as one in a branch."""
    arguments = named_arguments(func, args, kwargs)
    owner = getattr(next(iter(arguments.values()), None), "activation", None)
    act = owner if name == "activation" else known_activation(name, arguments)
    tensors = tensors_in(arguments)
    if act is None or not tensors or not tensors[0].is_floating_point():
        return None
    dtype = str(tensors[0].dtype).removeprefix("torch.")
    return Site(act.name, {}, path, name, file, line, -1, tuple(tensors[0].shape), dtype, act)


def _input(args: tuple[Any, ...], kwargs: Mapping[str, Any], takes: int) -> Tensor | None:
    """Return the tensor on which the call acts."""
    found = tensors_in([*args, *kwargs.values()])
    return found[takes] if takes < len(found) else None
