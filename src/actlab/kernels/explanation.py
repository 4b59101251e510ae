"""Explain which implementation runs for a tensor, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import torch
from torch import Tensor

from actlab.catalog.index import get
from actlab.errors import BadInput, CannotLower, MissingExtra, NoKernels
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Expr, Input
from actlab.kernels.elementwise.kernels import MEMORY, kernels_of
from actlab.kernels.elementwise.native_operator import own_operator
from actlab.kernels.elementwise.plan import Shape
from actlab.kernels.elementwise.strategies import Mode, recipe
from actlab.kernels.gpu import kernels as gpu
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.launch import WORTH_A_TEAM
from actlab.kernels.runtime.threads import layer, threads
from actlab.kernels.validation import refuse_unfit
from actlab.lower.arithmetic import Recipe, Span, Strategy
from actlab.lower.straight_line import Leaf


@final
@dataclass(frozen=True)
class Explanation:
    """The implementation that runs for a tensor.

    Attributes:
        implementation: `kernel` for machine code of the formula, `composite` for several PyTorch operations,
            `operator` for PyTorch's own operator, `view` if the input itself is returned.
        forward, backward: how each is computed, if a kernel computes one of them; otherwise empty.
        threads: the number of threads.
        layer: the threading library.
        reason: why this implementation is used.
        keeps: what is saved for backward; empty if the tensor requires no gradient.
    """

    implementation: str
    forward: str
    backward: str
    threads: int
    layer: str
    reason: str
    keeps: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as a dict for `--json`."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        computes = f": forward {self.forward}; backward {self.backward}" if self.forward else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        keeps = f" Saved for backward: {self.keeps}." if self.keeps else ""
        return f"{self.implementation}{computes}. {threads}, {self.layer}. {self.reason}{keeps}"


class Applied(Protocol):
    """Something that applies an activation: a functional or a module of `actlab.nn`."""

    def explained(self, x: Tensor) -> Explanation:
        """Explain which implementation runs for a tensor like this one."""


def explain(act: str | Activation | AxisActivation | Applied, x: Tensor, *, mode: Mode = "accurate") -> Explanation:
    """Explain which implementation runs for the tensor, eagerly and outside of `torch.func`.

    Args:
        act: a functional or a module of actlab; or a name, a formula or an activation, its parameters at their values:
            then of its kernel or operator, which a functional leaves for bits where a large tensor learns.
        x: a tensor like the inputs; only its dtype, device, layout and size count, and whether it learns.
        mode: which bound its kernels keep; functionals and modules have their own.

    Raises:
        BadInput: the tensor is not dense or not of an ordinary floating-point dtype, or the activation, by its name,
            acts along an axis.
    """
    if not isinstance(act, str | Activation | AxisActivation):
        if not hasattr(act, "explained"):
            raise BadInput(f"explain takes a name, or an activation, functional or module of actlab; got {act!r}.")
        return act.explained(x)
    act = single(act)
    refuse_unfit(x, what=act.name)
    without = _without_kernel(act, x, mode)
    if without is not None:
        return without
    kernel = explain_formula(act.with_references(), _inputs(act), x, mode=mode)
    own = own_operator(act, mode)
    if own is None or x.dtype not in own.forward or kernel.implementation != "kernel":
        return kernel
    reason = f"{FASTER.format(own.name, mode)} The gradient is a kernel's: {kernel.reason}"
    return replace(kernel, implementation="operator", forward=f"by {own.name}", reason=reason)


def explain_formula(expression: Expr, args: tuple[Leaf, ...], x: Tensor, *, mode: Mode) -> Explanation:
    """Explain a formula of these arguments, for which no PyTorch operator is used."""
    if x.is_cuda:
        return _of_gpu(x)
    lacks = _obstacle(expression, args, x, mode)
    keeps = _kept("its inputs" if len(args) > 1 else "its input", x)
    if lacks is not None:
        return Explanation("composite", "", "", threads(), "PyTorch", lacks, keeps)
    streams: tuple[Any, ...] = ("stream",) * len(args)
    forward, backward = (
        _said(recipe(Shape(expression, args, streams, wanted), memory=MEMORY[x.dtype], mode=mode))
        for wanted in (None, (True,) * len(args))
    )
    reason = f"Machine code for {machine().processor}, compiled from the formula in {mode} mode."
    return on_kernel(x.numel(), forward=forward, backward=backward, reason=reason, keeps=keeps)


def _kept(what: str, x: Tensor) -> str:
    return what if torch.is_grad_enabled() and x.requires_grad else ""


def _inputs(act: Activation) -> tuple[Leaf, ...]:
    return tuple(Input(name) for name in act.inputs)


def _without_kernel(act: Activation, x: Tensor, mode: Mode) -> Explanation | None:
    """Explain what runs instead of any kernel; None if a kernel may run."""
    if isinstance(act.expression, Input):
        return Explanation(
            "view", "", "", 1, "none", "The activation returns its input; nothing is computed or copied."
        )
    own = own_operator(act, mode)
    if own is None or not own.takes(x):
        return None
    called = f"{own.name} gives the same numbers as the kernel." if own.is_exact else FASTER.format(own.name, mode)
    keeps = _kept("its output" if own.keeps_output else "its input", x)
    return Explanation("operator", "", "", threads(), "PyTorch", called, keeps)


# Why an operator of other numbers than the kernel's runs.
FASTER = "{} was measured faster than the kernel, within the bound of the {} mode."


def _of_gpu(x: Tensor) -> Explanation:
    try:
        lacks = gpu.lacks([x])
    except MissingExtra as error:
        lacks = str(error)
    if lacks is not None:
        return Explanation("composite", "", "", threads(), "PyTorch", lacks)
    return Explanation("kernel", "", "", 1, "triton", f"Triton kernel of the formula, on {x.device}.")


def on_kernel(count: int, *, forward: str, backward: str, reason: str, keeps: str) -> Explanation:
    """Explain a kernel, with the threads that it uses for so many elements."""
    used = layer()
    if count < WORTH_A_TEAM:
        reason = f"{reason} Too few elements to use a second thread."
        return Explanation("kernel", forward, backward, 1, used.name, reason, keeps)
    return Explanation("kernel", forward, backward, threads(), f"{used.name} ({used.reason})", reason, keeps)


def single(formula: str | Activation | AxisActivation) -> Activation:
    """Return the element-wise activation.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: it acts along an axis.
    """
    act = get(formula)
    if not isinstance(act, Activation):
        raise BadInput(f"{act.name} acts along an axis; an element-wise activation is required.")
    return act


def _obstacle(expression: Expr, args: tuple[Leaf, ...], x: Tensor, mode: Mode) -> str | None:
    """Return why no kernel can run, or None if one can."""
    if not x.is_cpu:
        return f"No kernels for device {x.device}."
    try:
        kernels_of(expression, args, mode).check()
    except (NoKernels, CannotLower) as error:
        return str(error)
    return None


def _said(how: Recipe) -> str:
    if how.accuracy == "short":
        return "in float64, rounded once"
    dtype = "float32" if how.kind == "float" else "float64"
    rescued = "; elements that may overflow or underflow are computed again with a wider range"
    return f"in {dtype}{_COMPENSATED[how.strategy]}{rescued if how.span is Span.RESCUED else ''}"


# Which operations carry their rounding errors along.
_COMPENSATED = {
    Strategy.PLAIN: "",
    Strategy.FIRM: ", with compensated divisions",
    Strategy.FIRM_ARGUMENTS: ", with compensated divisions and function arguments",
    Strategy.FIRM_SUMS: ", with compensated divisions, sums and products",
    Strategy.LIGHT: ", with compensated quotients and function arguments",
    Strategy.PAIRED: ", with compensated arithmetic",
}
