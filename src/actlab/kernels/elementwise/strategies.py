"""Select the cheapest recipe for a formula that meets the error bound.

A *recipe* says how a kernel computes (`lower/arithmetic.py`): plain float32, float32 that carries some or all rounding
errors, or float64 rounded once; for float64 tensors plain, with carried errors, or with a second computation of what
overflows or underflows on the way. The cheapest one is taken whose results on some hundred thousand points lie within
the bound of a wider arithmetic's. The catalog's choices are stored beforehand (`stored_choices`).
The certificates of `measure` check the same on other points, against 50 digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import log10, pi
from typing import Literal

import torch
from torch import Tensor

from actlab.formula.expr import ParamRef
from actlab.kernels.elementwise import stored_choices
from actlab.kernels.elementwise.loop_ir import Access, Plan, text_of
from actlab.kernels.elementwise.plan import Shape, measured, plan
from actlab.kernels.runtime import cache
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.jit import compiled
from actlab.kernels.runtime.launch import Grid, run
from actlab.kernels.runtime.loop import Memory
from actlab.lower.arithmetic import Recipe, Span, Strategy

Mode = Literal["accurate", "fast"]

# In units in the last place, below what certificates promise, 2 and 4 in float32, 4 in float64, since a sample misses
# the worst: plain tanh' is 4.6 units off at 1.7168269 among all floats, and 3.7 here.
_FORWARD, _BACKWARD, _DOUBLE = 1.9, 3.4, 3.6

_PLAIN = {"float": Recipe("single"), "double": Recipe("full")}
_CAREFUL = {
    "float": (
        Recipe("single", Strategy.LIGHT),
        Recipe("single", Strategy.PAIRED),
        Recipe("short"),
        # tails beyond float32's range, which another input brings back into it
        Recipe("full"),
    ),
    "double": (
        Recipe("full", Strategy.LIGHT),
        Recipe("full", Strategy.PAIRED),
        Recipe("full", span=Span.RESCUED),
        Recipe("full", Strategy.LIGHT, Span.RESCUED),
        Recipe("full", Strategy.PAIRED, Span.RESCUED),
    ),
}


# With AVX-512 the plain ones look numbers up, and more come between.
_TABLED = tuple(
    Recipe("single", strategy, tabled=True)
    for strategy in (
        Strategy.PLAIN,
        Strategy.FIRM,
        Strategy.FIRM_ARGUMENTS,
        Strategy.FIRM_SUMS,
        Strategy.LIGHT,
    )
)


def recipe(shape: Shape, *, memory: Memory, mode: Mode) -> Recipe:
    """Return how a kernel computes on this CPU; a 16-bit kernel as float32's, whose results it rounds."""
    return _chosen(shape, memory=memory, mode=mode, avx512=machine().scalef)


def portable_recipe(shape: Shape, *, memory: Memory, mode: Mode) -> Recipe:
    """Return the same without AVX-512: for code that runs elsewhere.

    Raises:
        NoKernels: machine code, and so trials, cannot be made here.
    """
    machine()
    return _chosen(shape, memory=memory, mode=mode, avx512=False)


def here(wanted: Recipe) -> Recipe:
    """Return the recipe with the instructions of this CPU."""
    return replace(wanted, scalef=machine().scalef)


def _chosen(shape: Shape, *, memory: Memory, mode: Mode, avx512: bool) -> Recipe:
    wide: Memory = "double" if memory == "double" else "float"
    return candidates(wide, avx512=avx512)[0] if mode == "fast" else _careful(_streamed(shape), wide, avx512=avx512)


@lru_cache(maxsize=4)
def candidates(wide: Memory, *, avx512: bool) -> tuple[Recipe, ...]:
    """Return every recipe for float32 or float64 tensors, the plain one first."""
    tabled = avx512 and wide == "float"
    recipes = (*_TABLED, *_CAREFUL[wide][1:]) if tabled else (_PLAIN[wide], *_CAREFUL[wide])
    return tuple(replace(each, scalef=avx512) for each in recipes)


def _streamed(shape: Shape) -> Shape:
    """Return the shape with every derivative wanted and every argument a stream: one choice for all kernels."""
    wanted = None if shape.wanted is None else (True,) * len(shape.args)
    access: tuple[Access, ...] = tuple("stream" for _ in shape.args)
    return Shape(shape.expression, shape.args, access, wanted)


@lru_cache(maxsize=4096)
def _careful(shape: Shape, wide: Memory, *, avx512: bool) -> Recipe:
    recipes = candidates(wide, avx512=avx512)
    key = key_of(shape, wide, avx512=avx512)
    stored = stored_choices.index_of(key)
    if stored is not None:
        return recipes[stored]
    entry = cache.key_of(f"recipe {key}", machine=machine().key)
    kept = cache.read(entry)
    if kept is not None:
        return recipes[int(kept)]
    found = tried(shape, wide, avx512=avx512)
    cache.write(entry, str(found).encode())
    return recipes[found]


def key_of(shape: Shape, wide: Memory, *, avx512: bool) -> str:
    """Return a name for all that the choice depends on, besides the version of the kernels."""
    names = ",".join(leaf.name for leaf in shape.args)
    direction = "forward" if shape.wanted is None else "backward"
    return f"{shape.expression.digest} {names} {direction} {wide} {'avx512' if avx512 else 'portable'}"


