"""Exponentials, logarithms and functions built from them, in vector code."""

from __future__ import annotations

from fractions import Fraction

from actlab.lower.arithmetic import Arithmetic, Num, Span
from actlab.lower.numerals import (
    HALF_ROOT,
    INVERSE_LOGS,
    INVERSE_LOGS_LOST,
    INVERSES,
    LEADING_BITS,
    LN2,
    POWERS,
    POWERS_LOST,
    bits_of,
    clamped,
    horner,
    kept_zero,
    leading_part,
    with_sign,
)
from actlab.lower.vector import DIGITS, INTEGER, Value

# Beyond these exp is infinite beside any float, or so small that its product with the largest one is 0 too; and expm1
# is −1. The lower ones are 2ⁿ·m with m < 1, so that the product does not overflow before it is scaled. A product of the
# two limits is 0: what falls as e to the power of −eᵘ outdoes what grows as eᵘ.
EXP_RANGE = {"float": (-1000.3, 200.0), "double": (-3000.0, 1500.0)}
# Likewise, of exponentials that are as small and as large as they are.
_VAST_RANGE = (-(2.0**40), 2.0**30)
EXPM1_LEAST = {"float": -26.0, "double": -44.0}


def exp(a: Arithmetic, x: Num) -> Num:
    """Compute eˣ: reduction by ln 2 in two parts (Cody, Waite 1980), a polynomial, an exact scaling."""
    low, high = _range(a)
    return _power(a, clamped(a, x, low=low, high=high))


def _range(a: Arithmetic) -> tuple[float, float]:
    return _VAST_RANGE if a.recipe.span is Span.TINY_EXPONENTIALS else EXP_RANGE[a.kind]


def expm1(a: Arithmetic, x: Num) -> Num:
    """Compute eˣ − 1, with relative accuracy at 0, without a branch."""
    _, high = _range(a)
    return kept_zero(a, x, _power_less_one(a, clamped(a, x, low=EXPM1_LEAST[a.kind], high=high)))


def log(a: Arithmetic, x: Num) -> Num:
    """Compute the natural logarithm: −∞ at 0, NaN below."""
    result = _log_of_positive(a, x)
    return _log_edges(a, x.hi, result)


def log1p(a: Arithmetic, x: Num) -> Num:
    """Compute log(1 + x), carrying along what 1 + x rounds away."""
    block, one = a.block, a.real(1.0)
    total = block.add(one, x.hi)
    back = block.sub(total, one)
    lost = block.add(block.sub(one, block.sub(total, back)), block.sub(x.hi, back))
    lost = lost if x.lo is None else block.add(lost, x.lo)
    finite = block.compare("ord", lost, lost)
    result = _log_of_positive(a, Num(total, block.select(finite, lost, a.real(0.0))))
    return kept_zero(a, x, _log_edges(a, total, result))


def softplus(a: Arithmetic, x: Num) -> Num:
    """Compute log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)."""
    tail = _log1p_of_unit(a, _decay(a, x))
    positive = a.block.compare("ogt", x.hi, a.real(0.0))
    return a.add(a.select(positive, x, a.constant(0)), tail)


def log_sigmoid(a: Arithmetic, x: Num) -> Num:
    return a.neg(softplus(a, a.neg(x)))


def sigmoid(a: Arithmetic, x: Num) -> Num:
    """Compute 1/(1 + e⁻ˣ) from e^−|x|, so that neither tail is lost."""
    decay = _decay(a, x)
    positive = a.block.compare("oge", x.hi, a.real(0.0))
    one = a.constant(1)
    # the correction of a summand beside 1 is worth a quarter of a unit at most
    below = a.add_smaller(one, Num(a.settled(Num(decay.hi, scale=decay.scale)).hi))
    return a.div_near_one(a.select(positive, one, decay), below)


