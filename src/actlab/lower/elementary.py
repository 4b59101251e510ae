"""The elementary functions in vector code: branch-free, of any of the recipes in `arithmetic`.

Errors, in units in the last place of the plain result, measured against 50 digits by
tests/unit/lower/test_elementary.py, which holds the bounds; paired, every one is below 0.6.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType

from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.coefficients import POLYNOMIALS
from actlab.lower.fit_ranges import TAIL
from actlab.lower.vector import DIGITS, INTEGER, Value

LN2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680009")
PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459")
HALF_ROOT = Fraction("0.707106781186547524400844362104849039284835937688474036588339869")  # 1/√2
INVERSE_ROOT_TWO_PI = Fraction("0.398942280401432677939946059934381868475858631164934657665925829")

# Beyond these, exp is infinite, or so small that its product with the largest float is 0 too; and expm1 is −1.
# The lower ones are 2ⁿ·m with m < 1, so that the product does not overflow before it is scaled.
_EXP_RANGE = {"float": (-1000.3, 89.0), "double": (-3000.0, 710.0)}
_EXPM1_LEAST = {"float": -26.0, "double": -44.0}

# Leading parts of ln 2 and π/2 short enough that a whole number of them is exact.
_LEADING_BITS = {"float": 12, "double": 33}


def horner(a: Arithmetic, name: str, x: Value) -> Value:
    """The named polynomial."""
    first, *rest = (Fraction(each) for each in reversed(POLYNOMIALS[a.recipe.accuracy, name]))
    result = a.real(first)
    for coefficient in rest:
        result = a.block.fma(result, x, a.real(coefficient))
    return result


def exp(a: Arithmetic, x: Num) -> Num:
    """eˣ. Reduction by ln 2 in two parts (Cody, Waite 1980), a polynomial, an exact scaling."""
    low, high = _EXP_RANGE[a.kind]
    n, m = _exponential_parts(a, _clamped(a, x, low=low, high=high))
    return _scaled(_one_and(a, m), n)


def expm1(a: Arithmetic, x: Num) -> Num:
    """eˣ − 1 = 2ⁿ·((eʳ − 1) + (1 − 2⁻ⁿ)): relative accuracy at 0 without a branch."""
    _, high = _EXP_RANGE[a.kind]
    n, m = _exponential_parts(a, _clamped(a, x, low=_EXPM1_LEAST[a.kind], high=high))
    power = a.scaled(a.real(1.0), a.block.neg(n))
    rest = Num(a.block.sub(a.real(1.0), power))
    result = _scaled(a.add(rest, m), n)
    return _kept_zero(a, x, result)


def log(a: Arithmetic, x: Num) -> Num:
    """The natural logarithm: −∞ at 0, NaN below."""
    result = _log_of_positive(a, x)
    return _log_edges(a, x.hi, result)


def log1p(a: Arithmetic, x: Num) -> Num:
    """log(1 + x): what 1 + x rounds away is carried along."""
    block, one = a.block, a.real(1.0)
    total = block.add(one, x.hi)
    back = block.sub(total, one)
    lost = block.add(block.sub(one, block.sub(total, back)), block.sub(x.hi, back))
    lost = lost if x.lo is None else block.add(lost, x.lo)
    finite = block.compare("ord", lost, lost)
    result = _log_of_positive(a, Num(total, block.select(finite, lost, a.real(0.0))))
    return _kept_zero(a, x, _log_edges(a, total, result))


def softplus(a: Arithmetic, x: Num) -> Num:
    """log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)."""
    tail = _log1p_of_unit(a, _decay(a, x))
    positive = a.block.compare("ogt", x.hi, a.real(0.0))
    return a.add(a.select(positive, x, a.constant(0)), tail)


def log_sigmoid(a: Arithmetic, x: Num) -> Num:
    return a.neg(softplus(a, a.neg(x)))


def sigmoid(a: Arithmetic, x: Num) -> Num:
    """1/(1 + e⁻ˣ), from e^−|x|, so that neither tail is lost."""
    decay = _decay(a, x)
    positive = a.block.compare("oge", x.hi, a.real(0.0))
    one = a.constant(1)
    # the correction of a summand beside 1 is worth a quarter of a unit at most
    below = a.add_smaller(one, Num(a.settled(Num(decay.hi, scale=decay.scale)).hi))
    return a.div_near_one(a.select(positive, one, decay), below)


def tanh(a: Arithmetic, x: Num) -> Num:
    """−m/(2 + m) of m = e^(−2|x|) − 1, with the sign of x."""
    twice = a.mul(a.abs(x), a.constant(-2))
    n, m = _exponential_parts(a, _clamped(a, twice, low=_EXPM1_LEAST[a.kind], high=0.0))
    power = a.scaled(a.real(1.0), a.block.neg(n))
    below = _scaled(a.add(Num(a.block.sub(a.real(1.0), power)), m), n)
    size = a.div_near_one(a.neg(a.settled(below)), a.add_smaller(a.constant(2), below))
    return _with_sign(a, size, x)


def tanh_of_softplus(a: Arithmetic, x: Num) -> Num:
    """tanh(log(1 + eˣ)) = ((1 + eˣ)² − 1)/((1 + eˣ)² + 1), with e^−|x| alone."""
    decay = _decay(a, x)
    positive = a.block.compare("oge", x.hi, a.real(0.0))
    one, two = a.constant(1), a.constant(2)
    square, below = a.mul(decay, decay), a.mul(decay, a.add_smaller(two, decay))
    above = a.add_smaller(one, a.mul(two, decay))
    bottom = a.add_smaller(a.select(positive, above, two), a.select(positive, a.mul(two, square), below))
    return a.div_near_one(a.select(positive, above, below), bottom)


def sigmoid_of_two_softplus(a: Arithmetic, x: Num, *, negative: bool) -> Num:
    """sigmoid(±2·log(1 + eˣ)), again with e^−|x| alone."""
    decay = _decay(a, x)
    positive = a.block.compare("oge", x.hi, a.real(0.0))
    one = a.constant(1)
    onward = a.add_smaller(one, decay)
    square = a.mul(onward, onward)
    other = a.select(positive, a.mul(decay, decay), one)
    return a.div_near_one(other if negative else square, a.add_smaller(square, other))


def erf(a: Arithmetic, x: Num) -> Num:
    """The error function: a polynomial up to 1/2, beyond it one minus the tail."""
    near, far = _erf_near(a, x), a.sub(a.constant(1), _erfc_beyond_zero(a, a.abs(x)))
    return a.select(_is_near(a, x), near, _with_sign(a, far, x))


def erfc(a: Arithmetic, x: Num) -> Num:
    """1 − erf, its tail kept."""
    tail = _erfc_beyond_zero(a, a.abs(x))
    return a.select(_below_zero(a, x), a.sub(a.constant(2), tail), tail)


def normal_cdf(a: Arithmetic, x: Num) -> Num:
    """erfc(−x/√2)/2, whose exponential is of −x²/2 itself and not of a rounded x/√2."""
    size = a.abs(x)
    tail = _tail(a, a.mul(size, a.constant(HALF_ROOT)), _normal_decay(a, size))
    half = a.mul(a.constant(Fraction(1, 2)), tail)
    return a.select(_below_zero(a, x), half, a.sub(a.constant(1), half))


def normal_pdf(a: Arithmetic, x: Num) -> Num:
    """exp(−x²/2)/√(2π)."""
    return a.mul(a.constant(INVERSE_ROOT_TWO_PI), _normal_decay(a, a.abs(x)))


def sin(a: Arithmetic, x: Num) -> Num:
    return _circular(a, x, quarter=0)


def cos(a: Arithmetic, x: Num) -> Num:
    return _circular(a, x, quarter=1)


def atan(a: Arithmetic, x: Num) -> Num:
    """The arc tangent, reduced to |v| <= tan(π/8) with one division."""
    size = a.abs(x)
    small = a.block.compare("olt", size.hi, a.real(Fraction("0.41421356")))
    large = a.block.compare("ogt", size.hi, a.real(Fraction("2.41421356")))
    one = a.constant(1)
    infinite = a.block.compare("oeq", size.hi, a.real(float("inf")))
    top = a.select(small, size, a.select(large, a.constant(-1), a.sub(size, one)))
    bottom = a.select(small, one, a.select(large, size, a.add(size, one)))
    v = a.select(infinite, a.constant(0), a.div(top, bottom))
    offset = a.select(small, a.constant(0), a.select(large, a.constant(_rounded(PI / 2)), a.constant(_rounded(PI / 4))))
    square = a.block.mul(v.hi, v.hi)
    cubed = a.block.mul(a.block.mul(square, v.hi), horner(a, "atan", square))
    return _with_sign(a, a.add(offset, a.renewed(v.hi, cubed, v.lo)), x)


def sign(a: Arithmetic, x: Num) -> Num:
    zero = a.real(0.0)
    value = a.value(x)
    unit = a.block.copysign(a.real(1.0), value)
    return Num(a.block.select(a.block.compare("one", value, zero), unit, value))


def minimum(a: Arithmetic, x: Num, y: Num) -> Num:
    return _extreme(a, x, y, order="ole")


def maximum(a: Arithmetic, x: Num, y: Num) -> Num:
    return _extreme(a, x, y, order="oge")


FUNCTIONS: Mapping[str, Callable[..., Num]] = MappingProxyType(
    {
        "exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "sigmoid": sigmoid, "log_sigmoid": log_sigmoid,
        "softplus": softplus, "tanh": tanh, "erf": erf, "erfc": erfc, "normal_cdf": normal_cdf,
        "normal_pdf": normal_pdf, "sin": sin, "cos": cos, "atan": atan, "sqrt": Arithmetic.sqrt, "abs": Arithmetic.abs,
        "sign": sign, "min": minimum, "max": maximum,
    }
)  # fmt: skip


def spherical_bessel(a: Arithmetic, order: int, x: Num) -> Num:
    """jₙ: a power series near 0, the upward recurrence elsewhere."""
    near = a.block.compare("olt", a.block.abs(x.hi), a.real(float(2 + order)))
    one = a.constant(1)
    small, large = a.select(near, x, a.constant(0)), a.select(near, one, x)
    below, here = a.div(cos(a, large), large), a.div(sin(a, large), large)
    for k in range(order):
        below, here = here, a.sub(a.mul(a.div(a.constant(2 * k + 1), large), here), below)
    return a.select(near, _bessel_series(a, order, small), here)


def _bessel_series(a: Arithmetic, order: int, x: Num) -> Num:
    leading = one = a.constant(1)
    for k in range(1, order + 1):
        leading = a.mul(leading, a.mul(x, a.constant(Fraction(1, 2 * k + 1))))
    square = a.mul(x, x)
    terms = {"single": 10, "short": 12, "full": 18}[a.recipe.accuracy]
    total = one
    for k in range(terms, 0, -1):
        factor = a.constant(Fraction(-1, 2 * k * (2 * k + 2 * order + 1)))
        total = a.add(one, a.mul(a.mul(square, factor), total))
    return a.mul(leading, total)


def _rounded(value: Fraction) -> Fraction:
    """A constant with a hundred and fifty bits, so that the recipes see the same."""
    return Fraction(round(value * 2**150), 2**150)


def _exponential_parts(a: Arithmetic, x: Num) -> tuple[Value, Num]:
    """The n and m of eˣ = 2ⁿ·(1 + m), |m| < 0.42; m with its relative accuracy."""
    block = a.block
    n = block.rounded(block.mul(x.hi, a.real(1 / LN2)))
    minus = block.neg(n)
    if a.recipe.accuracy == "short":
        r, lost = block.fma(minus, a.real(LN2), x.hi), None
    else:
        leading = _leading(LN2, bits=_LEADING_BITS[a.kind])
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


def _scaled(x: Num, n: Value) -> Num:
    return Num(x.hi, x.lo, scale=n)


def _one_and(a: Arithmetic, m: Num) -> Num:
    """1 + m; light arithmetic lets the rounding be."""
    if a.recipe.light:
        return Num(a.block.add(a.real(1.0), m.hi))
    return a.add_smaller(a.constant(1), m)


def _decay(a: Arithmetic, x: Num) -> Num:
    """e^−|x|."""
    return exp_of_negative(a, a.neg(a.abs(x)))


def _normal_decay(a: Arithmetic, size: Num) -> Num:
    """exp(−x²/2)."""
    square = a.mul(size, size)
    if not a.recipe.paired and a.recipe.accuracy != "short":
        # the square's rounding error, which the exponential would magnify by the square
        lost = a.block.fma(size.hi, size.hi, a.block.neg(square.hi))
        square = Num(square.hi, lost)  # where the square is infinite, so is this, and `_clamped` drops it
    return exp_of_negative(a, a.mul(a.constant(Fraction(-1, 2)), square))


def exp_of_negative(a: Arithmetic, x: Num) -> Num:
    """eˣ for x <= 0, which cannot overflow; a correction of x counts in plain arithmetic too."""
    low, _ = _EXP_RANGE[a.kind]
    n, m = _exponential_parts(a, _clamped(a, x, low=low, high=None))
    return _scaled(_one_and(a, m), n)


def _clamped(a: Arithmetic, x: Num, *, low: float | None, high: float | None) -> Num:
    """x held between the limits; NaN stays. A correction does not outlive being held."""
    block, hi = a.block, x.hi
    if high is not None:
        hi = block.select(block.compare("ogt", hi, a.real(high)), a.real(high), hi)
    if low is not None:
        hi = block.select(block.compare("olt", hi, a.real(low)), a.real(low), hi)
    if x.lo is None:
        return Num(hi)
    return Num(hi, block.select(block.compare("oeq", hi, x.hi), x.lo, a.real(0.0)))


def _log_of_positive(a: Arithmetic, x: Num) -> Num:
    """log(2ᵏ·(1 + f)) = k·ln 2 + 2·artanh(f/(2 + f)) for √½ <= 1 + f < √2."""
    block, kind = a.block, a.kind
    digits, integer = DIGITS[kind], INTEGER[kind]
    least = Fraction(1, 2**126) if kind == "float" else Fraction(1, 2**1022)
    tiny = block.compare("olt", x.hi, a.real(least))
    upward = block.select(tiny, a.real(Fraction(2) ** digits), a.real(1.0))
    hi = block.mul(x.hi, upward)
    offset = block.whole(_bits(HALF_ROOT, kind), integer)
    shifted = block.binary("sub", block.bits(hi), offset)
    exponent = block.binary("ashr", shifted, block.whole(digits - 1, integer))
    shift = block.binary("shl", exponent, block.whole(digits - 1, integer))
    mantissa = block.from_bits(block.binary("sub", block.bits(hi), shift), kind)
    k = block.line(f"sitofp {block.vector(integer)} {exponent.name} to {block.vector(kind)}", kind)
    k = block.sub(k, block.select(tiny, a.real(float(digits)), a.real(0.0)))
    f = Num(block.sub(mantissa, a.real(1.0)))
    if x.lo is not None:
        one = block.whole(_bits(Fraction(1), kind), integer)
        down = block.from_bits(block.binary("sub", one, shift), kind)
        lo = block.mul(block.mul(x.lo, upward), down)
        f = a.add(f, Num(lo)) if a.recipe.paired else Num(block.add(f.hi, lo))
    return _log_sum(a, k, f)


def _log_sum(a: Arithmetic, k: Value, f: Num) -> Num:
    """k·ln 2 + log(1 + f)."""
    block = a.block
    s = a.div_near_one(f, a.add_smaller(a.constant(2), f))
    square = block.mul(s.hi, s.hi)
    cubic = block.mul(block.mul(square, s.hi), horner(a, "log", square))
    twice = a.mul(a.constant(2), s)
    leading = _leading(LN2, bits=_LEADING_BITS[a.kind])
    rest = block.fma(k, a.real(LN2 - leading), cubic)
    whole = block.mul(k, a.real(leading))
    return a.add(Num(whole), a.renewed(twice.hi, rest, twice.lo))


def _log1p_of_unit(a: Arithmetic, e: Num) -> Num:
    """log(1 + e) for e from 0 to 1: 1 + e is halved where it lies above √2, which is exact."""
    e = a.settled(e)
    above = a.block.compare("ogt", e.hi, a.real(Fraction("0.41421356")))
    half = a.mul(a.add_smaller(a.constant(-1), e), a.constant(Fraction(1, 2)))
    k = a.block.select(above, a.real(1.0), a.real(0.0))
    return _log_sum(a, k, a.select(above, half, e))


def _log_edges(a: Arithmetic, x: Value, result: Num) -> Num:
    """The logarithm's values where x is 0, infinite, negative or NaN."""
    block = a.block
    regular = block.binary("and", block.compare("ogt", x, a.real(0.0)), block.compare("olt", x, a.real(float("inf"))))
    at_zero = block.select(block.compare("oeq", x, a.real(0.0)), a.real(float("-inf")), a.real(float("nan")))
    edge = block.select(block.compare("ogt", x, a.real(0.0)), x, at_zero)
    return a.select(regular, result, Num(edge))


