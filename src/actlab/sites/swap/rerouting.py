"""Reroute calls of PyTorch to other activations, by a `forward` of one module instance."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from actlab.errors import BadInput
from actlab.sites.recognize.torch_ops import ALONE
from actlab.sites.site import Lines
from actlab.sites.swap.in_place import write_into
from actlab.sites.trace.call_stack import lines_within
from actlab.sites.trace.calls import is_in_place, name_of


@final
@dataclass(frozen=True)
class Turn:
    """How one call is rerouted.

    Attributes:
        slot: the application of an activation to which it belongs.
        takes: the index of the tensor argument to which the activation is applied; -1 if there is none.
        gives: the submodule that computes the result; empty for all calls but the last.
    """

    slot: int
    takes: int
    gives: str


Turns = Mapping[tuple[str, int], Turn]


@lru_cache(maxsize=256)
def functions_named(name: str) -> tuple[Callable[..., Any], ...]:
    """Return every function of PyTorch with this name, in all spellings."""
    homes = (functional, torch, Tensor, torch.special, torch._C._nn)
    found = [getattr(home, each) for home in homes for each in dir(home) if _is_named(home, each, name)]
    return tuple(dict.fromkeys([*found, *_operators_named(name)]))


def _operators_named(name: str) -> Iterator[Callable[..., Any]]:
    """Yield the operators with this name, as exported programs call them: `torch.ops.aten.relu.default`."""
    names = {each.removeprefix("aten::").partition(".")[0] for each in _all_operators()}
    for each in sorted(names):
        packet = getattr(torch.ops.aten, each, None)
        if packet is not None and name_of(packet) == name:
            yield packet
            yield from (getattr(packet, overload) for overload in packet.overloads())


@lru_cache(maxsize=1)
def _all_operators() -> tuple[str, ...]:
    return tuple(each for each in torch._C._dispatch_get_all_op_names() if each.startswith("aten::"))


def _is_named(home: object, attribute: str, name: str) -> bool:
    found = getattr(home, attribute, None)
    return callable(found) and hasattr(found, "__name__") and not isinstance(found, type) and name_of(found) == name


class Rerouting(TorchFunctionMode):
    """Reroute calls while one `forward` runs. Compiled code has no frames; there the index alone identifies calls."""

    def __init__(self, rerouted: Rerouted) -> None:
        super().__init__()
        self.rerouted = rerouted
        self.until: FrameType | None = None
        self.counts: dict[Any, int] = {}
        self.kept: dict[int, list[Any]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self.rerouted.names:
            return func(*args, **kwargs)
        name = self.rerouted.names[func]
        turn = self.by_count(name) if self.until is None else self.by_lines(name, self.until)
        if turn is None:
            return func(*args, **kwargs)
        read = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        kept = self.kept.setdefault(turn.slot, [])
        if turn.takes >= 0:
            kept.append(read[turn.takes])
        if name == "max":
            return func(*args, **kwargs)  # in a written-out softmax; it returns indices too
        if not turn.gives:
            return kept[0]  # only the last call's result is used
        del self.kept[turn.slot]
        return self.swapped_in(turn, kept, overwritten=self.overwritten(func, read, kwargs))

    def overwritten(self, func: Callable[..., Any], read: list[Tensor], kwargs: Mapping[str, Any]) -> Tensor | None:
        """Return the tensor into which the call writes its result; None if it makes a new one."""
        if isinstance(kwargs.get("out"), Tensor):
            found: Tensor = kwargs["out"]
            return found
        return read[0] if self.rerouted.writing[func] or kwargs.get("inplace") is True else None

    def by_count(self, name: str) -> Turn | None:
        """Return how to reroute the call, by its index among the calls of its function."""
        at = self.counts.get(name, 0)
        self.counts[name] = at + 1
        return self.rerouted.turn_counted(name, at)

    def by_lines(self, name: str, until: FrameType) -> Turn | None:
        """Return how to reroute the call, by its stack and its index among the calls with that stack."""
        lines = lines_within(until, depth=3)
        if lines is None:
            return None
        at = self.counts.get((name, lines), 0)
        self.counts[name, lines] = at + 1
        return self.rerouted.turn_at(name, lines, at)

    def swapped_in(self, turn: Turn, inputs: list[Any], *, overwritten: Tensor | None) -> Any:
        """Apply the activation to the inputs, in place if the call was."""
        module = self.rerouted.module._modules[turn.gives]
        assert module is not None
        return module(*inputs) if overwritten is None else write_into(overwritten, module, *inputs)


@final
class Rerouted:
    """The `forward` of one module, with some of its calls rerouted.

    Attributes:
        module: the module.
        turns: the rerouted calls, by function and index.
        own: the instance's own `forward` before the swap; None if it had only its class's.
        lines: for each rerouted function, the stack of every call in the pass that the swap was made by.
    """

    def __init__(
        self,
        module: nn.Module,
        turns: Turns,
        own: Callable[..., Any] | None = None,
        lines: Mapping[str, tuple[Lines, ...]] | None = None,
    ) -> None:
        self.module = module
        self.turns = turns
        self.own = own
        self.lines = lines or {}
        self.names = {each: name for name, _ in turns for each in functions_named(name)}
        self.writing = {each: is_in_place(each) for each in self.names}
        self._places: dict[tuple[str, Lines], tuple[int, ...]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        mode = Rerouting(self)
        if self.lines and not torch.compiler.is_compiling():
            mode.until = sys._getframe()
        with mode:
            result = self._forward(*args, **kwargs)
        if mode.until is not None:
            mode.until = None
            self._refuse_fewer(mode.counts)
        return result

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.own is not None:
            return self.own(*args, **kwargs)
        return type(self.module).forward(self.module, *args, **kwargs)

    def turn(self, name: str, at: int) -> Turn | None:
        """Return how to reroute the call of a function with this index."""
        return self.turns.get((name, at), self.turns.get((name, -1)))

    def turn_counted(self, name: str, at: int) -> Turn | None:
        """Return how to reroute a call by index; beyond the recorded calls, as all of them if they are alike.

        Raises:
            BadInput: it is an activation, and it cannot be known whether to replace it.
        """
        seen = len(self.lines.get(name, ()))
        if at < seen or seen == 0 or (name, -1) in self.turns:
            return self.turn(name, at)
        turns = [self.turn(name, each) for each in range(seen)]
        if name in ALONE and not _are_alike(turns):
            raise BadInput(self._unlike(f"{name} is called more than {seen} times"))
        return turns[-1] if _are_alike(turns) else None

    def turn_at(self, name: str, lines: Lines, at: int) -> Turn | None:
        """Return how to reroute a call by stack and index; beyond the recorded calls the order repeats.

        Raises:
            BadInput: it is an activation, and it cannot be known whether to replace it.
        """
        places = self._places_of(name, lines)
        if not places:
            if name in ALONE and self._are_all_turned(name):
                warnings.warn(
                    f"{name} at {_in_words(lines)} is not replaced: the pass by which {type(self.module).__name__} was"
                    " swapped did not reach it. Undo the swap and pass inputs that reach it.",
                    RuntimeWarning,
                    stacklevel=2,
                )
            return None
        turns = [self.turn(name, place) for place in places]
        if at < len(turns):
            return turns[at]
        if name in ALONE and not _are_alike(turns):
            raise BadInput(self._unlike(f"{name} is called more than {len(turns)} times at {_in_words(lines)}"))
        return turns[at % len(turns)]

    def _places_of(self, name: str, lines: Lines) -> tuple[int, ...]:
        """Return the indices of the function's calls with this stack."""
        found = self._places.get((name, lines))
        if found is None:
            seen = enumerate(self.lines.get(name, ()))
            found = self._places[name, lines] = tuple(at for at, each in seen if each[: len(lines)] == lines)
        return found

    def _are_all_turned(self, name: str) -> bool:
        return all(self.turn(name, at) is not None for at in range(len(self.lines.get(name, ()))))

    def _refuse_fewer(self, counts: Mapping[Any, int]) -> None:
        for (name, lines), count in counts.items():
            turns = [self.turn(name, place) for place in self._places_of(name, lines)]
            if count < len(turns) and name in ALONE and not _are_alike(turns):
                found = f"{name} is called {count} of {len(turns)} times at {_in_words(lines)}"
                raise BadInput(self._unlike(found))

    def _unlike(self, what: str) -> str:
        return (
            f"{type(self.module).__name__} makes other calls than when it was swapped, so which to replace is unknown:"
            f" {what}. Replace all activations of that place alike, or undo the swap and pass inputs that reach it."
        )

    @property
    def __code__(self) -> CodeType:
        own = type(self.module).forward if self.own is None else getattr(self.own, "__func__", self.own)
        found: CodeType = own.__code__  # torch.export reads argument names from it
        return found

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(type(self.module).forward.__get__(self.module) if self.own is None else self.own)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rerouted, (self.module, self.turns, self.own, self.lines)


