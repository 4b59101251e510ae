"""A formula's forward and backward pass on tensors of an NVIDIA GPU, in Triton.

Nothing happens at import; Triton is imported when the first tensor comes. With `TRITON_INTERPRET=1` Triton's
interpreter runs the same kernels on the CPU, slowly: to test them without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.formula.expr import Expr
from actlab.kernels.elementwise.loop_ir import Access
from actlab.kernels.elementwise.plan import Shape
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.gpu.layout import Place, Tile, Tiled, is_simple, tile_of, tiled
from actlab.kernels.gpu.program import Wanted, program
from actlab.kernels.runtime.loop import Memory
from actlab.lower.straight_line import Leaf

MEMORY: Mapping[torch.dtype, Memory] = MappingProxyType(
    {
        torch.float32: "float",
        torch.float64: "double",
        torch.float16: "half",
        torch.bfloat16: "bfloat",
    }
)

# How Triton compiles: 128 threads, and no multiplication fused with an addition but where the text says so.
OPTIONS: Mapping[str, int] = MappingProxyType({"num_warps": 4, "enable_fp_fusion": False})

# Triton's interpreter before this version multiplies and adds with two roundings where a GPU has one.
_ROUNDS_ONCE = (3, 9)
_ROUNDS_TWICE = "Triton's interpreter computes otherwise than a GPU before version 3.9: pip install 'triton>=3.9'."

# NVIDIA's architectures with half as many units for float64 as for float32; others have a 32nd or fewer.
_FAST_DOUBLES = frozenset({(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)})


class Formula(Protocol):
    """The formula to compute; `nn.operator.Pointwise` is one."""

    @property
    def expression(self) -> Expr:
        """The formula."""

    @property
    def args(self) -> tuple[Leaf, ...]:
        """Its inputs and parameters in order."""

    @property
    def mode(self) -> Mode:
        """The error bound of its kernels."""


def lacks(tensors: Sequence[Tensor]) -> str | None:
    """Return why GPU kernels cannot take the tensors, or None if they can.

    Raises:
        MissingExtra: Triton is not installed.
    """
    dtypes = dict.fromkeys(tensor.dtype for tensor in tensors)
    if len(dtypes) > 1 or tensors[0].dtype not in MEMORY:
        return f"GPU kernels take tensors of one floating-point dtype; got {', '.join(map(str, dtypes))}."
    devices = dict.fromkeys(tensor.device for tensor in tensors)
    if len(devices) > 1:
        return f"GPU kernels take tensors of one device; got {', '.join(map(str, devices))}."
    device = tensors[0].device
    if _is_interpreted():
        return None if _triton() >= _ROUNDS_ONCE else _ROUNDS_TWICE
    if device.type == "cuda" and torch.version.hip is None:
        return None
    return f"GPU kernels take tensors on an NVIDIA GPU; got one on {device}. Move it there: x.cuda()."


def value(made: Formula, tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Compute the formula of tensors that broadcast to the first one's shape, in one pass.

    Args:
        made: the formula.
        tensors: one for each argument, of one floating-point dtype and device; none is followed by autograd.
        out: where to write, of the first one's shape and dtype; made afresh if left out.

    Raises:
        BadInput: the tensors are not of one dtype, or not on an NVIDIA GPU, or `out` does not fit.
        CannotLower: a kernel cannot spell the formula.
        MissingExtra: Triton is not installed.
    """
    _refuse(tensors, [out], shape=tensors[0].shape)
    result = torch.empty_like(tensors[0]) if out is None else out
    _run(made, _spread(tensors), [result], wanted=None)
    return result


def pull_back(
    made: Formula,
    dy: Tensor,
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    *,
    into: Sequence[Tensor] | None = None,
) -> list[Tensor | None]:
    """Multiply the incoming gradient by every wanted derivative, in one pass; sum those of parameters.

    The sums are made in float64, in an order that the shape alone decides: the same bits each time.

    Args:
        made: the formula.
        dy: the incoming gradient, which broadcasts to the first tensor's shape.
        tensors: what `value` was given.
        wanted: for each tensor, whether its gradient is asked for.
        into: where to write the gradients of the tensors of full shape, one for each tensor: the parts of a packed
            gradient, say. Made afresh if left out.

    Raises:
        BadInput, CannotLower, MissingExtra: as `value`.
    """
    shape = tensors[0].shape
    _refuse([*tensors, dy], [] if into is None else into, shape=shape)
    spread = _spread(tensors)
    streams = [at for at, want in enumerate(wanted) if want and spread[at].shape == shape]
    results = {at: torch.empty_like(spread[at]) if into is None else into[at] for at in streams}
    sums = _run(made, [dy.expand(shape), *spread], list(results.values()), wanted=tuple(wanted))
    gradients = [results.get(at, sums.get(at)) for at in range(len(tensors))]
    return [
        None if gradient is None else gradient.sum_to_size(tensor.shape)
        for gradient, tensor in zip(gradients, tensors, strict=True)
    ]


