"""Who is timed against whom: one activation of the same tensors in actlab, in PyTorch, compiled by it, and in JAX."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from actlab.catalog.frameworks import FRAMEWORKS
from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Input
from actlab.kernels.elementwise.native_reference import twin_of
from actlab.lower.to_torch import program
from actlab.nn.functions import functional

AnyActivation = Activation | AxisActivation
Mode = Literal["accurate", "fast"]
Direction = Literal["forward", "backward", "both", "out"]
Call = Callable[[], object]
Calls = Mapping[Direction, Call]

# An activation along an axis acts on rows of so many elements, or of the next lower number that divides the tensor.
ROW = 1000
# So many random numbers, over and over: drawing them all would take longer than timing does.
TILE = 1 << 20


@dataclass(frozen=True)
class Given:
    """What every contender of a case is given: one input, or value and gate, and the gradient that comes in."""

    inputs: tuple[Tensor, ...]
    dy: Tensor

    def packed(self) -> Given:
        """Value and gate side by side in one tensor."""
        return Given((torch.cat(self.inputs, -1),), self.dy)


@dataclass(frozen=True)
class Case:
    """One activation of one tensor: what every contender is given.

    Attributes:
        name: what the activation was asked for by.
        activation: the activation.
        dtype: PyTorch's name of it.
        elements: how many the output has.
        threads: how many PyTorch, and so actlab, may use.
        directions: what is timed. `out` is forward into an output that exists already, which actlab alone offers.
        modes: those of actlab's kernels.
        against: the other contenders, of `AGAINST`.
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
        """Standard normal numbers, the same each time, as a network's pre-activations and gradients about are."""
        shape = (self.elements,) if isinstance(self.activation, Activation) else _rows(self.elements)
        *inputs, dy = (_noise(shape, self.dtype, seed=seed) for seed in range(len(self.activation.inputs) + 1))
        return Given(tuple(inputs), dy)


@dataclass(frozen=True)
class Contender:
    """One implementation, ready to be called: `actlab`, `eager`, `compile` or `jax`, and for actlab's the mode."""

    name: str
    mode: str
    calls: Calls


def contenders(case: Case, given: Given) -> list[Contender]:
    """All of the case that exist here: PyTorch lacks some dtypes of some functions, JAX most functions."""
    found = [_ours(case, given, mode) for mode in case.modes]
    for name in case.against:
        calls = AGAINST[name](case, given)
        if calls:
            found.append(Contender(name, "", calls))
    return found


def _ours(case: Case, given: Given, mode: Mode) -> Contender:
    calls = calls_of(functional(case.activation, mode=mode), given, case.directions)
    return Contender("actlab" if mode == "accurate" else f"actlab-{mode}", mode, calls)


def calls_of(function: Callable[..., Any], given: Given, directions: Sequence[Direction]) -> Calls:
    """The function of these tensors, ready to be called in every direction; backward runs over one graph, kept."""
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


def eager(act: AnyActivation, dtype: torch.dtype) -> tuple[Callable[..., Tensor], bool]:
    """The activation as PyTorch alone has it, and whether that takes a gated unit's inputs packed in one tensor.

    That is the twin; where PyTorch lacks the function, the operations of its formula one after another, as one would
    write them, with PyTorch's own derivatives.
    """
    twin = twin_of(act, dtype=dtype)
    if twin is not None:
        along = {"dim": -1} if isinstance(act, AxisActivation) else {}
        return partial(twin, **along), len(act.inputs) > 1
    if isinstance(act, AxisActivation):
        along_axis: Callable[..., Any] = program((act.expression,), (Input("x"),)).function
        return lambda x: along_axis(x, -1), False
    composite: Callable[..., Any] = program((act.formula,), tuple(Input(name) for name in act.inputs)).function
    return composite, False


def has_own(act: AnyActivation) -> Literal["torch.nn", "torch", ""]:
    """Where PyTorch has the function itself: among the parts of a network, among its mathematics, or nowhere."""
    if act.twin is None:
        return ""
    name = act.twin.partition("(")[0].rpartition(".")[2]
    return "torch.nn" if hasattr(torch.nn.functional, name) else "torch"


def _eager(case: Case, given: Given) -> Calls:
    function, packed = eager(case.activation, given.dy.dtype)
    return _theirs(function, given.packed() if packed else given, case)


def _compiled(case: Case, given: Given) -> Calls:
    function, packed = eager(case.activation, given.dy.dtype)
    torch._dynamo.reset()  # else the ninth function would silently run as it is
    whole = torch.compile(lambda *tensors: function(*tensors), fullgraph=True, dynamic=False)
    return _theirs(whole, given.packed() if packed else given, case)


def _theirs(function: Callable[..., Any], given: Given, case: Case) -> Calls:
    try:
        function(*given.inputs)
    except NotImplementedError:  # PyTorch's word for a dtype that a function of its own lacks
        return {}
    return calls_of(function, given, [direction for direction in case.directions if direction != "out"])


def _jax(case: Case, given: Given) -> Calls:
    jax: Any = import_module("jax")
    function = _in_jax(case.activation, jax)
    if function is None or case.threads != cores():  # JAX takes all it finds
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
    """Both are given back, or JAX would leave the value out."""

    def both(dy: Any, *inputs: Any) -> Any:
        y, pull = jax.vjp(function, *inputs)
        return y, pull(dy)

    return both


def _in_jax(act: AnyActivation, jax: Any) -> Callable[..., Any] | None:
    """The function of `jax.nn` that computes the same, if there is one."""
    if act.params != (CATALOG[act.name].params if act.name in CATALOG else ()):
        return None
    if act.name == "gelu":
        return partial(jax.nn.gelu, approximate=False)
    named = (theirs for theirs, ours in FRAMEWORKS["jax"].items() if ours == act.name and hasattr(jax.nn, theirs))
    return getattr(jax.nn, next(named, ""), None)


# How each other contender is made ready; what it gives is empty where it lacks the function.
AGAINST: Mapping[str, Callable[[Case, Given], Calls]] = MappingProxyType(
    {"eager": _eager, "compile": _compiled, "jax": _jax}
)


def refuse_absent(against: Sequence[str]) -> None:
    """Nothing, where every contender can be had here.

    Raises:
        BadInput: there is no such contender, JAX is not installed, or PyTorch's compiler finds none for C++.
    """
    for name in against:
        if name not in AGAINST:
            raise BadInput(f"there is no contender '{name}'; choose among {', '.join(AGAINST)}.")
    if "jax" in against and find_spec("jax") is None:
        raise BadInput("JAX is not installed, and actlab does not need it: pip install jax, or leave it out.")
    if "compile" in against:
        _try_compiler()


def _try_compiler() -> None:
    from torch._dynamo.exc import TorchDynamoException

    try:
        torch.compile(lambda x: torch.sin(x) + 1, dynamic=False)(torch.ones(4))
    except TorchDynamoException as error:
        first = str(error).strip().splitlines()[0]
        raise BadInput(f"torch.compile does not work here ({first}); leave 'compile' out.") from error


def cores() -> int:
    """How many processors this process may use; where the system does not tell, how many there are."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _noise(shape: tuple[int, ...], dtype: str, *, seed: int) -> Tensor:
    count = math.prod(shape)
    some = torch.randn(min(count, TILE), generator=torch.Generator().manual_seed(seed))
    return some.repeat(-(-count // TILE))[:count].to(getattr(torch, dtype)).reshape(shape)


def _rows(elements: int) -> tuple[int, int]:
    row = next(row for row in range(min(ROW, elements), 0, -1) if elements % row == 0)
    return elements // row, row