def tanh(a: Arithmetic, x: Num) -> Num:
    """Compute −m/(2 + m) of m = e^(−2|x|) − 1, with the sign of x."""
    twice = a.mul(a.abs(x), a.constant(-2))
    below = _power_less_one(a, clamped(a, twice, low=EXPM1_LEAST[a.kind], high=0.0))
    size = a.div_near_one(a.neg(a.settled(below)), a.add_smaller(a.constant(2), below))
    return with_sign(a, size, x)


def tanh_of_softplus(a: Arithmetic, x: Num) -> Num:
    """Compute tanh(log(1 + eˣ)) = ((1 + eˣ)² − 1)/((1 + eˣ)² + 1), with e^−|x| alone."""
    decay, positive = _decay(a, x), a.block.compare("oge", x.hi, a.real(0.0))
    if a.recipe.firm or a.recipe.light:
        return a.div_near_one(*_carried_parts(a, decay, positive))
    square, other = _parts_of_two_softplus(a, decay, positive)
    above = a.add_smaller(a.constant(1), a.mul(a.constant(2), decay))
    below = a.mul(decay, a.add_smaller(a.constant(2), decay))
    return a.div_near_one(a.select(positive, above, below), a.add_smaller(square, other))


def sigmoid_of_two_softplus(a: Arithmetic, x: Num, *, negative: bool) -> Num:
    """Compute sigmoid(±2·log(1 + eˣ)), again with e^−|x| alone, and with the divisor of `tanh_of_softplus`."""
    decay, positive = _decay(a, x), a.block.compare("oge", x.hi, a.real(0.0))
    square, other = _parts_of_two_softplus(a, decay, positive)
    if a.recipe.firm or a.recipe.light:
        _, divisor = _carried_parts(a, decay, positive)
    else:
        divisor = a.add_smaller(square, other)
    return a.div_near_one(other if negative else square, divisor)


def _parts_of_two_softplus(a: Arithmetic, decay: Num, positive: Value) -> tuple[Num, Num]:
    """Return (1 + eˣ)² and 1, both times e² where x >= 0, e being e^−|x|."""
    onward = a.add_smaller(a.constant(1), decay)
    return a.mul(onward, onward), a.select(positive, a.mul(decay, decay), a.constant(1))


def _carried_parts(a: Arithmetic, decay: Num, positive: Value) -> tuple[Num, Num]:
    """Return the difference of the two, (2 + e)·e or 1 + 2e, and their sum, that + 2 or + 2e², with their rounding
    errors.
    """
    block, one, two = a.block, a.real(1.0), a.real(2.0)
    e, scale = _held_above(a, decay)
    factor, addend = block.select(positive, two, e), block.select(positive, one, block.mul(two, e))
    difference = block.fma(e, factor, addend)
    lost = block.fma(e, factor, block.sub(addend, difference))
    large = block.select(positive, difference, two)
    small = block.select(positive, block.mul(block.mul(two, e), e), difference)
    total = block.add(large, small)
    its_loss = block.sub(small, block.sub(total, large))
    scale = block.select(positive, a.real(0.0), scale)
    return Num(difference, lost, scale=scale), Num(total, block.add(its_loss, lost))


def _held_above(a: Arithmetic, small: Num) -> tuple[Value, Value]:
    """Drop the number's power of two, unless the number is negligible beside 1 because of it."""
    assert small.scale is not None
    held = clamped(a, Num(small.scale), low=-100.0, high=None).hi
    return a.scaled(small.hi, held), a.block.sub(small.scale, held)


def exp_of_negative(a: Arithmetic, x: Num) -> Num:
    """Compute eˣ for x <= 0, which cannot overflow; a correction of x counts in plain arithmetic too."""
    low, _ = _range(a)
    return _power(a, clamped(a, x, low=low, high=None))


def _power(a: Arithmetic, x: Num) -> Num:
    """Compute eˣ = 2ⁿ·(1 + m), with n apart."""
    if a.recipe.tabled:
        return _tabled_power(a, x)
    n, m = exponential_parts(a, x)
    return scaled(_one_and(a, m), n)