def _is_near(a: Arithmetic, x: Num) -> Value:
    return a.block.compare("olt", a.block.abs(x.hi), a.real(0.5))


def _below_zero(a: Arithmetic, x: Num) -> Value:
    return a.block.compare("olt", x.hi, a.real(0.0))


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
        square = Num(square.hi, lost)  # where the square is infinite, so is this, and `_clamped` drops it
    return _tail(a, t, exp_of_negative(a, a.neg(square)))


def _tail(a: Arithmetic, t: Num, decay: Num) -> Num:
    """erfc(t) for t >= 0 from exp(−t²): (1 − p)·q(p) with p = (t − k)/(t + k), so 1 − p = 2k/(t + k)."""
    far, pole = (Fraction(each) for each in TAIL[a.recipe.accuracy])
    held = _clamped(a, t, low=None, high=float(far))
    k = a.constant(pole)
    bottom = a.add(held, k)
    share = (
        a.div(a.constant(2 * pole), bottom)
        if a.recipe.accuracy == "full" or a.recipe.paired
        else Num(a.block.mul(a.real(2 * pole), _reciprocal_to_forty(a, bottom.hi)))
    )
    p = a.sub(a.constant(1), share)
    return a.mul(decay, a.mul(share, _corrected_horner(a, "erfc", p)))