def tried(shape: Shape, wide: Memory, *, avx512: bool) -> int:
    """Find the cheapest recipe within the bound, and return its index in `candidates`."""
    recipes = candidates(wide, avx512=avx512)
    points = sample(shape, wide)
    bounds = _reference(shape, wide, points, avx512=avx512)
    plain, *others = recipes
    if _within(shape, wide, plain, points, bounds):
        return 0
    others.sort(key=lambda each: _cost(shape, wide, each))
    last = recipes[-1]
    return recipes.index(next(each for each in others if each == last or _within(shape, wide, each, points, bounds)))


def _cost(shape: Shape, wide: Memory, candidate: Recipe) -> int:
    """Count vector instructions for sixteen elements, a division as eight."""
    text = text_of(plan(shape, memory=wide, recipe=candidate))
    body = text.partition("body:")[2].partition("rest:")[0]
    twice = 2 if candidate.kind == "double" else 1
    return twice * (body.count("\n") + 7 * (body.count("fdiv") + body.count("@llvm.sqrt")))


def sample(shape: Shape, wide: Memory) -> list[Tensor]:
    """Return points for every argument (and an incoming gradient of 1): dense, random, tiny, huge and special ones."""
    x = _line(torch.float64 if wide == "double" else torch.float32)
    columns = [x, *(x[_shuffled(len(x), seed=at)] for at in range(1, len(shape.args)))]
    if any(isinstance(leaf, ParamRef) for leaf in shape.args):
        # an infinite input and a huge or tiny parameter: the result depends on the type's range (`infinite_inputs`)
        columns[0] = x.clamp(-torch.finfo(x.dtype).max, torch.finfo(x.dtype).max)
    return columns if shape.wanted is None else [torch.ones_like(x), *columns]


@lru_cache(maxsize=2)
def _line(dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    count = 1 << 16
    limits = torch.finfo(dtype)
    powers = torch.linspace(-45 if dtype == torch.float32 else -320, log10(limits.max), count // 4)
    tiny_to_huge = (10.0 ** powers.double()).to(dtype)
    parts = [
        torch.linspace(-20, 20, 3 * count, dtype=dtype),
        torch.linspace(-120, 120, count // 2, dtype=dtype),
        torch.linspace(-3000, 3000, count, dtype=dtype),
        3 * torch.randn(count, dtype=dtype, generator=generator),
        tiny_to_huge,
        -tiny_to_huge,
        _beside(torch.arange(-20, 21, dtype=dtype) / 2),
        _beside((torch.arange(-200, 201, dtype=torch.float64) * (pi / 2)).to(dtype)),
        torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), limits.max, -limits.max], dtype=dtype),
    ]
    return torch.cat(parts)


def _beside(places: Tensor) -> Tensor:
    """Return the floats nearest to each place on either side: where pieces of a formula or a program may meet."""
    steps = torch.arange(-4, 5, dtype=places.dtype) * torch.finfo(places.dtype).eps / 2
    return (places[:, None] * (1 + steps)).flatten()


@lru_cache(maxsize=8)
def _shuffled(count: int, *, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _reference(shape: Shape, wide: Memory, points: Sequence[Tensor], *, avx512: bool) -> list[tuple[Tensor, Tensor]]:
    """Return each output's value, in float64 or in float64 with carried errors, and the error it may have."""
    wider = measured(shape)
    if wide == "double":
        wider = replace(wider, recipe=replace(wider.recipe, strategy=Strategy.PAIRED, span=Span.RESCUED))
    wider = replace(wider, recipe=replace(wider.recipe, scalef=avx512))
    results = evaluated(wider, [each.double() for each in points])
    half = len(results) // 2
    bound = _DOUBLE if wide == "double" else _FORWARD if shape.wanted is None else _BACKWARD
    return [
        (value, _allowed(value, operand, wide, bound=bound))
        for value, operand in zip(results[:half], results[half:], strict=True)
    ]


def _allowed(value: Tensor, operand: Tensor, wide: Memory, *, bound: float) -> Tensor:
    """Return the allowed errors. Where the outermost sum cancels to half its larger operand or less, the operand's
    units count.
    """
    cancels = value.abs() < operand / 2
    rooted = min(bound, _FORWARD) * spacing(operand, wide)
    return torch.where(cancels, torch.maximum(rooted, bound * spacing(value, wide)), bound * spacing(value, wide))


def spacing(value: Tensor, wide: Memory) -> Tensor:
    """Return the distance from one float of the type to the next, at the value."""
    digits, least = (53, -1074) if wide == "double" else (24, -149)
    exponent = torch.frexp(value.abs())[1]
    return torch.ldexp(torch.ones_like(value), (exponent - digits).clamp(min=least))


def _within(
    shape: Shape, wide: Memory, candidate: Recipe, points: Sequence[Tensor], bounds: Sequence[tuple[Tensor, Tensor]]
) -> bool:
    made = plan(shape, memory=wide, recipe=candidate)
    results = evaluated(made, points)
    return all(_agrees(result, value, allowed) for result, (value, allowed) in zip(results, bounds, strict=True))


def _agrees(result: Tensor, value: Tensor, allowed: Tensor) -> bool:
    rounded = value.to(result.dtype)
    error = (result.double() - value).abs()
    same = (result == rounded) | (torch.isnan(result) & torch.isnan(rounded))
    return bool((same | (error <= allowed)).all())


def evaluated(made: Plan, points: Sequence[Tensor]) -> list[Tensor]:
    """Run the kernel on contiguous tensors of one length and return its outputs."""
    count = points[0].numel()
    outputs = [torch.empty_like(points[0]) for _ in range(made.outputs)]
    operands = [(each.data_ptr(), count, 0) for each in (*points, *outputs)]
    run(compiled(text_of(made)), Grid(1, 1, count), operands)
    return outputs
