"""Listening to the activations of a model while it is used by somebody else: in a training loop, say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actlab.sites.recognize.opaque import unseen_in
from actlab.sites.recognize.sites import analysed
from actlab.sites.recognize.torch_ops import known as known_activation
from actlab.sites.site import Site
from actlab.sites.trace.calls import name_of, named_arguments, tensors_in
from actlab.sites.trace.recorder import Recorder
from actlab.sites.trace.source_location import places_of, spot
from actlab.sites.trace.trace import Step, Trace


class Listener(Protocol):
    """Who is told of the activations."""

    def wants(self, forward: int) -> bool:
        """Whether this forward pass of the model, counted from 0, is of interest."""

    def before(self, site: Site, z: Tensor) -> None:
        """An activation is about to be applied to `z`; of a gated unit, to its gate."""

    def after(self, site: Site, y: Tensor) -> None:
        """It was applied: `y` is what the model goes on with."""

    def traced(self, trace: Trace) -> None:
        """A forward pass was followed from end to end, as the first of interest is: of its activations it is told next.

        They have all been applied then: an input that something overwrote meanwhile is not told.
        """


_FUSED = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)

Key = tuple[str, str, int, str]


@final
class Listening(TorchFunctionMode):
    """Tells a listener of the activations of one forward pass after another.

    Attributes:
        trace: the forward pass that was followed from end to end; None before there was one.
        left_alone: how many passes were of interest and not followed: whoever follows PyTorch's functions switches off
            the fused path of its transformer layers in evaluation, which changes the last bits of the output.
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
        """The sites that this very call begins and ends, and which of its tensors the first is applied to."""
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
        self._followed = frozenset(counted)  # also the middle of a formula, which is no site of its own
        self._passed.clear()
        self._functions = frozenset(key[3] for key in (*starts, *ends)) | _ALWAYS

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward pass begins."""
        if torch.compiler.is_compiling():
            return  # compiled code calls no hook of ours
        frame = sys._getframe(1)
        self._drop_stale(frame)
        wanted = not self._running and self._listener.wants(self._forwards)
        self._forwards += 1
        if wanted and self._may_run_fused():
            self.left_alone += 1
            wanted = False
        if not wanted:
            self._running.append((frame, None))
            return
        mode: TorchFunctionMode = self if self.trace is not None else _recorder(self._model, args, kwargs)
        self._seen.clear()
        mode.__enter__()  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
        self._running.append((frame, mode))

    def stop(self) -> None:
        """Ends the passes that Ctrl-C has ended: no hook is told of that."""
        while self._running:
            _, mode = self._running.pop()
            if mode is not None:
                mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    def _drop_stale(self, frame: FrameType) -> None:
        """Ends passes that are over, and not those of a model that calls itself."""
        if self._running and not _is_within(frame, self._running[-1][0]):
            self.stop()

    def _may_run_fused(self) -> bool:
        return not torch.is_grad_enabled() and any(not module.training for module in self._fused)

    def end(self, module: object, args: object, output: object) -> None:
        """It is over, by whatever way."""
        if torch.compiler.is_compiling():
            return
        if not self._running:  # the listener raised before the pass began
            return
        _, mode = self._running.pop()
        if mode is None:
            return
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # likewise
        if isinstance(mode, Recorder) and output is not None:  # nothing comes out of a pass that raised
            outputs = [mode.number(each) for each in tensors_in([output])]
            trace = analysed(mode, outputs=outputs, loss=None, unseen=unseen_in(self._model))
            self._learn(trace)
            self._listener.traced(trace)
            _tell_again(self._listener, mode, trace)


@contextmanager
def listening(model: nn.Module, listener: Listener, *, known: Trace | None = None) -> Iterator[Listening]:
    """A block in which the listener is told of the activations of every forward pass of `model`.

    A pass in which nobody is interested costs a call; nothing stays behind on any way out.

    Args:
        model: the model, which is called by its own name (`model(x)`), not by a part of it.
        listener: who is told.
        known: a forward pass that was followed; without it the first one of interest is.
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


def _recorder(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recorder:
    recorder = Recorder(model, keeps=True)
    recorder.given(tensors_in([*args, kwargs]), "input")
    return recorder


def _tell_again(listener: Listener, recorder: Recorder, trace: Trace) -> None:
    """Tell of the activations of a pass that is over, from the tensors that it left."""
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


def groups(trace: Trace, *, with_product: bool = False) -> list[tuple[list[int], int]]:
    """The steps of every application of every site, with the site; of a gated unit, of its gate alone unless asked."""
    found: list[tuple[list[int], int]] = []
    open_at: dict[int, list[int]] = {}
    for step in trace.steps:
        at = trace.site_of.get(step.place)
        if at is None:
            continue
        group = open_at.get(at)
        if group is None or _restarts(trace, step, group):
            group = open_at[at] = []
            found.append((group, at))
        group.append(step.place)
    return found if with_product else [(_of_gate(trace, steps, at), at) for steps, at in found]


def _restarts(trace: Trace, step: Step, group: list[int]) -> bool:
    """Whether the step begins another application of a site that is applied several times."""
    made = {value for place in group for value in trace.steps[place].outputs}
    source = trace.steps[group[0]].inputs[:1]
    return made.isdisjoint(step.inputs) and set(source).isdisjoint(step.inputs)


def _of_gate(trace: Trace, steps: list[int], at: int) -> list[int]:
    return steps[:-1] if trace.sites[at].gate is not None and len(steps) > 1 else steps


def _at(places: Any, at: int) -> int | None:
    """The site of the `at`-th call of a line; of a call beyond those that were seen, if all were of one site."""
    for place, site in places:
        if place == at:
            return int(site)
    sites = {site for _, site in places}
    beyond = bool(places) and at > places[-1][0] and len(sites) == 1 and len(places) > 1
    return int(sites.pop()) if beyond else None


# What is told even where the pass that was followed did not come by.
_ALWAYS = frozenset(
    {"relu", "relu6", "leaky_relu", "sigmoid", "tanh", "elu", "selu", "silu", "gelu", "mish", "softplus", "hardswish"}
    | {"hardtanh", "hardsigmoid", "celu", "prelu", "softsign", "activation"}
)


def _unknown(
    func: Callable[..., Any],
    name: str,
    path: str,
    file: str,
    line: int,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Site | None:
    """A site that the followed pass did not come by: a branch not taken then."""
    arguments = named_arguments(func, args, kwargs)
    owner = getattr(next(iter(arguments.values()), None), "activation", None)
    act = owner if name == "activation" else known_activation(name, arguments)
    tensors = tensors_in(arguments)
    if act is None or not tensors or not tensors[0].is_floating_point():
        return None
    dtype = str(tensors[0].dtype).removeprefix("torch.")
    return Site(act.name, {}, path, name, file, line, -1, tuple(tensors[0].shape), dtype, act)


def _input(args: tuple[Any, ...], kwargs: Mapping[str, Any], takes: int) -> Tensor | None:
    """The tensor that the call acts on."""
    found = tensors_in([*args, *kwargs.values()])
    return found[takes] if takes < len(found) else None