def _reciprocal_to_forty(a: Arithmetic, b: Value) -> Value:
    return a.reciprocal_near_one(b)


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
        paired = a.add(a.constant(_rounded(coefficient)), a.mul(paired, x))
    return paired


def _circular(a: Arithmetic, x: Num, *, quarter: int) -> Num:
    """sin(x + quarter·π/2): reduced by π/2 in three parts, then one polynomial of two; beyond, the C library's."""
    block = a.block
    n = block.rounded(block.mul(x.hi, a.real(2 / PI)))
    r = _reduced(a, x, n)
    magic = a.real(Fraction(3, 2) * 2 ** (DIGITS[a.kind] - 1))
    quadrant = block.binary("add", block.bits(block.add(n, magic)), block.whole(quarter, INTEGER[a.kind]))
    odd = _bit(a, quadrant, 1)
    result = a.select(odd, _cos_near(a, r), _sin_near(a, r))
    signed = a.select(_bit(a, quadrant, 2), a.neg(result), result)
    far = block.compare("ogt", block.abs(x.hi), a.real(_FARTHEST[a.kind]))
    near = a.value(signed) if not a.recipe.paired else signed.hi
    beyond = block.guarded(far, "cos" if quarter else "sin", x.hi, otherwise=near)
    if signed.lo is None:
        return Num(beyond)
    return Num(beyond, block.select(far, a.real(0.0), signed.lo))


