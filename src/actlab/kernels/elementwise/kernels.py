"""A formula's forward and backward pass on CPU tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from actlab.formula.expr import Expr
from actlab.kernels.elementwise.layout import Arranged, arranged
from actlab.kernels.elementwise.loop_ir import Access
from actlab.kernels.elementwise.plan import Shape, module
from actlab.kernels.elementwise.strategies import Mode, recipe
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.jit import Code, compiled
from actlab.kernels.runtime.launch import Grid, Operand, empty_sums, run, run_flat
from actlab.kernels.runtime.loop import LINE, SIZE, Memory
from actlab.lower.arithmetic import Recipe
from actlab.lower.straight_line import Leaf

MEMORY: dict[torch.dtype, Memory] = {
    torch.float32: "float",
    torch.float64: "double",
    torch.float16: "half",
    torch.bfloat16: "bfloat",
}

# Which derivatives are asked for; None for the forward pass.
Wanted = tuple[bool, ...] | None

# Bytes of an output from which on it is written past the caches, of which it would leave little for whoever reads it:
# its lines need not be fetched before they are overwritten (bench/results/past_caches.csv).
PAST_CACHES = 24 << 20

_FEWEST_PAST = PAST_CACHES // max(SIZE.values())

# The cheapest way to find out whether a formula can be spelled.
_PROBE = Recipe("single")


@final
class Kernels:
    """The kernels of one formula and its arguments; created by `kernels_of`.

    Attributes:
        expression, args: the formula and its inputs and parameters in order.
        mode: which bound they keep.
    """

    def __init__(self, expression: Expr, args: tuple[Leaf, ...], mode: Mode) -> None:
        self.expression = expression
        self.args = args
        self.mode = mode
        # of operands that lie in one run each, the commonest case: found without looking at their layout
        self._flat: dict[tuple[torch.dtype, Wanted, bool], Code] = {}

    def check(self) -> None:
        """Raise unless kernels can be compiled.

        Raises:
            CannotLower: a kernel cannot spell the formula or one of its derivatives.
            NoKernels: machine code cannot be made here.
        """
        machine()
        access: tuple[Access, ...] = tuple("stream" for _ in self.args)
        for wanted in (None, (True,) * len(self.args)):
            module(Shape(self.expression, self.args, access, wanted), memory="float", recipe=_PROBE)

    def forward(self, tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
        """Compute the formula of tensors of one floating-point dtype that broadcast to the first one's shape.

        Args:
            tensors: one for each argument, none of them with a value for autograd to follow.
            out: where to write, of the first one's shape and dtype; made afresh if left out.

        Raises:
            CannotLower: a kernel cannot spell the formula.
            NoKernels: machine code cannot be made here.
        """
        x = tensors[0]
        if len(tensors) == 1 and x.is_contiguous() and out is None:
            return self.of_one(x)
        if len(tensors) == 1 and x.is_contiguous() and out is not None and out.is_contiguous():
            self._run_one(x, out)
            return out
        result = torch.empty_like(x) if out is None else out
        laid = arranged([*tensors, result])
        target = laid.kept[-1]
        large = _all_go_past_caches(x.dtype, laid.grid, laid.operands[-1:])
        run(self._code(laid.access[:-1], x.dtype, wanted=None, past_caches=large), laid.grid, laid.operands)
        return result if target is result else result.copy_(target)

    def of_one(self, x: Tensor) -> Tensor:
        """Compute the formula of its only argument: like `forward`, with the least overhead."""
        if not x.is_contiguous():
            return self.forward((x,))
        result = torch.empty_like(x)
        self._run_one(x, result)
        return result

    def pulled_one(self, dy: Tensor, x: Tensor) -> Tensor | None:
        """Return the gradient of its only argument: like `pull_back`, with the least overhead."""
        if not (x.is_contiguous() and dy.is_contiguous() and dy.shape == x.shape):
            return self.pull_back(dy, (x,), (True,))[0]
        dx = torch.empty_like(x)
        count, into = x.numel(), dx.data_ptr()
        run_flat(self._flat_code(x.dtype, (True,), count, into), count, dy.data_ptr(), x.data_ptr(), into)
        return dx

    def of_two(self, value: Tensor, gate: Tensor) -> Tensor:
        """Compute the formula of contiguous tensors of one shape: like `forward`, with the least overhead."""
        result = torch.empty_like(value)
        count, into = value.numel(), result.data_ptr()
        run_flat(self._flat_code(value.dtype, None, count, into), count, value.data_ptr(), gate.data_ptr(), into)
        return result

    def pulled_two(self, dy: Tensor, value: Tensor, gate: Tensor, wanted: tuple[bool, bool]) -> list[Tensor | None]:
        """Return the wanted gradients, at least one: like `pull_back`, with the least overhead."""
        made = [torch.empty_like(value) if want else None for want in wanted]
        count, into = value.numel(), [each.data_ptr() for each in made if each is not None]
        code = self._flat_code(value.dtype, wanted, count, *into)
        run_flat(code, count, dy.data_ptr(), value.data_ptr(), gate.data_ptr(), *into)
        return made

    def pull_back(
        self, dy: Tensor, tensors: Sequence[Tensor], wanted: Sequence[bool], *, into: Sequence[Tensor] | None = None
    ) -> list[Tensor | None]:
        """Multiply the incoming gradient by every wanted derivative, in one pass; sum those of parameters.

        The sums are the same for any number of threads.

        Args:
            dy: the incoming gradient, in the first tensor's shape.
            tensors, wanted: for each argument, its value and whether its gradient is asked for.
            into: where to write the gradients, one tensor for each argument, all of one shape; made afresh if left
                out.
        """
        x = tensors[0]
        alone = len(tensors) == 1 and into is None
        if alone and x.is_contiguous() and dy.is_contiguous() and dy.shape == x.shape:
            return [self.pulled_one(dy, x)]
        where = [at for at, want in enumerate(wanted) if want]
        broadcast = [tensor.shape != tensors[0].shape for tensor in tensors]
        given = [dy, *tensors]
        if any(broadcast[at] for at in where):  # one order of summing, whatever the layout
            given = [tensor.contiguous() for tensor in given]
        if dy.shape != tensors[0].shape:
            given[0] = dy.expand(tensors[0].shape)
        results = {at: torch.empty_like(given[1]) if into is None else into[at] for at in where if not broadcast[at]}
        laid = arranged([given[1], given[0], *given[2:], *results.values()])
        return self._pulled_back(laid, tensors, results, where=where)

    def _pulled_back(
        self, laid: Arranged, tensors: Sequence[Tensor], results: dict[int, Tensor], *, where: list[int]
    ) -> list[Tensor | None]:
        count = len(tensors)
        access: tuple[Access, ...] = (laid.access[0], *laid.access[2 : count + 1])
        # a parameter that is read element by element has its products written out, and added up afterwards
        spread = [at for at in where if at not in results and access[at] == "stream"]
        products = {at: torch.empty(tensors[0].shape, dtype=tensors[0].dtype) for at in spread}
        written = dict(zip(results, laid.operands[count + 1 :], strict=True))
        written.update({at: (products[at].data_ptr(), laid.grid.row, 0) for at in spread})
        summed = [at for at in where if access[at] == "scalar"]
        asked, dtype = tuple(at in where for at in range(count)), tensors[0].dtype
        large = _all_go_past_caches(dtype, laid.grid, written.values())
        code = self._code(access, dtype, wanted=asked, past_caches=large)
        sums = empty_sums(laid.grid, outputs=len(summed)) if summed else None
        inputs = (laid.operands[1], laid.operands[0], *laid.operands[2 : count + 1])
        run(code, laid.grid, [*inputs, *(written[at] for at in sorted(written))], sums=sums)
        gradients: list[Tensor | None] = [None] * count
        for at, written_to in zip(results, laid.kept[count + 1 :], strict=True):
            into = results[at]
            gradients[at] = into if into is written_to else into.copy_(written_to)
        for at in spread:
            axes = _spread_axes(tensors[at].shape, tensors[0].shape)
            gradients[at] = _added(products[at].double().numpy(), like=tensors[at], axes=axes)
        for place, at in enumerate(summed):
            assert sums is not None
            axes = (0, 1, 2) if tensors[at].numel() == 1 else (0, 2)
            gradients[at] = _added(sums[..., place].numpy(), like=tensors[at], axes=axes)
        return gradients

    def _run_one(self, x: Tensor, result: Tensor) -> None:
        count, into = x.numel(), result.data_ptr()
        run_flat(self._flat_code(x.dtype, None, count, into), count, x.data_ptr(), into)

    def _flat_code(self, dtype: torch.dtype, wanted: Wanted, count: int, *into: int) -> Code:
        """Return the kernel of contiguous operands with so many elements and outputs at these addresses."""
        key = dtype, wanted, count >= _FEWEST_PAST and goes_past_caches(dtype, count, *into)
        code = self._flat.get(key)
        if code is None:
            access: tuple[Access, ...] = tuple("stream" for _ in self.args)
            code = self._flat[key] = self._code(access, dtype, wanted=wanted, past_caches=key[2])
        return code

    def _code(
        self,
        access: tuple[Access, ...],
        dtype: torch.dtype,
        *,
        wanted: Wanted,
        past_caches: bool,
    ) -> Code:
        shape = Shape(self.expression, self.args, access, wanted)
        return _code(shape, MEMORY[dtype], self.mode, past_caches=past_caches)


def goes_past_caches(dtype: torch.dtype, count: int, *into: int) -> bool:
    """Return whether contiguous outputs of so many elements at these addresses are written past the caches."""
    if count * SIZE[MEMORY[dtype]] < PAST_CACHES:
        return False
    return all(address % LINE == 0 for address in into)


def _all_go_past_caches(dtype: torch.dtype, grid: Grid, into: Iterable[Operand]) -> bool:
    """Return the same for a grid: of several rows only the first is known to begin at a cache line."""
    return grid.rows == grid.channels == 1 and goes_past_caches(dtype, grid.row, *(address for address, *_ in into))


def _spread_axes(shape: torch.Size, full: torch.Size) -> tuple[int, ...]:
    """Return the axes of the full shape along which a tensor of the other shape is repeated."""
    sizes = [1] * (len(full) - len(shape)) + list(shape)
    return tuple(at for at, size in enumerate(sizes) if size == 1)


def _added(parts: np.ndarray[Any, np.dtype[np.float64]], *, like: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the parts added in a fixed order, as a tensor like the parameter."""
    total = np.add.reduce(np.ascontiguousarray(parts), axis=axes)
    return torch.as_tensor(total, dtype=like.dtype).reshape(like.shape)


@lru_cache(maxsize=4096)
def _code(shape: Shape, memory: Memory, mode: Mode, *, past_caches: bool = False) -> Code:
    chosen = recipe(shape, memory=memory, mode=mode)
    return compiled(module(shape, memory=memory, recipe=chosen, past_caches=past_caches))


@lru_cache(maxsize=4096)
def kernels_of(expression: Expr, args: tuple[Leaf, ...], mode: Mode) -> Kernels:
    """Return the formula's kernels, created only once."""
    return Kernels(expression, args, mode)