def _power_less_one(a: Arithmetic, x: Num) -> Num:
    """Compute eˣ − 1 = 2ⁿ·((eʳ − 1) + (1 − 2⁻ⁿ)), likewise."""
    n, m = exponential_parts(a, x)
    power = a.scaled(a.real(1.0), a.block.neg(n))
    return scaled(a.add(Num(a.block.sub(a.real(1.0), power)), m), n)


def _tabled_power(a: Arithmetic, x: Num) -> Num:
    """Compute eˣ = 2ⁿ·(T + t), T = 2^(j/16) from a register and t below T/40: only the last sum's rounding counts."""
    block = a.block
    magic = a.real(Fraction(3, 2) * 2 ** (DIGITS[a.kind] - 5))  # added, it puts sixteenths into the lowest bits
    sixteenths = block.fma(x.hi, a.real(1 / LN2), magic)
    k = block.sub(sixteenths, magic)
    minus, leading = block.neg(k), leading_part(LN2, bits=11)
    r = block.fma(minus, a.real(LN2 - leading), block.fma(minus, a.real(leading), x.hi))
    r = r if x.lo is None else block.add(r, x.lo)
    power, lost = (a.looked_up(table, block.bits(sixteenths)) for table in (POWERS, POWERS_LOST))
    m = block.fma(block.mul(r, r), horner(a, "exp_sixteenth", r), r)
    return Num(block.add(power, block.fma(power, m, lost)), scale=block.intrinsic("floor", k))


def exponential_parts(a: Arithmetic, x: Num) -> tuple[Value, Num]:
    """Return the n and m of eˣ = 2ⁿ·(1 + m), |m| < 0.42; m with its relative accuracy."""
    block = a.block
    n = block.rounded(block.mul(x.hi, a.real(1 / LN2)))
    minus = block.neg(n)
    if a.recipe.accuracy == "short":
        r, lost = block.fma(minus, a.real(LN2), x.hi), None
    else:
        leading = leading_part(LN2, bits=LEADING_BITS[a.kind])
        coarse = block.fma(minus, a.real(leading), x.hi)
        rest = a.real(LN2 - leading)
        r = block.fma(minus, rest, coarse)
        lost = block.fma(minus, rest, block.sub(coarse, r)) if a.recipe.paired else None
    if not a.recipe.paired:
        r = r if x.lo is None else block.add(r, x.lo)
        return n, Num(block.fma(block.mul(r, r), horner(a, "exp", r), r))
    quadratic = block.mul(block.mul(r, r), horner(a, "exp", r))
    correction = lost if x.lo is None or lost is None else block.add(lost, x.lo)
    assert correction is not None
    total = block.add(r, quadratic)
    onward = block.add(a.real(1.0), total)
    error = block.sub(quadratic, block.sub(total, r))
    return n, Num(total, block.fma(correction, onward, error))


def scaled(x: Num, n: Value) -> Num:
    return Num(x.hi, x.lo, scale=n)


def _one_and(a: Arithmetic, m: Num) -> Num:
    """Compute 1 + m; light arithmetic ignores the rounding."""
    if a.recipe.light:
        return Num(a.block.add(a.real(1.0), m.hi))
    return a.add_smaller(a.constant(1), m)


def _decay(a: Arithmetic, x: Num) -> Num:
    """Compute e^−|x|."""
    return exp_of_negative(a, a.neg(a.abs(x)))