@final
class SwappedRepr:
    """The `extra_repr` of a module some of whose calls are rerouted: a line for each replaced activation.

    Attributes:
        module: the module.
        lines: what was replaced by what.
        own: the `extra_repr` that the instance had before, if it was another than its class's.
    """

    def __init__(self, module: nn.Module, lines: tuple[str, ...], own: Callable[[], str] | None) -> None:
        self.module = module
        self.lines = lines
        self.own = own

    def __call__(self) -> str:
        own = type(self.module).extra_repr(self.module) if self.own is None else self.own()
        return "\n".join(filter(None, (own, *self.lines)))

    def __reduce__(self) -> tuple[Any, ...]:
        return SwappedRepr, (self.module, self.lines, self.own)


def extended(module: nn.Module, line: str) -> SwappedRepr:
    """Return the module's `extra_repr` with one more line."""
    before = module.__dict__.get("extra_repr")
    if isinstance(before, SwappedRepr):
        return SwappedRepr(module, (*before.lines, line), before.own)
    return SwappedRepr(module, (line,), before)


def joined(first: Rerouted, second: Rerouted) -> Rerouted:
    """Merge two swaps of one module; the pass of the second did not record the calls that the first reroutes.

    Raises:
        BadInput: that pass made other calls.
    """
    turns, lines = dict(first.turns), {**second.lines, **first.lines}
    for (name, at), turn in second.turns.items():
        kept = [place for place in range(len(first.lines.get(name, ()))) if first.turn(name, place) is None]
        if name in first.lines and len(kept) != len(second.lines.get(name, ())):
            raise BadInput("another swap of this module was made by a pass with other calls: undo it first")
        turns[name, kept[at] if name in first.lines and at >= 0 else at] = turn
    return Rerouted(first.module, turns, first.own, lines)


def _are_alike(turns: list[Turn | None]) -> bool:
    """Return whether all calls of a place are rerouted, or none."""
    return len({turn is None for turn in turns}) == 1


def _in_words(lines: Lines) -> str:
    """Return the innermost line, relative to the first of its function."""
    return f"line {lines[0][1]} of {lines[0][0]}" if lines else "no line of user code"