def _triton() -> tuple[int, ...]:
    """Return the first two numbers of Triton's version."""
    return tuple(int(part) for part in str(need("triton", extra="gpu").__version__).split(".")[:2])


def _is_interpreted() -> bool:
    return bool(need("triton", extra="gpu").knobs.runtime.interpret)


def _refuse(tensors: Sequence[Tensor], out: Sequence[Tensor | None], *, shape: torch.Size) -> None:
    given = [each for each in out if each is not None]
    reason = lacks([*tensors, *given])
    if reason is not None:
        raise BadInput(reason)
    for each in given:
        if each.shape != shape:
            raise BadInput(f"out must have the shape {tuple(shape)}; got {tuple(each.shape)}.")


def _spread(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors, expanded to one shape if a kernel could not follow how they broadcast."""
    return list(tensors) if is_simple(tensors) else [tensor.expand(tensors[0].shape) for tensor in tensors]


def _run(
    made: Formula, inputs: Sequence[Tensor], results: Sequence[Tensor], *, wanted: tuple[bool, ...] | None
) -> dict[int, Tensor]:
    """Run the kernel and return its sums by argument, in the parameter's shape and dtype."""
    laid = tiled([*inputs, *results])
    places = tuple(each.place for each in laid.operands[: len(inputs)])
    arguments = places if wanted is None else places[1:]
    summed = {at: arguments[at] for at, want in enumerate(wanted or ()) if want and arguments[at] != "stream"}
    like = {at: inputs[at + 1] for at in summed}
    if laid.elements == 0:
        return {at: torch.zeros_like(each) for at, each in like.items()}
    access: tuple[Access, ...] = tuple("stream" if place == "stream" else "scalar" for place in arguments)
    tile = tile_of(laid, sums=tuple(summed.values()), size=inputs[0].element_size())
    sums = {at: _partial(laid, tile, place=place) for at, place in summed.items()}
    _launch(Shape(made.expression, made.args, access, wanted), made.mode, laid, tile=tile, places=places, sums=sums)
    for result, operand in zip(results, laid.operands[len(inputs) :], strict=True):
        if operand.tensor is not result:
            result.copy_(operand.tensor)
    return {at: _added(each, like=like[at], place=summed[at]) for at, each in sums.items()}


def _launch(
    shape: Shape, mode: Mode, laid: Tiled, *, tile: Tile, places: tuple[Place, ...], sums: dict[int, Tensor]
) -> None:
    first = laid.operands[0].tensor
    interpreted = _is_interpreted()
    cols = tuple(each.steps[2] for each in laid.operands)
    wanted = Wanted(
        shape, mode, MEMORY[first.dtype], places, cols, laid.is_flat, _has_fast_doubles(first.device), interpreted
    )
    kernel = program(wanted)
    operands = [_raw(each.tensor) if interpreted else each.tensor for each in laid.operands]
    steps = [step for each in laid.operands for step in each.steps[:2]]
    with _on(first.device):
        kernel[tile.grid](
            *operands, *sums.values(), laid.rows, laid.cols, laid.groups, *steps,
            BR=tile.rows, BC=tile.cols, STEPS=tile.steps,
            **OPTIONS,
        )  # fmt: skip


def _raw(tensor: Tensor) -> Tensor:
    """Return the tensor, a bfloat16 one as its bits."""
    return tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Make the device the current one; for the interpreter, turn off NumPy's warnings, which no GPU gives."""
    return torch.cuda.device(device) if device.type == "cuda" else np.errstate(all="ignore")


@lru_cache(maxsize=64)
def _has_fast_doubles(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) in _FAST_DOUBLES


def _partial(laid: Tiled, tile: Tile, *, place: Place) -> Tensor:
    """Allocate every program's sum, or every program's sums of its columns."""
    device = laid.operands[0].tensor.device
    shape = (tile.grid[0], laid.cols) if place == "column" else (tile.grid[0] * tile.grid[1], laid.groups)
    return torch.empty(shape, dtype=torch.float64, device=device)


def _added(parts: Tensor, *, like: Tensor, place: Place) -> Tensor:
    total = parts.sum() if place == "scalar" else parts.sum(0)
    return total.to(like.dtype).reshape(like.shape)
