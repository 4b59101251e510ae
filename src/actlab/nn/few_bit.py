"""Activations that keep a few bits an element for backward: which step of the derivative each input lies on."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.kernels.packed import Staircase, decode, encode, pack, staircase
from actlab.kernels.slope_samples import Density
from actlab.kernels.steps import MOST_BITS, spread_levels, step_table
from actlab.nn.exact_steps import exact_staircase
from actlab.nn.operator import HALF, applied, apply, pointwise_of
from actlab.nn.shown import is_followed, shown

DTYPES = (torch.float32, torch.float64)

MEMORY = "few-bit"
"""What `memory=` names this by."""

DEFAULT_BITS = 4
"""The bits kept where none are named: the most, whose error is least."""


@final
class FewBit:
    """An activation as a function of a tensor that keeps a few bits an element for backward; made by `few_bit`.

    The forward pass is the activation's own. Where the activation is piecewise linear and its slopes fit into the
    bits, so is the gradient, to the last bit; elsewhere it is the incoming gradient times the level of the step
    that the input lies on. A NaN counts to the lowest step.

    Under `torch.func`, in forward mode and in an exported graph it is the ordinary activation, gradient included.

    Attributes:
        activation: the activation.
        bits: how many are kept: those asked for, or fewer where fewer are exact.
        is_exact: whether the gradient is the activation's own.
        unbiased: whether the level is drawn between the two nearest ones, so that it is right on average.
    """

    def __init__(
        self, act: Activation, tables: dict[torch.dtype, Staircase], *, is_exact: bool, unbiased: bool
    ) -> None:
        self.activation = act
        self.tables = tables
        self.bits = tables[torch.float32].bits
        self.is_exact = is_exact
        self.unbiased = unbiased
        self._made = pointwise_of(act)

    def __call__(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        if is_followed():
            return shown(FewBit.__call__, self, x, generator=generator)
        if not isinstance(x, Tensor) or not x.is_floating_point() or not _learns(x):
            return apply(self._made, x)
        return applied(Kept, self, generator, x)

    def codes(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """The packed codes of a tensor: what is kept of it."""
        working = x.float() if x.dtype in HALF else x
        if self.unbiased:
            return _drawn(self._made.slopes(working)[0], self.tables[working.dtype], generator=generator)
        return encode(working, self.tables[working.dtype])

    def slopes(self, codes: Tensor, *, like: Tensor) -> Tensor:
        """The stand-ins for the derivative, in the shape of a tensor, in the dtype that computes for it."""
        dtype = torch.float32 if like.dtype in HALF else like.dtype
        return decode(codes, self.tables[dtype], shape=like.shape, dtype=dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FewBit) and self._contents() == other._contents()

    def __hash__(self) -> int:
        return hash((self.activation, self.bits, self.unbiased))

    def __repr__(self) -> str:
        unbiased = ", unbiased=True" if self.unbiased else ""
        return f"few_bit({self.activation.label!r}, bits={self.bits}{unbiased})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self._contents()

    def _contents(self) -> tuple[Any, ...]:
        return self.activation, self.tables, self.is_exact, self.unbiased


class Kept(torch.autograd.Function):
    """The operator: the codes are all that it keeps."""

    @staticmethod
    def forward(ctx: Any, lean: FewBit, generator: torch.Generator | None, x: Tensor) -> Tensor:
        ctx.lean = lean
        ctx.save_for_backward(lean.codes(x, generator=generator))
        return apply(lean._made, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        (dy,), (codes,), lean = grads, ctx.saved_tensors, ctx.lean
        if torch.is_grad_enabled() and not lean.is_exact and not torch.compiler.is_compiling():
            raise BadInput(
                f"{lean.activation.name} keeps {lean.bits} bits an element for backward, which have no second"
                " derivative. Use memory=None where gradients are differentiated (create_graph=True)."
            )
        slopes = lean.slopes(codes, like=dy)
        return None, None, (dy.to(slopes.dtype) * slopes).to(dy.dtype)


def few_bit(
    formula: str | Activation | AxisActivation,
    *,
    bits: int | None = None,
    unbiased: bool = False,
    density: Density | None = None,
) -> FewBit:
    """The activation as a function that keeps at most so many bits an element for backward.

    Args:
        formula: a name, a formula, or an activation of one input, whose parameters stay as they are.
        bits: 1 to 4; 4 if left out.
        unbiased: draw the level between the two nearest ones, the likelier the nearer, so that it is right on
            average. The draw is from the generator that a call names, or PyTorch's own.
        density: where the inputs lie: measured ones or a function of places. Evenly from -10 to 10 if left out.

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
        raise BadInput(f"{act.name} acts along an axis: few bits are for activations of each element. Use memory=None.")
    _refuse_unfit(act)
    asked = DEFAULT_BITS if bits is None else bits
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= MOST_BITS:
        raise BadInput(f"bits must be 1, 2, 3 or {MOST_BITS}; got {bits!r}.")
    exact = {dtype: table for dtype in DTYPES if (table := exact_staircase(act, dtype)) is not None}
    if len(exact) == len(DTYPES) and all(table.bits <= asked for table in exact.values()):
        return FewBit(act, exact, is_exact=True, unbiased=False)
    table = _fitted(act, asked, unbiased) if density is None else _table(act, asked, unbiased, density=density)
    return FewBit(act, dict.fromkeys(DTYPES, table), is_exact=False, unbiased=unbiased)