def _log_of_positive(a: Arithmetic, x: Num) -> Num:
    """Compute log(2ᵏ·(1 + f)) = k·ln 2 + 2·artanh(f/(2 + f)) for √½ <= 1 + f < √2."""
    block, kind = a.block, a.kind
    digits, integer = DIGITS[kind], INTEGER[kind]
    least = Fraction(1, 2**126) if kind == "float" else Fraction(1, 2**1022)
    tiny = block.compare("olt", x.hi, a.real(least))
    upward = block.select(tiny, a.real(Fraction(2) ** digits), a.real(1.0))
    hi = block.mul(x.hi, upward)
    offset = block.whole(bits_of(HALF_ROOT, kind), integer)
    shifted = block.binary("sub", block.bits(hi), offset)
    exponent = block.binary("ashr", shifted, block.whole(digits - 1, integer))
    shift = block.binary("shl", exponent, block.whole(digits - 1, integer))
    mantissa = block.from_bits(block.binary("sub", block.bits(hi), shift), kind)
    k = block.line(f"sitofp {block.vector(integer)} {exponent.name} to {block.vector(kind)}", kind)
    k = block.sub(k, block.select(tiny, a.real(float(digits)), a.real(0.0)))
    f = Num(block.sub(mantissa, a.real(1.0)))
    if x.lo is not None:
        one = block.whole(bits_of(Fraction(1), kind), integer)
        down = block.from_bits(block.binary("sub", one, shift), kind)
        # beyond, `down` is subnormal, and the correction negligible
        normal = block.compare("olt", x.hi, a.real(2 / least))
        lo = block.select(normal, block.mul(block.mul(x.lo, upward), down), a.real(0.0))
        f = a.add(f, Num(lo)) if a.recipe.paired else Num(block.add(f.hi, lo))
    return _log_sum(a, k, f)


def _log_sum(a: Arithmetic, k: Value, f: Num) -> Num:
    """Compute k·ln 2 + log(1 + f)."""
    block = a.block
    s = a.div_near_one(f, a.add_smaller(a.constant(2), f))
    square = block.mul(s.hi, s.hi)
    cubic = block.mul(block.mul(square, s.hi), horner(a, "log", square))
    twice = a.mul(a.constant(2), s)
    leading = leading_part(LN2, bits=LEADING_BITS[a.kind])
    rest = block.fma(k, a.real(LN2 - leading), cubic)
    whole = block.mul(k, a.real(leading))
    return a.add(Num(whole), a.renewed(twice.hi, rest, twice.lo))


def _log1p_of_unit(a: Arithmetic, e: Num) -> Num:
    """Compute log(1 + e) for e from 0 to 1: 1 + e is halved where it lies above √2, which is exact."""
    e = a.settled(e)
    if a.recipe.tabled:
        return _tabled_log1p_of_unit(a, e)
    above = a.block.compare("ogt", e.hi, a.real(Fraction("0.41421356")))
    half = a.mul(a.add_smaller(a.constant(-1), e), a.constant(Fraction(1, 2)))
    k = a.block.select(above, a.real(1.0), a.real(0.0))
    return _log_sum(a, k, a.select(above, half, e))


def _tabled_log1p_of_unit(a: Arithmetic, e: Num) -> Num:
    """Compute −log(c) + log(1 + r), 1 + r = c·(1 + e), of a number c near 1/(1 + e) from a register."""
    block = a.block
    magic = a.real(Fraction(3, 2) * 2 ** (DIGITS[a.kind] - 1))
    index = block.bits(block.fma(e.hi, a.real(15.0), magic))
    near, log, lost = (a.looked_up(table, index) for table in (INVERSES, INVERSE_LOGS, INVERSE_LOGS_LOST))
    r = block.fma(e.hi, near, block.sub(near, a.real(1.0)))
    rest = block.fma(block.mul(r, r), horner(a, "log1p_fifteenth", r), lost)
    return Num(block.add(log, block.add(r, rest)))


def _log_edges(a: Arithmetic, x: Value, result: Num) -> Num:
    """Set the logarithm's values where x is 0, infinite, negative or NaN."""
    block = a.block
    regular = block.binary("and", block.compare("ogt", x, a.real(0.0)), block.compare("olt", x, a.real(float("inf"))))
    at_zero = block.select(block.compare("oeq", x, a.real(0.0)), a.real(float("-inf")), a.real(float("nan")))
    edge = block.select(block.compare("ogt", x, a.real(0.0)), x, at_zero)
    return a.select(regular, result, Num(edge))
