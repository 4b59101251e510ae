"""A case to time: one activation of the same tensors in actlab, in PyTorch, compiled by it, and in JAX."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from actlab.catalog.frameworks import FRAMEWORKS
from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.kernels.elementwise.strategies import Mode
from actlab.measure.implementations import TIMED, AnyActivation, Implementation, need_compiler, ours

Direction = Literal["forward", "backward", "both", "out"]
Call = Callable[[], object]
Calls = Mapping[Direction, Call]

JAX = "jax"
CONTENDERS = (*TIMED, JAX)

# The row length of an activation along an axis, or the next lower number that divides the tensor.
ROW = 1000
# This many random numbers are drawn and repeated: drawing them all would take longer than timing does.
TILE = 1 << 20


@dataclass(frozen=True)
class Given:
    """The arguments of every contender of a case: one input, or value and gate, and the incoming gradient."""

    inputs: tuple[Tensor, ...]
    dy: Tensor

    def packed(self) -> Given:
        """Pack value and gate side by side in one tensor."""
        return Given((torch.cat(self.inputs, -1),), self.dy)


@dataclass(frozen=True)
class Case:
    """One activation of one tensor.

    Attributes:
        name: the name that the user typed.
        activation: the activation.
        dtype: PyTorch's name of it.
        elements: the size of the output.
        threads: how many PyTorch, and so actlab, may use.
        directions: what is timed. `out` is forward into an existing output, which only actlab offers.
        modes: those of actlab's kernels.
        against: the other contenders, of `CONTENDERS`.
    """

    name: str
    activation: AnyActivation
    dtype: str
    elements: int
    threads: int
    directions: tuple[Direction, ...] = ("forward", "backward", "both")
    modes: tuple[Mode, ...] = ("accurate",)
    against: tuple[str, ...] = ("eager",)

    def given(self) -> Given:
        """Draw standard normal numbers, about as pre-activations and gradients are, the same each time."""
        shape = (self.elements,) if isinstance(self.activation, Activation) else _rows(self.elements)
        *inputs, dy = (_noise(shape, self.dtype, seed=seed) for seed in range(len(self.activation.inputs) + 1))
        return Given(tuple(inputs), dy)


@dataclass(frozen=True)
class Contender:
    """An implementation bound to the tensors of a case.

    Attributes:
        name, mode: of the implementation.
        calls: what to call in each direction.
    """

    name: str
    mode: str
    calls: Calls


def contenders(case: Case, given: Given) -> list[Contender]:
    """Bind all implementations of the case; PyTorch lacks some dtypes of some functions, JAX most functions."""
    found = [_bound(ours(case.activation, mode=mode), given, case.directions) for mode in case.modes]
    followed = [direction for direction in case.directions if direction != "out"]
    for name in case.against:
        if name == JAX:
            found.append(Contender(JAX, "", _jax(case, given)))
            continue
        other = TIMED[name](case.activation, given.dy.dtype)
        fitting = given.packed() if other.is_packed else given
        if _has_dtype(other, fitting):
            found.append(_bound(other, fitting, followed))
    return [contender for contender in found if contender.calls]


def _bound(implementation: Implementation, given: Given, directions: Sequence[Direction]) -> Contender:
    return Contender(implementation.name, implementation.mode, calls_of(implementation.function, given, directions))


def _has_dtype(implementation: Implementation, given: Given) -> bool:
    try:
        implementation.function(*given.inputs)
    except NotImplementedError:  # PyTorch's error if one of its functions lacks a dtype
        return False
    return True


def calls_of(function: Callable[..., Any], given: Given, directions: Sequence[Direction]) -> Calls:
    """Make the function of these tensors callable in every direction; backward runs repeatedly over one graph."""
    makers: Mapping[Direction, Callable[[], Call]] = {
        "forward": lambda: lambda: function(*given.inputs),
        "backward": lambda: _backward(function, given),
        "both": lambda: _both(function, given),
        "out": lambda: partial(function, *given.inputs, out=torch.empty_like(given.dy)),
    }
    return {direction: makers[direction]() for direction in directions}


def _backward(function: Callable[..., Any], given: Given) -> Call:
    learning = [x.detach().requires_grad_() for x in given.inputs]
    y = function(*learning)
    return lambda: torch.autograd.grad(y, learning, given.dy, retain_graph=True)


def _both(function: Callable[..., Any], given: Given) -> Call:
    learning = [x.detach().requires_grad_() for x in given.inputs]
    return lambda: torch.autograd.grad(function(*learning), learning, given.dy)


def _jax(case: Case, given: Given) -> Calls:
    jax: Any = import_module("jax")
    function = _in_jax(case.activation, jax)
    if function is None or case.threads != cores():  # JAX uses all of them
        return {}
    if len(given.inputs) > 1:
        given = given.packed()
    *inputs, dy = (jax.numpy.asarray(x.float().numpy(), dtype=case.dtype) for x in (*given.inputs, given.dy))
    _, pull = jax.vjp(function, *inputs)
    forward, backward = jax.jit(function), jax.jit(lambda pull, dy: pull(dy))
    both = jax.jit(_value_and_gradient(function, jax))
    calls: dict[Direction, Call] = {
        "forward": lambda: jax.block_until_ready(forward(*inputs)),
        "backward": lambda: jax.block_until_ready(backward(pull, dy)),
        "both": lambda: jax.block_until_ready(both(dy, *inputs)),
    }
    return {direction: call for direction, call in calls.items() if direction in case.directions}


def _value_and_gradient(function: Callable[..., Any], jax: Any) -> Callable[..., Any]:
    """Return both, because JAX would otherwise not compute the value."""

    def both(dy: Any, *inputs: Any) -> Any:
        y, pull = jax.vjp(function, *inputs)
        return y, pull(dy)

    return both


def _in_jax(act: AnyActivation, jax: Any) -> Callable[..., Any] | None:
    """Return the function of `jax.nn` that computes the same, if there is one."""
    if act.params != (CATALOG[act.name].params if act.name in CATALOG else ()):
        return None
    if act.name == "gelu":
        return partial(jax.nn.gelu, approximate=False)
    named = (theirs for theirs, own in FRAMEWORKS["jax"].items() if own == act.name and hasattr(jax.nn, theirs))
    return getattr(jax.nn, next(named, ""), None)


def refuse_absent(against: Sequence[str]) -> None:
    """Raise an error for a contender that is unknown or does not run here.

    Raises:
        BadInput: there is no such contender, JAX is not installed, or torch.compile does not work.
    """
    for name in against:
        if name not in CONTENDERS:
            raise BadInput(f"against must be among {', '.join(CONTENDERS)}; got '{name}'.")
    if JAX in against and find_spec(JAX) is None:
        raise BadInput("JAX is not installed, and actlab does not need it: pip install jax, or leave it out.")
    if "compile" in against:
        need_compiler(leave="'compile'")


def cores() -> int:
    """Count the processors that this process may use; all there are if the system does not say."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _noise(shape: tuple[int, ...], dtype: str, *, seed: int) -> Tensor:
    count = math.prod(shape)
    some = torch.randn(min(count, TILE), generator=torch.Generator().manual_seed(seed))
    return some.repeat(-(-count // TILE))[:count].to(getattr(torch, dtype)).reshape(shape)


def _rows(elements: int) -> tuple[int, int]:
    row = next(row for row in range(min(ROW, elements), 0, -1) if elements % row == 0)
    return elements // row, row