# The largest arguments whose reduction in three parts keeps every digit.
_FARTHEST = {"float": 8192.0, "double": float(2**30)}


def _reduced(a: Arithmetic, x: Num, n: Value) -> Num:
    """x − n·π/2."""
    block = a.block
    minus, rest, r = block.neg(n), PI / 2, x.hi
    lost = x.lo
    for last in (False, False, True):
        part = rest if last else _leading(rest, bits=_LEADING_BITS[a.kind] - (1 if a.kind == "float" else 4))
        before, r = r, block.fma(minus, a.real(part), r)
        if a.recipe.paired:
            error = block.fma(minus, a.real(part), block.sub(before, r))
            lost = error if lost is None else block.add(lost, error)
        rest -= part
    return Num(r, lost if a.recipe.paired else None)


def _bit(a: Arithmetic, whole: Value, bit: int) -> Value:
    block = a.block
    kept = block.binary("and", whole, block.whole(bit, whole.kind))
    return block.line(f"icmp ne {block.vector(whole.kind)} {kept.name}, zeroinitializer", "i1")


def _sin_near(a: Arithmetic, r: Num) -> Num:
    block = a.block
    square = block.mul(r.hi, r.hi)
    cubic = block.mul(block.mul(square, r.hi), horner(a, "sin", square))
    return a.renewed(r.hi, cubic, r.lo)


