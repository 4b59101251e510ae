"""Report the activations of a model to a listener while the user's code runs the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from actlab.sites.site import Site
from actlab.sites.trace.calls import name_of, named_arguments, tensors_in
from actlab.sites.trace.recorder import Recorder
from actlab.sites.trace.run import has_lazy_parts
from actlab.sites.trace.source_location import places_of, spot
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

    def __init__(self, model: nn.Module, listener: Listener, *, known: Trace | None = None) -> None:
        super().__init__()
        self.trace = known
        self._listener = listener
        self._model = model
        self._paths = places_of(model)
        self._starts: Mapping[Key, list[tuple[int, int]]] = {}
        self._ends: Mapping[Key, list[tuple[int, int]]] = {}
        self._takes: Mapping[tuple[str, str, int, str, int], int] = {}
        self._functions: frozenset[str] = frozenset()
        self._passed: set[Callable[..., Any]] = set()  # of no interest
        self._followed: frozenset[Key] = frozenset()
        self._seen: dict[Key, int] = {}
        self._forwards = 0
        self.left_alone = 0
        self._fused = [module for module in model.modules() if isinstance(module, _FUSED)]
        self._follower = FormulaFollower()
        self._running: list[tuple[FrameType, TorchFunctionMode | None]] = []
        if known is not None:
            self._learn(known)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in self._passed:
            return func(*args, **kwargs) if kwargs else func(*args)
        kwargs = kwargs or {}
        name = "activation" if (getattr(func, "__module__", None) or "").startswith("actlab.nn.") else name_of(func)
        if name not in self._functions:
            self._passed.add(func)
            return func(*args, **kwargs)
        starting, takes, ending = self._sites(func, name, args, kwargs)
        if starting is not None:
            z = _input(args, kwargs, takes)
            if z is not None:
                self._listener.before(starting, z)
        result = func(*args, **kwargs)
        if ending is not None and isinstance(result, Tensor):
            self._listener.after(ending, result)
        return result

    def _sites(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Site | None, int, Site | None]:
        """Return the sites that this call begins and ends, and the index of the input of the first."""
        path, _, file, line, _ = spot(self._paths, depth=3)
        key = (path, file, line, name)
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
        self._functions = frozenset(key[3] for key in (*starts, *ends)) | _ALWAYS

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Start a forward pass."""
        if torch.compiler.is_compiling():
            return  # compiled code calls no hook of ours
        frame = sys._getframe(1)
        self._drop_stale(frame)
        wanted = not self._running and self._listener.wants(self._forwards)
        self._forwards += 1
        if wanted and self._may_run_fused():
            self.left_alone += 1
            wanted = False
        if wanted and self.trace is None and has_lazy_parts(self._model):
            wanted = False  # the lazy modules take their shapes in this pass
        if not wanted:
            self._running.append((frame, None))
            return
        mode: TorchFunctionMode = self if self.trace is not None else self._recorder(args, kwargs)
        self._seen.clear()
        mode.__enter__()  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
        self._running.append((frame, mode))

    def _recorder(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recorder:
        self._follower = FormulaFollower()
        recorder = Recorder(self._model, follower=self._follower, keeps=True)
        recorder.given(tensors_in([*args, kwargs]), "input")
        return recorder

    def stop(self) -> None:
        """End the passes that Ctrl-C has interrupted, for which no hook is called."""
        while self._running:
            _, mode = self._running.pop()
            if mode is not None:
                mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    def _drop_stale(self, frame: FrameType) -> None:
        """End interrupted passes, but not those of a model that calls itself."""
        if self._running and not _is_within(frame, self._running[-1][0]):
            self.stop()

    def _may_run_fused(self) -> bool:
        return not torch.is_grad_enabled() and any(not module.training for module in self._fused)

    def end(self, module: object, args: object, output: object) -> None:
        """End the forward pass, also one that raised."""
        if torch.compiler.is_compiling():
            return
        if not self._running:  # the listener raised before the pass began
            return
        _, mode = self._running.pop()
        if mode is None:
            return
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # likewise
        if isinstance(mode, Recorder) and output is not None:  # a pass that raised has no output
            outputs = [mode.number(each) for each in tensors_in([output])]
            bare = mode.trace(outputs=outputs, loss=None)
            trace = with_sites(bare, self._follower, self._model)
            self._learn(trace)
            self._listener.traced(trace)
            _tell_again(self._listener, mode, trace)


@contextmanager
def listening(model: nn.Module, listener: Listener, *, known: Trace | None = None) -> Iterator[Listening]:
    """Report the activations of every forward pass of `model` within the block.

    A pass that is not wanted costs one call. All hooks are removed at the end.

    Args:
        model: the model that the block calls (`model(x)`); calls of a part of it are not reported.
        listener: receives the activations.
        known: a recorded forward pass; without it the first wanted pass is recorded.
    """
    mode = Listening(model, listener, known=known)
    handles = (
        model.register_forward_pre_hook(mode.begin, with_kwargs=True),
        model.register_forward_hook(mode.end, always_call=True),
    )
    try:
        yield mode
    finally:
        mode.stop()
        for handle in handles:
            handle.remove()


def _tell_again(listener: Listener, recorder: Recorder, trace: Trace) -> None:
    """Report the activations of a recorded pass from the tensors that it left."""
    for steps, at in groups(trace):
        first, last = trace.steps[steps[0]], trace.steps[steps[-1]]
        z = recorder.kept(trace.source(first))
        y = recorder.kept(last.outputs[0])
        if z is not None:
            listener.before(trace.sites[at], z)
        if z is not None and y is not None:
            listener.after(trace.sites[at], y)


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
