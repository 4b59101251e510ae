"""The points at which an implementation is compared with its formula, all numbers of the measured dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from actlab.formula.expr import Call, Expr, Where, walk
from actlab.lower.straight_line import Leaf
from actlab.measure.accuracy.error_bounds import evaluated
from actlab.measure.accuracy.ulp import Format

Places = NDArray[np.float64]

# The dense points lie between minus and plus this.
CORE = 20.0

# The numbers of the dtype on either side of each root and kink.
_BESIDE = 8
_MOST_CROSSINGS = 96
# The values of one input of a gated unit while the other varies.
_HELD = (1.0, -2.5, 0.3125)


def points(
    formulas: Sequence[Expr], args: tuple[Leaf, ...], *, fmt: Format, seed: int = 0, count: int
) -> tuple[Places, ...]:
    """Choose about `count` points, or pairs of them, as one array per input; in 16 bits, every number.

    Dense and random within [−20, 20], spread over all magnitudes from the smallest subnormal number to the largest
    finite one, powers of two, both zeros, the infinities, NaN, and around every kink and root of the formulas.
    """
    random = np.random.default_rng(seed)
    if len(args) == 1:
        return (_line(formulas, args[0], fmt=fmt, random=random, count=count),)
    assert len(args) == 2
    parts = [*_pairs_of_slices(formulas, args, fmt=fmt, random=random, count=count)]
    return tuple(np.concatenate([part[at] for part in parts]) for at in range(2))


def tensor(places: Places, fmt: Format) -> torch.Tensor:
    """Return the points as a tensor of the dtype."""
    return torch.from_numpy(places.copy()).to(getattr(torch, fmt.name))


def all_of_sixteen_bits(fmt: Format) -> Places:
    """List all 65,536 numbers of a 16-bit dtype, including infinities and NaNs."""
    patterns = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int16)
    found: Places = patterns.view(getattr(torch, fmt.name)).double().numpy()
    return found


def _line(formulas: Sequence[Expr], arg: Leaf, *, fmt: Format, random: np.random.Generator, count: int) -> Places:
    if fmt.bits == 16:
        return all_of_sixteen_bits(fmt)
    return np.concatenate(
        [_finite_line(formulas, (arg,), {}, fmt=fmt, random=random, count=count), [np.inf, -np.inf, np.nan]]
    )


def _finite_line(
    formulas: Sequence[Expr],
    args: tuple[Leaf, ...],
    held: dict[Leaf, float],
    *,
    fmt: Format,
    random: np.random.Generator,
    count: int,
) -> Places:
    """Choose points of the one argument that is not fixed."""
    free = next(arg for arg in args if arg not in held)
    general = rounded(np.concatenate([_core(random, count), _everywhere(fmt, random, count // 3), _powers(fmt)]), fmt)
    general = np.unique(np.concatenate([general, -general]))
    found = _crossings(_functions(formulas, free, held), general)
    around = [beside(place, fmt) for place in found]
    return np.concatenate([general, *around, [0.0, -0.0]])


def _core(random: np.random.Generator, count: int) -> Places:
    """Draw one random point in each of many equal cells of [0, 20], and normal ones."""
    cells = count // 4
    spread = (np.arange(cells) + random.uniform(size=cells)) * (CORE / cells)
    return np.concatenate([spread, np.abs(random.normal(size=count // 12)) * 3])


def _everywhere(fmt: Format, random: np.random.Generator, count: int) -> Places:
    """Draw one random point in each of many cells of equal ratio, from the smallest number to the largest."""
    cells = count // 2
    low, high = np.log2(fmt.smallest), fmt.most + 1
    exponents = low + (np.arange(cells) + random.uniform(size=cells)) * (high - low) / cells
    found: Places = np.minimum(np.exp2(np.minimum(exponents, 1023.9999)), fmt.largest)
    return found


def _powers(fmt: Format) -> Places:
    """List powers of two with their neighbors, the smallest numbers and the largest."""
    step = 1 if fmt.bits == 32 else 8
    powers = np.exp2(np.arange(fmt.least, fmt.most + 1, step, dtype=np.float64))
    ends = [fmt.smallest * np.arange(1, 9), [fmt.largest], beside(fmt.largest, fmt)]
    return np.concatenate([powers, powers * (1 + 2.0 ** (1 - fmt.digits)), powers * (1 - 2.0**-fmt.digits), *ends])


def rounded(places: Places, fmt: Format) -> Places:
    """Round to the nearest numbers of the dtype."""
    found: Places = tensor(places, fmt).double().numpy()
    return found


def beside(place: float, fmt: Format) -> Places:
    """List the finite numbers of the dtype nearest to the place and on both sides of it."""
    kind = np.float64 if fmt.bits == 64 else np.float32
    here = rounded(np.array([place]), fmt).astype(kind)
    below, above = [here], [here]
    with np.errstate(over="ignore"):
        for _ in range(_BESIDE):
            below.append(np.nextafter(below[-1], kind(-np.inf)))
            above.append(np.nextafter(above[-1], kind(np.inf)))
    found = np.concatenate(below + above[1:]).astype(np.float64)
    return found[np.abs(found) <= fmt.largest]


def _functions(formulas: Sequence[Expr], free: Leaf, held: dict[Leaf, float]) -> Iterator[Callable[[Places], Places]]:
    """Iterate over the formulas and the differences whose sign decides a branch: their zeros are roots and kinks."""
    wanted = [*formulas, *{difference: None for formula in formulas for difference in _differences(formula)}]
    for formula in wanted:

        def function(x: Places, formula: Expr = formula) -> Places:
            given = {free: x, **{arg: np.full_like(x, value) for arg, value in held.items()}}
            return np.asarray(evaluated([formula], given)[formula].value)

        yield function


def _differences(formula: Expr) -> Iterator[Expr]:
    for node in walk(formula):
        match node:
            case Where(condition, _, _):
                yield condition.left - condition.right
            case Call("min" | "max", (left, right)):
                yield left - right
            case Call("abs" | "sign", (operand,)):
                yield operand


def _crossings(functions: Iterator[Callable[[Places], Places]], places: Places) -> list[float]:
    """Find where a function changes sign between neighboring points, and where it is 0 while a neighbor is not."""
    found: dict[float, None] = {}
    for function in functions:
        signs = np.sign(function(places))
        signs = np.where(np.isnan(signs), 2, signs)
        (change,) = np.nonzero(signs[1:] != signs[:-1])
        change = _nearest_to_zero(change, places)
        found.update(dict.fromkeys(_bisected(function, places[change], places[change + 1], signs[change]).tolist()))
    return list(found)


def _nearest_to_zero(change: NDArray[np.intp], places: Places) -> NDArray[np.intp]:
    return change[np.argsort(np.abs(places[change]), kind="stable")[:_MOST_CROSSINGS]]


def _bisected(function: Callable[[Places], Places], low: Places, high: Places, signs: Places) -> Places:
    low, high = low.copy(), high.copy()
    for _ in range(80):
        middle = low / 2 + high / 2
        here = np.sign(function(middle)) if len(middle) else middle
        same = np.where(np.isnan(here), 2, here) == signs
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return high


def _pairs_of_slices(
    formulas: Sequence[Expr], args: tuple[Leaf, ...], *, fmt: Format, random: np.random.Generator, count: int
) -> Iterator[tuple[Places, Places]]:
    for at in range(2):
        for value in _HELD:
            if fmt.bits == 16:
                line = all_of_sixteen_bits(fmt)
            else:
                line = _finite_line(formulas, args, {args[1 - at]: value}, fmt=fmt, random=random, count=count // 16)
                line = np.concatenate([line, [np.inf, -np.inf, np.nan]])
            other = np.full_like(line, value)
            yield (line, other) if at == 0 else (other, line)
    near = rounded(random.uniform(-CORE, CORE, size=(2, count // 3)), fmt)
    yield near[0], near[1]
    far = rounded(_everywhere(fmt, random, count // 3) * random.choice([-1.0, 1.0], size=count // 3 // 2), fmt)
    yield far, random.permutation(far)
    few = np.array(
        [0.0, -0.0, fmt.smallest, 1.0, -1.0, 0.5, -3.0, 7.0, -7.0, 30.0, -30.0, -110.0, fmt.largest, -fmt.largest]
    )
    left, right = np.meshgrid(few, few)
    yield left.ravel(), right.ravel()