@lru_cache(maxsize=256)
def _fitted(act: Activation, bits: int, unbiased: bool) -> Staircase:
    """A table that needs no data: a model of fifty such activations waits for it once."""
    return _table(act, bits, unbiased, density=None)


def _table(act: Activation, bits: int, unbiased: bool, *, density: Density | None) -> Staircase:
    if unbiased:  # codes are drawn, so that there are no borders
        return Staircase((), (0,), spread_levels(act, bits, density=density).levels, 0)
    fitted = step_table(act, bits, density=density)
    return staircase(fitted.borders, fitted.levels)


def lean(
    act: Activation | AxisActivation,
    *,
    memory: str | None,
    bits: int | None,
    unbiased: bool = False,
    density: Density | None = None,
) -> FewBit | None:
    """The activation with the memory asked for; None where that is the ordinary one.

    Raises:
        BadInput: as `few_bit`; and there is no such memory, or one that takes none of the other options.
    """
    if memory is None:
        options = {"bits": bits, "unbiased": unbiased or None, "density": density}
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise BadInput(f"{given[0]} goes with memory='few-bit'; got memory=None.")
        return None
    if memory != MEMORY:
        raise BadInput(f"memory must be None, which keeps the input, or '{MEMORY}'; got {memory!r}.")
    return few_bit(act, bits=bits, unbiased=unbiased, density=density)


def _restored(act: Activation, tables: dict[torch.dtype, Staircase], is_exact: bool, unbiased: bool) -> FewBit:
    return FewBit(act, tables, is_exact=is_exact, unbiased=unbiased)


def _refuse_unfit(act: Activation) -> None:
    if len(act.inputs) != 1:
        raise BadInput(f"{act.name} has two inputs: few bits are for activations of one. Use memory=None.")
    if act.samplers:
        raise BadInput(
            f"{act.name} draws {', '.join(act.samplers)} at random: few bits cannot hold it. Use memory=None."
        )


def _learns(x: Tensor) -> bool:
    """Whether a gradient will be asked for by way of saved tensors."""
    if not (torch.is_grad_enabled() and x.requires_grad) or torch.compiler.is_exporting():
        return False
    if torch.compiler.is_compiling():
        return True
    return not torch._C._are_functorch_transforms_active() and forward_ad._current_level < 0


def _drawn(slopes: Tensor, table: Staircase, *, generator: torch.Generator | None) -> Tensor:
    """Packed codes: of the two levels around each slope one, drawn so that their mean is the slope."""
    levels = torch.tensor(table.levels, dtype=slopes.dtype, device=slopes.device)
    flat = slopes.reshape(-1)
    lower = torch.bucketize(flat, levels[1:-1], right=True)
    share = (flat - levels[lower]) / (levels[lower + 1] - levels[lower])
    draw = torch.rand(flat.shape, dtype=flat.dtype, device=flat.device, generator=generator)
    codes = lower + (draw < share)
    return pack([(codes >> bit & 1).bool() for bit in range(table.bits)], like=flat)
