"""Which implementation runs for a tensor, and why."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import Any, final

from torch import Tensor

from actlab.catalog.index import get
from actlab.errors import BadInput, CannotLower, MissingExtra, NoKernels
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.kernels import gpu
from actlab.kernels.accepted import refuse_unfit
from actlab.kernels.elementwise import MEMORY, kernels_of
from actlab.kernels.launch import WORTH_A_TEAM
from actlab.kernels.machine import machine
from actlab.kernels.own_operator import own_operator
from actlab.kernels.pointwise import Shape
from actlab.kernels.recipes import Mode, recipe
from actlab.kernels.threads import layer, threads
from actlab.lower.arithmetic import Recipe


@final
@dataclass(frozen=True)
class Explanation:
    """Which implementation runs for a tensor.

    Attributes:
        implementation: `kernel` for machine code of the formula, `composite` for PyTorch's operations one by one,
            `operator` for the one operator that PyTorch has for it, `view` where the input itself is the result.
        forward, backward: how a kernel computes; nothing for the others.
        threads: how many work on it.
        layer: what spreads the work over threads.
        reason: why it is this implementation.
    """

    implementation: str
    forward: str
    backward: str
    threads: int
    layer: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The same, for `--json`."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        computes = f": forward {self.forward}; backward {self.backward}" if self.forward else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.implementation}{computes}. {threads}, {self.layer}. {self.reason}"


def explain(act: str | Activation, x: Tensor, *, mode: Mode = "accurate") -> Explanation:
    """Which implementation runs when the activation's functional is applied to the tensor, eagerly and outside of
    `torch.func`, with no gradient to follow.

    Args:
        act: a name, a formula or an activation, its parameters at their values.
        x: a tensor like the inputs; only its dtype, device, layout and size count.
        mode: which bound its kernels keep.

    Raises:
        BadInput: the tensor is not of a floating-point dtype, or the activation acts along an axis.
    """
    act = single(act)
    refuse_unfit(x, what=act.name)
    without = _without_kernel(act, x, mode)
    return _of_kernel(act, x, mode) if without is None else without


def _without_kernel(act: Activation, x: Tensor, mode: Mode) -> Explanation | None:
    """What runs in the place of a kernel; None where a kernel does."""
    if isinstance(act.expression, Input):
        return Explanation("view", "", "", 1, "none", "The formula is its input: nothing is computed or copied.")
    own = own_operator(act)
    if own is not None and own.takes(x):
        called = f"{own.name}: the same numbers as the kernel, which was timed to be faster {_from(own.limit)}."
        return Explanation("operator", "", "", threads(), "PyTorch", called)
    if x.is_cuda:
        return _of_gpu(x)
    lacks = _obstacle(act, x, mode)
    return None if lacks is None else Explanation("composite", "", "", threads(), "PyTorch", lacks)


def _from(limit: float) -> str:
    return "at none of the timed sizes" if isinf(limit) else f"from {limit:,.0f} elements on"


def _of_gpu(x: Tensor) -> Explanation:
    try:
        lacks = gpu.lacks([x])
    except MissingExtra as error:
        lacks = str(error)
    if lacks is not None:
        return Explanation("composite", "", "", threads(), "PyTorch", lacks)
    return Explanation("kernel", "", "", 1, "triton", f"Triton's code of the formula, on {x.device}.")


def _of_kernel(act: Activation, x: Tensor, mode: Mode) -> Explanation:
    args = tuple(Input(name) for name in act.inputs)
    streams: tuple[Any, ...] = ("stream",) * len(args)
    forward, backward = (
        _said(recipe(Shape(act.with_references(), args, streams, wanted), memory=MEMORY[x.dtype], mode=mode))
        for wanted in (None, (True,) * len(args))
    )
    alone = x.numel() < WORTH_A_TEAM
    reason = f"{machine().processor}: machine code of the formula, as {mode} results need it."
    used = layer()
    if alone:
        return Explanation("kernel", forward, backward, 1, used.name, f"{reason} Too few elements for a second thread.")
    return Explanation("kernel", forward, backward, threads(), f"{used.name} ({used.reason})", reason)


def single(formula: str | Activation) -> Activation:
    """The activation of single numbers.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: it acts along an axis.
    """
    act = get(formula)
    if not isinstance(act, Activation):
        raise BadInput(f"{act.name} acts along an axis; this is for activations of single numbers.")
    return act


def _obstacle(act: Activation, x: Tensor, mode: Mode) -> str | None:
    """Why no kernel can run; None where one can."""
    if not x.is_cpu:
        return f"The tensor lies on {x.device}."
    try:
        kernels_of(act.with_references(), tuple(Input(name) for name in act.inputs), mode).check()
    except (NoKernels, CannotLower) as error:
        return str(error)
    return None


def _said(how: Recipe) -> str:
    if how.kind == "double" and how.accuracy == "short":
        return "in float64, rounded once"
    rescued = "; what may be lost on its way is computed twice" * how.rescued
    return f"in {'float32' if how.kind == 'float' else 'float64'}{_carried(how)}{rescued}"


def _carried(how: Recipe) -> str:
    """Whose rounding errors are carried along."""
    if how.paired:
        return ", carrying every rounding error"
    if how.light:
        return ", carrying the errors of quotients and of what functions are applied to"
    if not how.firm:
        return ""
    more = " and of what functions are applied to" if how.argued else " and of all sums and products" * how.outer
    return f", carrying the errors of what is divided{more}"
