"""The error function and the normal distribution, in vector code."""

from __future__ import annotations

from fractions import Fraction

from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.exponential import exp_of_negative
from actlab.lower.fit_ranges import MIDDLE, TAILS
from actlab.lower.numerals import INVERSE_ROOT_TWO_PI, below_zero, clamped, horner, kept_exact, with_sign
from actlab.lower.polynomials import normal_tail, polynomial
from actlab.lower.vector import Value, nearest


def erf(a: Arithmetic, x: Num) -> Num:
    """Compute the error function: a polynomial up to 1/2, beyond it one minus the tail."""
    near, far = _erf_near(a, x), a.sub(a.constant(1), _erfc_beyond_zero(a, a.abs(x)))
    return a.select(_is_near(a, x), near, with_sign(a, far, x))


def erfc(a: Arithmetic, x: Num) -> Num:
    """Compute 1 − erf without losing its tail."""
    tail = _erfc_beyond_zero(a, a.abs(x))
    return a.select(below_zero(a, x), a.sub(a.constant(2), tail), tail)


def normal_cdf(a: Arithmetic, x: Num) -> Num:
    """Compute the distribution function: its tail, or 1 − the tail."""
    size = a.abs(x)
    decay = _normal_decay(a, size)
    if a.recipe.tabled and a.recipe.firm:
        return _firm_normal_cdf(a, x, decay, _tabled_ratio(a, size))
    tail = a.mul(decay, _tabled_ratio(a, size)) if a.recipe.tabled else _tail(a, "normal_tail", size, decay)
    return a.select(below_zero(a, x), tail, _one_less(a, tail))


def _firm_normal_cdf(a: Arithmetic, x: Num, decay: Num, ratio: Num) -> Num:
    """Compute decay·ratio or 1 − that, rounded down: a correction of its sign keeps products of −0 and ∞ right."""
    block = a.block
    assert ratio.lo is not None
    minus = block.neg(a.settled(decay).hi)
    below = block.fma(minus, ratio.hi, a.real(1 - Fraction(1, 2**22)))
    rest = block.fma(minus, ratio.hi, block.sub(a.real(1.0), below))
    less = Num(below, block.fma(minus, ratio.lo, rest))
    return a.select(below_zero(a, x), a.exact_product(decay, ratio), less)


def normal_pdf(a: Arithmetic, x: Num) -> Num:
    """Compute exp(−x²/2)/√(2π)."""
    return a.mul(a.constant(INVERSE_ROOT_TWO_PI), _normal_decay(a, a.abs(x)))


def _is_near(a: Arithmetic, x: Num) -> Value:
    return a.block.compare("olt", a.block.abs(x.hi), a.real(0.5))


def _erf_near(a: Arithmetic, x: Num) -> Num:
    square = a.block.mul(x.hi, x.hi)
    first, *rest = polynomial(a.recipe.accuracy, "erf")
    # the leading coefficient apart, so that its rounding does not count
    result = a.real(rest[-1])
    for coefficient in reversed(rest[:-1]):
        result = a.block.fma(result, square, a.real(coefficient))
    higher = a.block.mul(result, square)
    total = a.add_smaller(a.constant(first), Num(higher))
    return a.mul(x, Num(total.hi) if a.recipe.firm else total)  # a firm product of −0 would lose its sign


def _erfc_beyond_zero(a: Arithmetic, t: Num) -> Num:
    square = a.mul(t, t)
    if not a.recipe.paired and a.recipe.accuracy != "short":
        lost = a.block.fma(t.hi, t.hi, a.block.neg(square.hi))
        square = Num(square.hi, lost)  # where the square is infinite, so is this, and `clamped` drops it
    return _tail(a, "erfc", t, exp_of_negative(a, a.neg(square)))


def _normal_decay(a: Arithmetic, size: Num) -> Num:
    """Compute exp(−x²/2)."""
    square = a.mul(size, size)
    if not a.recipe.paired and a.recipe.accuracy != "short":
        # the square's rounding error, which the exponential would magnify by the square
        lost = a.block.fma(size.hi, size.hi, a.block.neg(square.hi))
        square = Num(square.hi, lost)  # where the square is infinite, so is this, and `clamped` drops it
    return exp_of_negative(a, a.mul(a.constant(Fraction(-1, 2)), square))


