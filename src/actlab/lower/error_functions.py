"""The error function and the normal distribution, in vector code."""

from __future__ import annotations

from fractions import Fraction

from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.coefficients import POLYNOMIALS
from actlab.lower.exponential import exp_of_negative
from actlab.lower.fit_ranges import TAIL
from actlab.lower.numerals import HALF_ROOT, INVERSE_ROOT_TWO_PI, below_zero, clamped, horner, kept_exact, with_sign
from actlab.lower.vector import Value


def erf(a: Arithmetic, x: Num) -> Num:
    """The error function: a polynomial up to 1/2, beyond it one minus the tail."""
    near, far = _erf_near(a, x), a.sub(a.constant(1), _erfc_beyond_zero(a, a.abs(x)))
    return a.select(_is_near(a, x), near, with_sign(a, far, x))


def erfc(a: Arithmetic, x: Num) -> Num:
    """1 − erf, its tail kept."""
    tail = _erfc_beyond_zero(a, a.abs(x))
    return a.select(below_zero(a, x), a.sub(a.constant(2), tail), tail)


def normal_cdf(a: Arithmetic, x: Num) -> Num:
    """erfc(−x/√2)/2, whose exponential is of −x²/2 itself and not of a rounded x/√2."""
    size = a.abs(x)
    tail = _tail(a, a.mul(size, a.constant(HALF_ROOT)), _normal_decay(a, size))
    half = a.mul(a.constant(Fraction(1, 2)), tail)
    return a.select(below_zero(a, x), half, a.sub(a.constant(1), half))


def normal_pdf(a: Arithmetic, x: Num) -> Num:
    """exp(−x²/2)/√(2π)."""
    return a.mul(a.constant(INVERSE_ROOT_TWO_PI), _normal_decay(a, a.abs(x)))


def _is_near(a: Arithmetic, x: Num) -> Value:
    return a.block.compare("olt", a.block.abs(x.hi), a.real(0.5))


def _erf_near(a: Arithmetic, x: Num) -> Num:
    square = a.block.mul(x.hi, x.hi)
    first, *rest = (Fraction(each) for each in POLYNOMIALS[a.recipe.accuracy, "erf"])
    # the leading coefficient apart, so that its rounding does not count
    result = a.real(Fraction(rest[-1]))
    for coefficient in reversed(rest[:-1]):
        result = a.block.fma(result, square, a.real(coefficient))
    higher = a.block.mul(result, square)
    return a.mul(x, a.add_smaller(a.constant(first), Num(higher)))


def _erfc_beyond_zero(a: Arithmetic, t: Num) -> Num:
    square = a.mul(t, t)
    if not a.recipe.paired and a.recipe.accuracy != "short":
        lost = a.block.fma(t.hi, t.hi, a.block.neg(square.hi))
        square = Num(square.hi, lost)  # where the square is infinite, so is this, and `clamped` drops it
    return _tail(a, t, exp_of_negative(a, a.neg(square)))


def _normal_decay(a: Arithmetic, size: Num) -> Num:
    """exp(−x²/2)."""
    square = a.mul(size, size)
    if not a.recipe.paired and a.recipe.accuracy != "short":
        # the square's rounding error, which the exponential would magnify by the square
        lost = a.block.fma(size.hi, size.hi, a.block.neg(square.hi))
        square = Num(square.hi, lost)  # where the square is infinite, so is this, and `clamped` drops it
    return exp_of_negative(a, a.mul(a.constant(Fraction(-1, 2)), square))


def _tail(a: Arithmetic, t: Num, decay: Num) -> Num:
    """erfc(t) for t >= 0 from exp(−t²): (1 − p)·q(p) with p = (t − k)/(t + k), so 1 − p = 2k/(t + k)."""
    far, pole = (Fraction(each) for each in TAIL[a.recipe.accuracy])
    held = clamped(a, t, low=None, high=float(far))
    k = a.constant(pole)
    bottom = a.add(held, k)
    share = (
        a.div(a.constant(2 * pole), bottom)
        if a.recipe.accuracy == "full" or a.recipe.paired
        else Num(a.block.mul(a.real(2 * pole), a.reciprocal_near_one(bottom.hi)))
    )
    p = a.sub(a.constant(1), share)
    return a.mul(decay, a.mul(share, _corrected_horner(a, "erfc", p)))


def _corrected_horner(a: Arithmetic, name: str, x: Num) -> Num:
    """The polynomial; in paired arithmetic its last steps, and the argument's correction, are paired too."""
    if not a.recipe.paired:
        return Num(horner(a, name, x.hi))
    coefficients = [Fraction(each) for each in POLYNOMIALS[a.recipe.accuracy, name]]
    kept = 4
    result = a.real(coefficients[-1])
    for coefficient in reversed(coefficients[kept:-1]):
        result = a.block.fma(result, x.hi, a.real(coefficient))
    paired = Num(result)
    for coefficient in reversed(coefficients[:kept]):
        paired = a.add(a.constant(kept_exact(coefficient)), a.mul(paired, x))
    return paired
