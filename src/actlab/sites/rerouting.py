"""Calls of PyTorch that go to another activation: a `forward` of one instance, which copies, saves and compiles."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from actlab.sites.calls import is_in_place, name_of


@final
@dataclass(frozen=True)
class Turn:
    """What becomes of one call.

    Attributes:
        slot: which application of an activation it is part of.
        takes: which of its tensors the activation is applied to; -1 where none.
        gives: the submodule that stands for it; empty where the call is only looked at.
    """

    slot: int
    takes: int
    gives: str


Turns = Mapping[tuple[str, int], Turn]


@lru_cache(maxsize=256)
def functions_named(name: str) -> tuple[Callable[..., Any], ...]:
    """Every function of PyTorch that is called so, whatever its spelling."""
    homes = (functional, torch, Tensor, torch.special, torch._C._nn)
    found = [getattr(home, each) for home in homes for each in dir(home) if _is_named(home, each, name)]
    return tuple(dict.fromkeys(found))


def _is_named(home: object, attribute: str, name: str) -> bool:
    found = getattr(home, attribute, None)
    return callable(found) and hasattr(found, "__name__") and not isinstance(found, type) and name_of(found) == name


class Rerouting(TorchFunctionMode):
    """Turns calls while one `forward` runs; plain enough for the compiler to follow: it looks at no frames."""

    def __init__(
        self,
        owner: nn.Module,
        turns: Turns,
        names: Mapping[Callable[..., Any], str],
        writing: Mapping[Callable[..., Any], bool],
    ) -> None:
        super().__init__()
        self.owner, self.turns, self.names, self.writing = owner, turns, names, writing
        self.counts: dict[str, int] = {}
        self.kept: dict[int, list[Any]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self.names:
            return func(*args, **kwargs)
        name = self.names[func]
        at = self.counts.get(name, 0)
        self.counts[name] = at + 1
        turn = self.turns.get((name, at), self.turns.get((name, -1)))
        if turn is None:
            return func(*args, **kwargs)
        read = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        kept = self.kept.setdefault(turn.slot, [])
        if turn.takes >= 0:
            kept.append(read[turn.takes])
        if not turn.gives:
            return kept[0]  # the last call gives the result; of those before it only the input is of use
        del self.kept[turn.slot]
        overwrites = self.writing[func] or kwargs.get("inplace") is True
        return self.given(turn, kept, overwritten=read[0] if overwrites else None)

    def given(self, turn: Turn, inputs: list[Any], *, overwritten: Tensor | None) -> Any:
        """What the activation makes of the inputs, in place where the call was."""
        module = self.owner._modules[turn.gives]
        assert module is not None
        if overwritten is None:
            return module(*inputs)
        # what backward needs must not be overwritten
        return overwritten.copy_(module(*(each.clone() if each is overwritten else each for each in inputs)))


@final
class Rerouted:
    """The `forward` of one module with some of its calls turned.

    Attributes:
        module: the module.
        turns: what becomes of which call.
        own: the `forward` that this instance had before, where it was another than its class's; None otherwise.
    """

    def __init__(self, module: nn.Module, turns: Turns, own: Callable[..., Any] | None = None) -> None:
        self.module = module
        self.turns = turns
        self.own = own
        self.names = {each: name for name, _ in turns for each in functions_named(name)}
        self.writing = {each: is_in_place(each) for each in self.names}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with Rerouting(self.module, self.turns, self.names, self.writing):
            if self.own is not None:
                return self.own(*args, **kwargs)
            return type(self.module).forward(self.module, *args, **kwargs)

    @property
    def __code__(self) -> CodeType:
        own = type(self.module).forward if self.own is None else getattr(self.own, "__func__", self.own)
        found: CodeType = own.__code__  # the exporter reads argument names from it
        return found

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(type(self.module).forward.__get__(self.module) if self.own is None else self.own)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rerouted, (self.module, self.turns, self.own)