def _tail(a: Arithmetic, name: str, t: Num, decay: Num) -> Num:
    """Compute exp(−t²)·(1 − p)·q(p) with p = (t − k)/(t + k), so 1 − p = 2k/(t + k), for t >= 0 and its own
    exponential.
    """
    far, pole = (Fraction(each) for each in TAILS[a.recipe.accuracy, name])
    held = clamped(a, t, low=None, high=float(far))
    share = a.mul(a.constant(2 * pole), _reciprocal(a, a.add(held, a.constant(pole))))
    middle = a.real(1.0 + MIDDLE)
    centred = Num(a.block.sub(middle, share.hi))
    if share.lo is not None:
        # what the subtraction loses (nothing for shares above 0.625), and the share's own correction
        lost = a.block.sub(a.block.sub(middle, centred.hi), share.hi)
        centred = Num(centred.hi, a.block.sub(lost, share.lo))
    return a.mul(decay, a.mul(share, _corrected_horner(a, name, centred)))


def _tabled_ratio(a: Arithmetic, t: Num) -> Num:
    """Compute Φ(−t)·exp(t²/2) by a polynomial whose coefficients come from registers."""
    block, segments, (far, _) = a.block, normal_tail(), TAILS["single", "normal_tail"]
    held = clamped(a, t, low=None, high=far)
    # the lowest bits of the exponent of 1 + t and the highest of its significand
    number = block.binary("lshr", block.bits(block.add(held.hi, a.real(1.0))), block.whole(21, "i32"))
    off = block.sub(held.hi, a.looked_up(segments.centers, number))
    off = off if held.lo is None else block.add(off, held.lo)
    constants, *tables = segments.coefficients
    slope = a.looked_up(tables[-1], number)
    for table in reversed(tables[:-1]):
        slope = block.fma(slope, off, a.looked_up(table, number))
    constant = a.looked_up(constants, number)
    ratio = block.fma(slope, off, constant)
    if not (a.recipe.firm or a.recipe.light):
        return Num(ratio)
    rest = a.looked_up([each - Fraction(nearest(each, "float")) for each in constants], number)
    return Num(ratio, block.add(block.fma(slope, off, block.sub(constant, ratio)), rest))


def _reciprocal(a: Arithmetic, b: Num) -> Num:
    """Compute 1 / b for b from 2 to 64."""
    reciprocal = a.reciprocal_near_one(b.hi)
    if not a.recipe.paired:
        return Num(reciprocal)
    block, minus = a.block, a.block.neg(reciprocal)
    rest = block.fma(minus, b.hi, a.real(1.0))
    rest = rest if b.lo is None else block.fma(minus, b.lo, rest)
    return Num(reciprocal, block.mul(rest, reciprocal))


def _one_less(a: Arithmetic, tail: Num) -> Num:
    """Compute 1 − tail for a tail of at most 1/2."""
    return a.add_smaller(a.constant(1), a.neg(tail))


def _corrected_horner(a: Arithmetic, name: str, x: Num) -> Num:
    """Evaluate the polynomial; in paired arithmetic with a correction, from its last two steps and the argument's."""
    if not a.recipe.paired or x.lo is None:
        return Num(horner(a, name, x.hi))
    block = a.block
    first, second, *others = map(kept_exact, polynomial(a.recipe.accuracy, name))
    inner = a.real(others[-1])
    for coefficient in reversed(others[:-1]):
        inner = block.fma(inner, x.hi, a.real(coefficient))
    middle, its_loss = _last_step(a, inner, x.hi, second)
    total, lost = _last_step(a, middle, x.hi, first)
    lost = block.fma(its_loss, x.hi, lost)
    # the effect of the argument's correction: three terms of the derivative are plenty
    bend = block.fma(a.real(3 * others[1]), x.hi, a.real(2 * others[0]))
    return Num(total, block.fma(block.fma(bend, x.hi, a.real(second)), x.lo, lost))


def _last_step(a: Arithmetic, inner: Value, x: Value, coefficient: Fraction) -> tuple[Value, Value]:
    """Compute inner·x + coefficient, and what its rounding and the coefficient's lose."""
    block, leading = a.block, a.constant(coefficient)
    total = block.fma(inner, x, leading.hi)
    lost = block.fma(inner, x, block.sub(leading.hi, total))
    return total, lost if leading.lo is None else block.add(lost, leading.lo)