def _cos_near(a: Arithmetic, r: Num) -> Num:
    block = a.block
    square = a.mul(r, r)
    higher = block.mul(block.mul(square.hi, square.hi), horner(a, "cos", square.hi))
    down = a.mul(a.constant(Fraction(-1, 2)), square)
    total = a.add_smaller(a.constant(1), down)
    if not a.recipe.paired:
        # 1 − r²/2 rounds; what it lost goes into the small terms
        lost = block.sub(down.hi, block.sub(total.hi, a.real(1.0)))
        return Num(block.add(total.hi, block.add(lost, higher)))
    return a.renewed(total.hi, higher, total.lo)


def _with_sign(a: Arithmetic, size: Num, x: Num) -> Num:
    """The non-negative size with the sign of x."""
    if size.lo is None:
        return Num(a.block.copysign(size.hi, x.hi))
    below = a.block.compare("olt", x.hi, a.real(0.0))
    signed = a.select(below, a.neg(size), size)
    zero = a.block.compare("oeq", x.hi, a.real(0.0))
    return a.select(zero, x, signed)


def _kept_zero(a: Arithmetic, x: Num, result: Num) -> Num:
    """The result, but x itself where x is 0: so that −0 stays −0."""
    zero = a.block.compare("oeq", x.hi, a.real(0.0))
    return a.select(zero, x, result)


def _extreme(a: Arithmetic, x: Num, y: Num, *, order: str) -> Num:
    """The one that comes first in the order, at a tie the first; NaN where either is NaN."""
    first, second = a.value(x), a.value(y)
    chosen = a.select(a.block.compare(order, first, second), x, y)
    return a.select(a.block.compare("uno", first, first), x, chosen)


def _leading(value: Fraction, *, bits: int) -> Fraction:
    """The value cut to so many significant bits."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    step = Fraction(2) ** (exponent - bits)
    return (value // step) * step


def _bits(value: Fraction, kind: str) -> int:
    """The bits of the float nearest to a positive value, as an integer."""
    packed = struct.pack("<f" if kind == "float" else "<d", float(value))
    return int.from_bytes(packed, "little")
