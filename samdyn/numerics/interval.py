"""Interval arithmetic on numpy arrays, rounded outwards: the range of every operation of a traced graph.

An interval is a pair of arrays ``(lower, upper)`` of one shape. Each function returns an interval that
contains the exact real result for all real operands in its arguments.

Rounding
--------
1. ``+ - * / sqrt`` are correctly rounded by IEEE 754: the exact value lies within half a unit in the last
   place of the computed r. Bounds move by 2^-52 abs(r), which is at least one unit in the last place of r, so
   that ``fl(r - 2^-52 abs(r))`` is at most the float below r; products and quotients, which can underflow,
   also move by the smallest subnormal number. (That is ten times as fast as np.nextafter, and as safe.)
2. Elementary functions are not correctly rounded. The vector libraries behind numpy promise 4 units in the
   last place, scipy's erf and pow of the C library fewer: bounds move by `LIBRARY_ERROR` = 16 units relative
   to the value, the bounds of sine and cosine also by that much absolutely, the bounds of erfc by 1e-12
   relative (scipy loses digits in its far tail). These margins are a promise of the libraries, not a proof.
3. A bound never crosses a value that the function cannot cross: a square stays >= 0, a sine within [-1, 1].

Domains
-------
A function that is undefined in a part of its argument (root, logarithm, division by an interval around 0)
returns the range over the rest. Whatever proves continuity must therefore ask for the flags that
`samdyn.trace.interval_forms` keeps. Where nothing is known, the result is (-inf, inf). A truth value is a
pair of boolean arrays (certainly true, possibly true). Infinities and nan occur on the way: callers work
under ``np.errstate(all="ignore")``.

References
----------
Moore, Kearfott & Cloud, Introduction to Interval Analysis (SIAM 2009). Rump, Acta Numerica 19 (2010)
287-449.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.special

from samdyn.arguments.checks import Array

Flags = npt.NDArray[np.bool_]

EPSILON = 2.0**-52  # spacing of doubles at 1
LIBRARY_ERROR = 16 * EPSILON  # four times what the vector libraries promise
ERFC_ERROR = 1e-12  # relative; scipy loses digits in the far tail
TINY = 5e-324  # the smallest subnormal double
LARGEST = float(np.finfo(np.float64).max)


class Interval(NamedTuple):
    """Lower and upper bounds, arrays of one shape."""

    lower: Array
    upper: Array


class Truth(NamedTuple):
    """Whether a condition certainly and possibly holds, boolean arrays of one shape."""

    certain: Flags
    possible: Flags


# ---------------------------------------------------------------------- rounding


def _down(r: Array, error: float = EPSILON, underflow: float = 0.0) -> Array:
    r = np.minimum(r, LARGEST)  # an overflow upwards still has a finite lower bound
    return np.asarray(r - (np.abs(r) * error + underflow))


def _up(r: Array, error: float = EPSILON, underflow: float = 0.0) -> Array:
    r = np.maximum(r, -LARGEST)
    return np.asarray(r + (np.abs(r) * error + underflow))


def point(x: Any) -> Interval:
    """The interval that holds one number, or one number for each element."""
    value = np.asarray(x, dtype=np.float64)
    return Interval(value, value)


def whole(shape: tuple[int, ...]) -> Interval:
    """(-inf, inf): nothing is known."""
    return Interval(np.full(shape, -np.inf), np.full(shape, np.inf))


def hull(a: Interval, b: Interval) -> Interval:
    """The smallest interval around both."""
    return Interval(np.minimum(a.lower, b.lower), np.maximum(a.upper, b.upper))


def intersection(a: Interval, b: Interval) -> Interval:
    """What both contain; empty where lower > upper."""
    return Interval(np.maximum(a.lower, b.lower), np.minimum(a.upper, b.upper))


def magnitude(a: Interval) -> Array:
    """The largest absolute value."""
    return np.asarray(np.maximum(np.abs(a.lower), np.abs(a.upper)))


def midpoint(a: Interval) -> Array:
    """A float inside a bounded interval, near its middle."""
    return np.clip(0.5 * a.lower + 0.5 * a.upper, a.lower, a.upper)


# ---------------------------------------------------------------------- arithmetic


def neg(a: Interval) -> Interval:
    """-a."""
    return Interval(-a.upper, -a.lower)


def add(a: Interval, b: Interval) -> Interval:
    """a + b. A sum that underflows is exact, so that no smallest step is needed."""
    return Interval(_down(a.lower + b.lower), _up(a.upper + b.upper))


def sub(a: Interval, b: Interval) -> Interval:
    """a - b."""
    return Interval(_down(a.lower - b.upper), _up(a.upper - b.lower))


def _extremes(*values: Array) -> tuple[Array, Array]:
    """Smallest and largest of products or quotients; 0 times infinity is 0, since bounds are of reals."""
    low, high = values[0], values[0]
    for value in values[1:]:
        low, high = np.minimum(low, value), np.maximum(high, value)
    if not np.isfinite(np.sum(low)):  # cheaper than a look at every element; the slow way is right for all
        values = tuple(np.where(np.isnan(value), 0.0, value) for value in values)
        return np.min(values, axis=0), np.max(values, axis=0)
    return low, high


def mul(a: Interval, b: Interval) -> Interval:
    """a b."""
    low, high = _extremes(a.lower * b.lower, a.lower * b.upper, a.upper * b.lower, a.upper * b.upper)
    exact = (low == 0) & (a.lower >= 0) & (b.lower >= 0)
    return Interval(np.where(exact, 0.0, _down(low, underflow=TINY)), _up(high, underflow=TINY))


def scale(a: Interval, c: float) -> Interval:
    """c a for a number c."""
    low, high = _extremes(a.lower * c, a.upper * c)
    if abs(c) >= 1 and np.frexp(c)[0] in (0.5, -0.5):  # a power of two: exact, or an overflow
        return Interval(np.minimum(low, LARGEST), np.maximum(high, -LARGEST))
    return Interval(
        np.where((low == 0) & (a.lower >= 0 if c > 0 else a.upper <= 0), 0.0, _down(low, underflow=TINY)),
        _up(high, underflow=TINY),
    )


def square(a: Interval) -> Interval:
    """a^2, which knows that both factors are the same."""
    low, high = a.lower * a.lower, a.upper * a.upper
    straddles = (a.lower < 0) & (a.upper > 0)
    below = np.where(straddles, 0.0, np.minimum(low, high))
    return Interval(np.maximum(_down(below, underflow=TINY), 0.0), _up(np.maximum(low, high), underflow=TINY))


def reciprocal(a: Interval) -> Interval:
    """1 / a."""
    return div(point(1.0), a)


def div(a: Interval, b: Interval) -> Interval:
    """a / b, over the nonzero elements of b; (-inf, inf) where b has numbers of both signs."""
    # zeros take the sign of their interval, so that the quotients have the right infinities
    low, high = np.where(b.lower == 0, 0.0, b.lower), np.where(b.upper == 0, -0.0, b.upper)
    quotients = [a.lower / low, a.lower / high, a.upper / low, a.upper / high]
    low, high = np.fmin.reduce(quotients), np.fmax.reduce(quotients)  # 0/0 is nan, and not a value
    unknown = ((b.lower < 0) & (b.upper > 0)) | ((b.lower == 0) & (b.upper == 0)) | np.isnan(low)
    below, above = _down(low, underflow=TINY), _up(high, underflow=TINY)
    positive = (a.lower >= 0) & (b.lower >= 0)
    below = np.where(positive, np.maximum(below, 0.0), below)
    return Interval(np.where(unknown, -np.inf, below), np.where(unknown, np.inf, above))


def maximum(a: Interval, b: Interval) -> Interval:
    """The larger of the two."""
    return Interval(np.maximum(a.lower, b.lower), np.maximum(a.upper, b.upper))


def minimum(a: Interval, b: Interval) -> Interval:
    """The smaller of the two."""
    return Interval(np.minimum(a.lower, b.lower), np.minimum(a.upper, b.upper))


def absolute(a: Interval) -> Interval:
    """abs(a)."""
    return Interval(np.maximum(np.maximum(a.lower, -a.upper), 0.0), np.maximum(-a.lower, a.upper))


def sign(a: Interval) -> Interval:
    """-1, 0 or 1."""
    return Interval(np.sign(a.lower), np.sign(a.upper))


def floor(a: Interval) -> Interval:
    """Largest integer at most a."""
    return Interval(np.floor(a.lower), np.floor(a.upper))


def remainder(a: Interval, b: Interval) -> Interval:
    """a - b floor(a / b), which has the sign of b."""
    turns = floor(div(a, b))
    constant = np.isfinite(turns.lower) & (turns.lower == turns.upper)
    shifted = sub(
        a, mul(b, Interval(np.where(constant, turns.lower, 0.0), np.where(constant, turns.lower, 0.0)))
    )
    between = Interval(np.minimum(b.lower, 0.0), np.maximum(b.upper, 0.0))
    return Interval(
        np.where(constant, np.maximum(shifted.lower, between.lower), between.lower),
        np.where(constant, np.minimum(shifted.upper, between.upper), between.upper),
    )


# ---------------------------------------------------------------------- elementary functions


def _increasing(
    function: Callable[..., Any],
    lowest: float = -np.inf,
    highest: float = np.inf,
    domain: tuple[float, float] = (-np.inf, np.inf),
    error: float = LIBRARY_ERROR,
) -> Callable[[Interval], Interval]:
    """The range of an increasing function with values in [lowest, highest] on a domain."""

    def of(a: Interval) -> Interval:
        low, high = np.clip(a.lower, *domain), np.clip(a.upper, *domain)
        below = np.maximum(_down(np.asarray(function(low)), error, TINY), lowest)
        above = np.minimum(_up(np.asarray(function(high)), error, TINY), highest)
        outside = (a.upper < domain[0]) | (a.lower > domain[1]) | np.isnan(below) | np.isnan(above)
        return Interval(np.where(outside, -np.inf, below), np.where(outside, np.inf, above))

    return of


def _decreasing(rising: Callable[[Interval], Interval]) -> Callable[[Interval], Interval]:
    return lambda a: neg(rising(a))


def _sigmoid(x: Array) -> Array:
    return np.asarray(scipy.special.expit(x))


sqrt = _increasing(np.sqrt, 0.0, domain=(0.0, np.inf), error=EPSILON)
exp = _increasing(np.exp, 0.0)
expm1 = _increasing(np.expm1, -1.0)
log = _increasing(np.log, domain=(0.0, np.inf))
log1p = _increasing(np.log1p, domain=(-1.0, np.inf))
tanh = _increasing(np.tanh, -1.0, 1.0)
sinh = _increasing(np.sinh)
atan = _increasing(np.arctan)
asinh = _increasing(np.arcsinh)
asin = _increasing(np.arcsin, domain=(-1.0, 1.0))
acosh = _increasing(np.arccosh, 0.0, domain=(1.0, np.inf))
atanh = _increasing(np.arctanh, domain=(-1.0, 1.0))
erf = _increasing(scipy.special.erf, -1.0, 1.0)
sigmoid = _increasing(_sigmoid, 0.0, 1.0)
acos = _decreasing(_increasing(lambda x: -np.arccos(x), highest=0.0, domain=(-1.0, 1.0)))
erfc = _decreasing(_increasing(lambda x: -scipy.special.erfc(x), -2.0, 0.0, error=ERFC_ERROR))


def cosh(a: Interval) -> Interval:
    """Hyperbolic cosine."""
    size = absolute(a)
    return Interval(
        np.maximum(_down(np.cosh(size.lower), LIBRARY_ERROR), 1.0), _up(np.cosh(size.upper), LIBRARY_ERROR)
    )


def _periodic(function: Callable[..., Any], top: float) -> Callable[[Interval], Interval]:
    """Sine or cosine; `top` is where the maximum 1 is reached."""

    def touches(a: Interval, at: float) -> Flags:
        # whether at + 2 pi k lies in the interval, which is widened by the error of the arithmetic here
        slack = 8 * EPSILON * (1 + magnitude(a))
        last = np.floor((a.upper + slack - at) / (2 * np.pi))
        # "not below" is true for nan and infinities
        return np.asarray(~(at + 2 * np.pi * last < a.lower - slack))

    def of(a: Interval) -> Interval:
        ends = np.asarray(function(a.lower)), np.asarray(function(a.upper))
        below = _down(np.minimum(*ends), LIBRARY_ERROR, LIBRARY_ERROR)
        above = _up(np.maximum(*ends), LIBRARY_ERROR, LIBRARY_ERROR)
        far = ~(magnitude(a) < 1e15)
        return Interval(
            np.where(far | touches(a, top + np.pi), -1.0, np.maximum(below, -1.0)),
            np.where(far | touches(a, top), 1.0, np.minimum(above, 1.0)),
        )

    return of


cos = _periodic(np.cos, 0.0)
sin = _periodic(np.sin, np.pi / 2)


def tan(a: Interval) -> Interval:
    """Tangent; (-inf, inf) where a pole may lie in the interval."""
    safe = cos(a)
    pole = ((safe.lower <= 1e-12) & (safe.upper >= -1e-12)) | ~(a.upper - a.lower < np.pi)
    below, above = _down(np.tan(a.lower), LIBRARY_ERROR), _up(np.tan(a.upper), LIBRARY_ERROR)
    # near a pole the rounding of the argument's reduction is enlarged by the slope 1 + tan^2
    below, above = below - LIBRARY_ERROR * (1 + below**2), above + LIBRARY_ERROR * (1 + above**2)
    return Interval(np.where(pole, -np.inf, below), np.where(pole, np.inf, above))


def atan2(a: Interval, b: Interval) -> Interval:
    """The angle of (b, a); (-pi, pi) where the cut, or the origin, may lie in the rectangle."""
    cut = (b.lower <= 0) & (a.lower <= 0) & (a.upper >= 0)
    corners = [np.arctan2(y, x) for y in a for x in b]
    below = _down(np.min(corners, axis=0), LIBRARY_ERROR, TINY)
    above = _up(np.max(corners, axis=0), LIBRARY_ERROR, TINY)
    pi = np.pi * (1 + EPSILON)
    return Interval(np.where(cut, -pi, below), np.where(cut, pi, above))


def power(a: Interval, b: Interval) -> Interval:
    """a^b: for constant integers b on the whole line, else over the positive part of a."""
    constant = np.ndim(b.lower) == 0 and b.lower == b.upper and float(b.lower).is_integer()
    if constant and abs(float(b.lower)) < 2**53:
        return _integer_power(a, float(b.lower))
    base = Interval(np.maximum(a.lower, 0.0), np.maximum(a.upper, 0.0))
    # monotone in each operand while the other is fixed: the extremes lie at corners
    corners = [np.power(x, y) for x in base for y in b]
    empty = (a.upper < 0) | np.isnan(np.sum(corners, axis=0))
    below = np.maximum(_down(np.min(corners, axis=0), LIBRARY_ERROR, TINY), 0.0)
    above = _up(np.max(corners, axis=0), LIBRARY_ERROR, TINY)
    return Interval(np.where(empty, -np.inf, below), np.where(empty, np.inf, above))


def _integer_power(a: Interval, n: float) -> Interval:
    if n < 0:
        return reciprocal(_integer_power(a, -n))
    ends = np.power(a.lower, n), np.power(a.upper, n)
    low, high = np.minimum(*ends), np.maximum(*ends)
    below, above = _down(low, LIBRARY_ERROR, TINY), _up(high, LIBRARY_ERROR, TINY)
    if n % 2 == 0:
        below = np.where((a.lower <= 0) & (a.upper >= 0), 0.0, np.maximum(below, 0.0))
    return Interval(below, above)


# ---------------------------------------------------------------------- truth values


def less(a: Interval, b: Interval) -> Truth:
    """a < b."""
    return Truth(a.upper < b.lower, a.lower < b.upper)


def less_equal(a: Interval, b: Interval) -> Truth:
    """a <= b."""
    return Truth(a.upper <= b.lower, a.lower <= b.upper)


def equal(a: Interval, b: Interval) -> Truth:
    """a == b."""
    same = (a.lower == a.upper) & (b.lower == b.upper) & (a.lower == b.lower)
    return Truth(same, (a.lower <= b.upper) & (b.lower <= a.upper))


def negation(a: Truth) -> Truth:
    """Not a."""
    return Truth(~a.possible, ~a.certain)


def choose(condition: Truth, a: Interval, b: Interval) -> Interval:
    """a where the condition holds, b where it does not, the hull of both where it is open."""
    both = hull(a, b)
    return Interval(
        np.where(condition.certain, a.lower, np.where(condition.possible, both.lower, b.lower)),
        np.where(condition.certain, a.upper, np.where(condition.possible, both.upper, b.upper)),
    )
