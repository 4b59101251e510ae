"""Activations that save a few bits an element for backward: the step of the derivative on which each input lies."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.explanation import Explanation, explain, explain_formula
from actlab.kernels.fewbit.codes import Staircase, decode, encode, pack, staircase
from actlab.kernels.fewbit.derivative_samples import Density
from actlab.kernels.fewbit.kernels import coded, drawn, pulled
from actlab.kernels.fewbit.quantizer import MOST_BITS, spread_levels, step_table
from actlab.kernels.validation import refuse_unfit
from actlab.nn.dispatch import is_exported, runs_on_kernels
from actlab.nn.operator import HALF, applied, apply, pointwise_of
from actlab.nn.piecewise_linear import exact_staircase
from actlab.nn.torch_function import is_followed, shown

DTYPES = (torch.float32, torch.float64)

MEMORY = "few-bit"
"""What `memory=` names this by."""

DEFAULT_BITS = 4
"""The default is the most bits, which have the least error."""


@final
class FewBitFunction:
    """An activation as a function of a tensor that saves a few bits an element for backward; made by `few_bit`.

    The forward pass is the activation's own. If the activation is piecewise linear and its derivatives fit into the
    bits, so is the gradient, to the last bit; otherwise it is the incoming gradient times the level of the step
    that the input lies on. A NaN belongs to the lowest step.

    Under `torch.func`, in forward mode, of nested tensors and in an exported graph it is the ordinary activation,
    gradient included.

    Attributes:
        activation: the activation.
        bits: the number saved: as requested, or fewer if fewer are exact.
        is_exact: whether the gradient is the activation's own.
        unbiased: whether the level is drawn between the two nearest ones, so that it is right on average.
        mode: the error bound of the forward pass, and of the gradient if it is exact.
    """

    def __init__(
        self,
        act: Activation,
        tables: dict[torch.dtype, Staircase],
        *,
        is_exact: bool,
        unbiased: bool,
        mode: Mode = "accurate",
    ) -> None:
        self.activation = act
        self.tables = tables
        self.bits = tables[torch.float32].bits
        self.is_exact = is_exact
        self.unbiased = unbiased
        self.mode: Mode = mode
        self._made = pointwise_of(act, mode=mode)

    def __call__(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        if is_followed(x):
            return shown(FewBitFunction.__call__, self, x, generator=generator)
        refuse_unfit(x, what=self.activation.name)
        if not _learns(x):
            return apply(self._made, x)
        # autograd reaches the second derivative, which is 0, through the input, of which no numbers are saved
        anchor = applied(Anchor, x) if self.is_exact and not torch.compiler.is_compiling() else None
        return applied(Kept, self, generator, x, anchor)

    def explained(self, x: Tensor) -> Explanation:
        """Say which implementation runs for a tensor like this one, its gradient as it is asked for now."""
        usual = explain(self.activation, x, mode=self.mode)
        if not _learns(x):
            return usual
        slopes = "its own slopes" if self.is_exact else "the steps of its slope"
        keeps = f"{self.bits} bit{'s' if self.bits > 1 else ''} an element, which say one of {slopes}"
        if not self._runs(x):
            return replace(usual, implementation="composite", forward="", backward="", keeps=keeps)
        # never PyTorch's operator, which has no codes
        kernel = explain_formula(self._made.expression, self._made.args, x, mode=self.mode)
        return replace(kernel, backward="from the bits kept", keeps=keeps)

    def codes(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Compute the packed codes of a tensor: what is saved of it."""
        if self.unbiased and self._runs(x):
            return self.coded(x.contiguous(), generator=generator)[1]
        working = x.float() if x.dtype in HALF else x
        if self.unbiased:
            return _drawn(self._made.slopes(working)[0], self.tables[working.dtype], generator=generator)
        return encode(working, self.tables[working.dtype])

    def coded(self, x: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Compute the activation of the tensor and the packed codes, in one pass if a kernel can."""
        if not (x.is_contiguous() and self._runs(x)):
            return apply(self._made, x), self.codes(x, generator=generator)
        made, table = self._made, self.tables[torch.float32 if x.dtype in HALF else x.dtype]
        if self.unbiased:
            return drawn(made.expression, made.args[0], self.mode, x=x, table=table, generator=generator)
        return coded(made.expression, made.args[0], self.mode, x=x, table=table)

    def _runs(self, x: Tensor) -> bool:
        return self.bits > 0 and runs_on_kernels(self._made, (x,))

    def pulled(self, dy: Tensor, codes: Tensor) -> Tensor:
        """Multiply the incoming gradient by the levels that stand for the derivative."""
        if self.bits and not torch.is_grad_enabled() and runs_on_kernels(self._made, (dy,)) and codes.is_cpu:
            table = self.tables[torch.float32 if dy.dtype in HALF else dy.dtype]
            return pulled(dy.contiguous(), codes, table=table)
        slopes = self.slopes(codes, like=dy)
        return (dy.to(slopes.dtype) * slopes).to(dy.dtype)

    def slopes(self, codes: Tensor, *, like: Tensor) -> Tensor:
        """Look up the levels that stand for the derivative, in the shape and the working dtype of a tensor."""
        dtype = torch.float32 if like.dtype in HALF else like.dtype
        return decode(codes, self.tables[dtype], shape=like.shape, dtype=dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FewBitFunction) and self._contents() == other._contents()

    def __hash__(self) -> int:
        return hash((self.activation, self.bits, self.unbiased, self.mode))

    def __repr__(self) -> str:
        unbiased = ", unbiased=True" if self.unbiased else ""
        mode = "" if self.mode == "accurate" else f", mode={self.mode!r}"
        return f"few_bit({self.activation.label!r}, bits={self.bits}{unbiased}{mode})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self._contents()

    def _contents(self) -> tuple[Any, ...]:
        return self.activation, self.tables, self.is_exact, self.unbiased, self.mode


class Kept(torch.autograd.Function):
    """The operator; it saves only the codes."""

    @staticmethod
    def forward(
        ctx: Any, lean: FewBitFunction, generator: torch.Generator | None, x: Tensor, anchor: Tensor | None
    ) -> Tensor:
        ctx.lean = lean
        y, codes = lean.coded(x, generator=generator)
        ctx.save_for_backward(codes, anchor)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, None]:
        (dy,), (codes, anchor), lean = grads, ctx.saved_tensors, ctx.lean
        if not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return None, None, lean.pulled(dy, codes), None
        if not lean.is_exact:
            raise BadInput(
                f"{lean.activation.name} saves {lean.bits} bits an element for backward, which have no second"
                " derivative. Use the ordinary activation where gradients are differentiated (create_graph=True)."
            )
        return None, None, applied(Scaled, lean, dy, codes, anchor), None


class Anchor(torch.autograd.Function):
    """A tensor without elements through which autograd reaches another, and that saves none of its memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        ctx.set_materialize_grads(False)
        return x.new_empty(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Tensor | None:
        # None in a first derivative, so that no zeros are added to every gradient
        return None if grads[0] is None else grads[0].new_zeros(ctx.shape)


class Scaled(torch.autograd.Function):
    """The incoming gradient times exact derivatives: linear in the gradient, constant in the input."""

    @staticmethod
    def forward(ctx: Any, lean: FewBitFunction, dy: Tensor, codes: Tensor, anchor: Tensor) -> Tensor:
        ctx.lean = lean
        ctx.save_for_backward(codes, anchor)
        return lean.pulled(dy, codes)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, Tensor]:
        codes, anchor = ctx.saved_tensors
        return None, applied(Scaled, ctx.lean, grads[0], codes, anchor), None, torch.zeros_like(anchor)


def few_bit(
    formula: str | Activation | AxisActivation,
    *,
    bits: int | None = None,
    unbiased: bool = False,
    density: Density | None = None,
    mode: Mode = "accurate",
) -> FewBitFunction:
    """Return the activation as a function that saves at most this many bits an element for backward.

    Args:
        formula: a name, a formula, or an activation of one input, whose parameters stay as they are.
        bits: 1 to 4; 4 if left out.
        unbiased: draw the level between the two nearest ones, the likelier the nearer, so that it is right on
            average. The draw is from the generator that a call names, or PyTorch's own.
        density: the distribution of the inputs, measured or as a function. Uniform in [-10, 10] if left out.
        mode: the error bound of the forward pass, as for `actlab.functional`.

    Raises:
        BadInput: bits are not 1 to 4, or the activation has two inputs, a derivative without bound, or a parameter
            that is drawn at random.

    Example:
        >>> relu = few_bit("relu", bits=3)
        >>> relu.bits, relu.is_exact
        (1, True)
    """
    act = get(formula)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{act.name} acts along an axis: few bits are for activations of each element.")
    _refuse_unfit(act)
    asked = DEFAULT_BITS if bits is None else bits
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= MOST_BITS:
        raise BadInput(f"bits must be 1, 2, 3 or {MOST_BITS}; got {bits!r}.")
    exact = {dtype: table for dtype in DTYPES if (table := exact_staircase(act, dtype, mode)) is not None}
    if len(exact) == len(DTYPES) and all(table.bits <= asked for table in exact.values()):
        return FewBitFunction(act, exact, is_exact=True, unbiased=False, mode=mode)
    table = _fitted(act, asked, unbiased) if density is None else _table(act, asked, unbiased, density=density)
    return FewBitFunction(act, dict.fromkeys(DTYPES, table), is_exact=False, unbiased=unbiased, mode=mode)


@lru_cache(maxsize=256)
def _fitted(act: Activation, bits: int, unbiased: bool) -> Staircase:
    """Cache the tables that need no data: a model of fifty such activations waits for one only."""
    return _table(act, bits, unbiased, density=None)


def _table(act: Activation, bits: int, unbiased: bool, *, density: Density | None) -> Staircase:
    if unbiased:  # codes are drawn at random, without borders
        return Staircase((), (0,), spread_levels(act, bits, density=density).levels, 0)
    fitted = step_table(act, bits, density=density)
    return staircase(fitted.borders, fitted.levels)


def wants_few_bits(memory: str | None, *, bits: int | None, unbiased: bool, density: Density | None) -> bool:
    """Say whether these keywords ask for few-bit memory.

    Raises:
        BadInput: `memory` is unknown, or None although another keyword is set.
    """
    if memory is None:
        options = {"bits": bits, "unbiased": unbiased or None, "density": density}
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise BadInput(f"{given[0]} goes with memory='{MEMORY}'; got memory=None.")
        return False
    if memory != MEMORY:
        raise BadInput(f"memory must be None, which saves the input, or '{MEMORY}'; got {memory!r}.")
    return True


def _restored(
    act: Activation, tables: dict[torch.dtype, Staircase], is_exact: bool, unbiased: bool, mode: Mode = "accurate"
) -> FewBitFunction:
    return FewBitFunction(act, tables, is_exact=is_exact, unbiased=unbiased, mode=mode)


def _refuse_unfit(act: Activation) -> None:
    if len(act.inputs) != 1:
        raise BadInput(f"{act.name} has two inputs: few bits are for activations of one.")
    if act.samplers:
        raise BadInput(f"{act.name} draws {', '.join(act.samplers)} at random: few bits cannot hold it.")


def _learns(x: Tensor) -> bool:
    """Say whether a gradient will be asked for through saved tensors."""
    if not (torch.is_grad_enabled() and x.requires_grad) or x.is_nested or is_exported():
        return False
    if torch.compiler.is_compiling():
        return True
    return not torch._C._are_functorch_transforms_active() and forward_ad._current_level < 0


def _drawn(slopes: Tensor, table: Staircase, *, generator: torch.Generator | None) -> Tensor:
    """Draw for each derivative one of the two levels around it, so that their mean is the derivative, and pack."""
    levels = torch.tensor(table.levels, dtype=slopes.dtype, device=slopes.device)
    flat = slopes.reshape(-1)
    lower = torch.bucketize(flat, levels[1:-1], right=True)
    share = (flat - levels[lower]) / (levels[lower + 1] - levels[lower])
    draw = torch.rand(flat.shape, dtype=flat.dtype, device=flat.device, generator=generator)
    codes = lower + (draw < share)
    return pack([(codes >> bit & 1).bool() for bit in range(table.bits)], like=flat)
