"""First-passage times in closed form and by quadrature.

Throughout dX = b(X) dt + sqrt(2 D) dW. In one dimension every drift has a potential V' = -b, with the drift
of a SAM rule too, so mean exit times are double integrals of exp(V/D) and exp(-V/D); for linear drift they
are special functions. Functions of one number take arrays as well.

1. `exit_time_moments` integrates over Gauss-Legendre panels that end at the given breakpoints, with V
   integrated on the same nodes and every exponential taken relative to the largest of its panel.
2. Linear drift: `linear_two_sided`, `linear_one_sided` (Dawson's function and a 2F2), `disc` (exponential
   integrals), `saddle_logarithmic` (small noise).
3. Rare escapes: `eyring_kramers`, `double_well_expansion`, `sam_double_well_expansion`.
4. Potentials of f = (x^2 - 1)^2 / 4 under the rules: `usam_double_well_potential` and
   `sam_double_well_potential`.
5. `constant_drift`: the inverse-Gaussian law.

Status of each formula: [textbook] found in the reference named and checked numerically; [derived] worked
out here and checked against quadrature of the same equation.

References
----------
Gardiner, Handbook of Stochastic Methods, section 5.2.7: mean first-passage times. Siegert, Physical Review
81, 617 (1951): the Ornstein-Uhlenbeck process. Kramers, Physica 7, 284 (1940); Bovier, Eckhoff, Gayrard and
Klein, Journal of the European Mathematical Society 6, 399 (2004): the law named after Eyring and Kramers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy import special, stats

Array = npt.NDArray[np.float64]

BARRIER_SHIFT = 0.582597157939011
"""-zeta(1/2) / sqrt(2 pi): a barrier watched at the ends of Gaussian steps of standard deviation s acts like
one watched continuously and moved outward by this times s (Broadie, Glasserman and Kou 1997). [textbook]"""


class ExitMoments(NamedTuple):
    """Mean and standard deviation of an exit time, in units of time."""

    mean: Any
    standard_deviation: Any


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)


def _integration(n: int) -> tuple[Array, Array, Array]:
    """Gauss-Legendre nodes and weights on [-1, 1], and the matrix that integrates from -1 to each node."""
    nodes, weights = legendre.leggauss(n)
    coefficients = (np.arange(n)[:, None] + 0.5) * weights * legendre.legvander(nodes, n - 1).T
    vander = legendre.legvander(nodes, n)
    integrals = np.empty((n, n))
    integrals[:, 0] = nodes + 1
    degree = np.arange(1, n)
    integrals[:, 1:] = (vander[:, 2:] - vander[:, :-2]) / (2 * degree + 1)
    return nodes, weights, integrals @ coefficients


def _log_cumulative(log_density: Array, half: Array, weights: Array, matrix: Array) -> tuple[Array, float]:
    """Log of the integral of exp(log_density) from the left end to each node, and to the right end."""
    top = log_density.max(axis=1, keepdims=True)
    scaled = np.exp(log_density - top)
    panel = top[:, 0] + np.log(half * (scaled @ weights))
    before = np.concatenate([[-np.inf], np.logaddexp.accumulate(panel)])
    inside = top + np.log(np.maximum(half[:, None] * (scaled @ matrix.T), 1e-300))
    return np.logaddexp(before[:-1, None], inside), float(before[-1])


def exit_time_moments(
    drift: Callable[[Array], Array],
    diffusion_coefficient: float,
    x0: float,
    interval: tuple[float, float],
    *,
    left: str = "absorbing",
    breakpoints: Sequence[float] = (),
    panel_width: float = 0.05,
    n_nodes: int = 40,
) -> ExitMoments:
    """Mean and standard deviation of the exit time from an interval, by double quadrature.

    Parameters
    ----------
    drift : callable
        b, vectorised: an array of positions gives an array of the same shape.
    diffusion_coefficient : float
        D > 0, in units of position squared per time.
    x0 : float
        Start, inside the interval.
    interval : (lower, upper)
        Finite. A natural boundary at -inf is a reflecting lower end where exp(-V/D) is negligible.
    left : {"absorbing", "reflecting"}
        What the lower end does; the upper end absorbs.
    breakpoints : sequence of float
        Where the drift or one of its derivatives jumps: they become panel ends.
    panel_width, n_nodes : float, int
        Largest panel, and Gauss-Legendre nodes on each.

    Returns
    -------
    ExitMoments
        mean and standard_deviation, in units of time.

    Notes
    -----
    With s = exp(V/D), m = exp(-V/D)/D and the function S(y, z) = int_y^z s, for the interval (l, r),

        T(x) = S(x, r) int_l^x m + int_x^r S(y, r) m(y) dy                                  (reflecting l),
        T(x) = [S(x, r) int_l^x S(l, y) m dy + S(l, x) int_x^r S(y, r) m dy] / S(l, r)      (absorbing l);

    nothing is subtracted, so nothing cancels. The second moment has 2 T m in place of m. [textbook]

    References
    ----------
    Gardiner, Handbook of Stochastic Methods, section 5.2.7.

    Examples
    --------
    >>> exit_time_moments(lambda x: 0 * x, 0.5, 0.0, (-1.0, 1.0)).mean.round(12)
    np.float64(1.0)
    """
    d = _positive("diffusion_coefficient", diffusion_coefficient)
    lower, upper = map(float, interval)
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < x0 < upper):
        raise ValueError(f"x0 must lie inside a finite interval, got x0={x0!r} and interval={interval!r}")
    if left not in ("absorbing", "reflecting"):
        raise ValueError(f"left must be 'absorbing' or 'reflecting', got {left!r}")
    width = _positive("panel_width", panel_width)
    nodes, weights, matrix = _integration(n_nodes)
    ends = np.unique([lower, *(p for p in breakpoints if lower < p < upper), x0, upper])
    counts = np.maximum(1, np.ceil(np.diff(ends) / width).astype(int))
    panels = zip(ends[:-1], ends[1:], counts, strict=True)
    edges = np.concatenate([*(np.linspace(a, b, n, endpoint=False) for a, b, n in panels), [upper]])
    half = np.diff(edges) / 2
    x = edges[:-1, None] + half[:, None] * (nodes + 1)
    slope = np.asarray(drift(x), dtype=np.float64) / d
    at_ends = np.concatenate([[0.0], np.cumsum(half * (slope @ weights))])
    log_s = -(at_ends[:-1, None] + half[:, None] * (slope @ matrix.T))  # V / D
    log_m = -log_s - math.log(d)

    def integral(log_density: Array) -> tuple[Array, float]:
        return _log_cumulative(log_density, half, weights, matrix)

    def from_right(log_density: Array) -> Array:
        return _log_cumulative(log_density[::-1, ::-1], half[::-1], weights, matrix)[0][::-1, ::-1]

    to_right = from_right(log_s)
    if left == "absorbing":
        from_left, total = integral(log_s)
    else:  # S(l, x) / S(l, r) = 1 in the limit of a wall that never absorbs
        from_left, total = np.zeros_like(log_s), 0.0

    def solve(log_source: Array) -> Array:
        here = log_m + log_source
        one = to_right + integral(from_left + here)[0]
        two = from_left + from_right(to_right + here)
        return np.logaddexp(one, two) - total

    log_mean = solve(np.zeros_like(log_s))
    log_square = solve(log_mean + math.log(2))
    panel = int(np.searchsorted(edges, x0))  # x0 is the left end of this panel
    at_left_end = legendre.legvander(np.array([-1.0]), n_nodes - 1) @ np.linalg.inv(
        legendre.legvander(nodes, n_nodes - 1)
    )
    mean, square = (float((at_left_end @ np.exp(v[panel]))[0]) for v in (log_mean, log_square))
    return ExitMoments(np.float64(mean), np.float64(math.sqrt(max(square - mean**2, 0.0))))


# Linear drift


def _hypergeometric(z: Array) -> Array:
    """Return z 2F2(1, 1; 3/2, 2; z) = sqrt(pi) int_0^sqrt(z) exp(u^2) erf(u) du for z >= 0, to 1e-13."""
    z = np.asarray(z, dtype=np.float64)
    k = np.arange(1, 80)
    # the terms z^k / (k (3/2)_{k-1}) are positive, so their sum is stable
    log_terms = math.lgamma(1.5) - special.gammaln(k + 0.5) - np.log(k)
    small = np.minimum(z, 9.0)
    with np.errstate(divide="ignore"):
        terms = np.exp(log_terms + k * np.log(small)[..., None])
    # sqrt(pi) int exp(u^2) erf = sqrt(pi) exp(A^2) Daw(A) - sqrt(pi) int erfcx; the first is far larger for
    # A > 3
    root = np.sqrt(np.maximum(z, 9.0))
    nodes, weights = legendre.leggauss(48)
    log_end = np.log1p(root)[..., None]
    u = np.expm1(log_end * (nodes + 1) / 2)
    tail = (special.erfcx(u) * (1 + u)) @ weights * log_end[..., 0] / 2
    with np.errstate(over="ignore"):
        large = math.sqrt(math.pi) * (np.exp(root**2) * special.dawsn(root) - tail)
    return np.where(z <= 9.0, terms.sum(axis=-1), large)


def _dawson_integral(upper: Array) -> Array:
    """The integral of Dawson's function from 0 to `upper`, to 1e-13."""
    upper = np.asarray(upper, dtype=np.float64)
    nodes, weights = legendre.leggauss(80)
    near = np.minimum(upper, 10.0)
    inner = special.dawsn(near[..., None] * (nodes + 1) / 2) @ weights * near / 2

    def primitive(u: Array) -> Array:  # of the asymptotic series of Dawson's function
        series, coefficient = np.zeros_like(u), 0.5
        for k in range(1, 12):
            coefficient *= (2 * k - 1) / 2
            series = series - coefficient / (2 * k * u ** (2 * k))
        return np.log(u) / 2 + series

    return inner + np.where(upper > 10.0, primitive(np.maximum(upper, 10.0)) - primitive(np.array(10.0)), 0.0)


def linear_two_sided(rate: float, diffusion_coefficient: float, a: npt.ArrayLike) -> Any:
    """Mean exit time from |x| < a for dX = rate X dt + sqrt(2 D) dW, started at 0.

    Parameters
    ----------
    rate : float
        kappa: > 0 at a saddle (lam; USAM has lam (1 - rho lam)), < 0 in a well (-theta), 0 for Brownian
        motion.
    diffusion_coefficient : float
        D > 0.
    a : array_like
        Half-width > 0.

    Returns
    -------
    ndarray or float64
        Time.

    Notes
    -----
    kappa > 0: T = (2/kappa) int_0^U Daw(u) du = (1/kappa) B 2F2(1, 1; 3/2, 2; -B),
    U^2 = B = kappa a^2 / (2 D).
    kappa < 0: T = (1/theta) A^2 2F2(1, 1; 3/2, 2; A^2), A^2 = theta a^2 / (2 D); inf beyond A = 26.6.
    kappa = 0: a^2 / (2 D). [derived, checked; the well is in Siegert 1951]

    Examples
    --------
    >>> linear_two_sided(1.0, 0.01, 1.0).round(8), linear_two_sided(-1.0, 1.0, 3.0).round(7)
    (np.float64(2.93268887), np.float64(42.5746335))
    """
    d, size = _positive("diffusion_coefficient", diffusion_coefficient), np.asarray(a, dtype=np.float64)
    if not math.isfinite(rate):
        raise ValueError(f"rate must be a finite number, got {rate!r}")
    b = abs(rate) * size**2 / (2 * d)
    if rate == 0:
        return (size**2 / (2 * d))[()]
    result = 2 * _dawson_integral(np.sqrt(b)) if rate > 0 else _hypergeometric(b)
    return (result / abs(rate))[()]


def linear_one_sided(theta: float, diffusion_coefficient: float, a: npt.ArrayLike) -> Any:
    """Mean time in which dX = -theta X dt + sqrt(2 D) dW (Ornstein-Uhlenbeck) first reaches a > 0 from 0.

    Notes
    -----
    T = (sqrt(pi)/theta) int_0^A exp(u^2) (1 + erf u) du, A = a sqrt(theta / 2D), split into
    sqrt(pi) exp(A^2) Daw(A) and A^2 2F2(1, 1; 3/2, 2; A^2). Siegert 1951. [textbook]

    Examples
    --------
    >>> linear_one_sided(1.0, 1.0, [1.0, 4.0]).round(5)
    array([   2.09341, 2018.39238])
    """
    theta, d = _positive("theta", theta), _positive("diffusion_coefficient", diffusion_coefficient)
    z = theta * np.asarray(a, dtype=np.float64) ** 2 / (2 * d)
    with np.errstate(over="ignore"):
        one = math.sqrt(math.pi) * np.exp(z) * special.dawsn(np.sqrt(z))
    return ((one + _hypergeometric(z)) / theta)[()]


def linear_one_sided_asymptotic(theta: float, diffusion_coefficient: float, a: npt.ArrayLike) -> Any:
    """Far barrier: sqrt(2 pi)/(theta a') exp(a'^2/2), a' = a in stationary standard deviations. [textbook]

    Examples
    --------
    >>> float(linear_one_sided_asymptotic(1.0, 1.0, 8.0) / linear_one_sided(1.0, 1.0, 8.0)).__round__(2)
    0.98
    """
    scaled = np.asarray(a, dtype=np.float64) * math.sqrt(theta / diffusion_coefficient)
    return (math.sqrt(2 * math.pi) / (theta * scaled) * np.exp(scaled**2 / 2))[()]


def saddle_logarithmic(rate: float, diffusion_coefficient: float, a: npt.ArrayLike) -> Any:
    """Small noise at a saddle: T = [ln(4 B) + gamma]/(2 lam) - 1/(4 B lam), B = lam a^2/2D. [derived]

    Examples
    --------
    >>> saddle_logarithmic(1.0, 0.01, 1.0).round(6)
    np.float64(2.932767)
    """
    rate, d = _positive("rate", rate), _positive("diffusion_coefficient", diffusion_coefficient)
    b = rate * np.asarray(a, dtype=np.float64) ** 2 / (2 * d)
    return ((np.log(4 * b) + np.euler_gamma) / (2 * rate) - 1 / (4 * b * rate))[()]


def disc(rate: float, diffusion_coefficient: float, radius: npt.ArrayLike) -> Any:
    """Mean exit time from a disc, from its centre, under isotropic linear drift rate * x in two dimensions.

    Notes
    -----
    With B = |rate| a^2 / 2D: source (rate > 0) T = [E1(B) + ln B + gamma] / (2 rate); sink (rate < 0)
    T = [Ei(B) - ln B - gamma] / (2 |rate|); rate 0: a^2 / (4 D). [derived, checked]

    Examples
    --------
    >>> disc(1.0, 0.1, 1.0).round(8), disc(-1.0, 0.1, 1.0).round(7)
    (np.float64(1.09390094), np.float64(18.9993109))
    """
    d, a = _positive("diffusion_coefficient", diffusion_coefficient), np.asarray(radius, dtype=np.float64)
    if rate == 0:
        return (a**2 / (4 * d))[()]
    b, sign = abs(rate) * a**2 / (2 * d), math.copysign(1.0, rate)
    k = np.arange(1, 25)
    small = np.minimum(b, 1.0)[..., None]
    series = (-sign * (-sign * small) ** k / (k * special.factorial(k))).sum(axis=-1)
    big = np.maximum(b, 1.0)
    large = special.exp1(big) if rate > 0 else special.expi(big)
    closed = large + sign * (np.log(big) + np.euler_gamma)
    return (np.where(b < 1, series, closed) / (2 * abs(rate)))[()]


def constant_drift(drift: float, standard_deviation: float, distance: float) -> Any:
    """Law of the time at which drift t + standard_deviation W(t) first reaches `distance` > 0, for drift > 0.

    Returns
    -------
    scipy.stats frozen distribution
        Inverse Gaussian of mean distance / drift and shape (distance / standard_deviation)^2. [textbook]

    Examples
    --------
    >>> float(constant_drift(0.7, 1.3, 1.0).mean()).__round__(5)
    1.42857
    """
    mean = _positive("distance", distance) / _positive("drift", drift)
    shape = (distance / _positive("standard_deviation", standard_deviation)) ** 2
    return stats.invgauss(mean / shape, scale=shape)


# Rare escapes


def eyring_kramers(
    minimum_hessian: npt.ArrayLike,
    saddle_hessian: npt.ArrayLike,
    barrier: float,
    diffusion_coefficient: npt.ArrayLike,
    *,
    to: str = "far well",
) -> Any:
    """Eyring-Kramers law for gradient drift: leading order in D.

    Parameters
    ----------
    minimum_hessian, saddle_hessian : array_like, shape (dim, dim) or a number
        Hessians of V at the well and at the saddle, which has one negative eigenvalue lam_-.
    barrier : float
        V(saddle) - V(well).
    diffusion_coefficient : array_like
        D > 0.
    to : {"far well", "separatrix"}
        Where the path must arrive; a path on the separatrix goes either way, so it takes half the time.

    Notes
    -----
    T = (2 pi / |lam_-|) sqrt(|det H_s| / det H_m) exp(barrier / D). [textbook]

    The drift of unnormalised SAM is a gradient only to first order in rho where dim > 1, and the
    prefactor then has a further factor (Bouchet and Reygner 2016), which is not included.

    Examples
    --------
    >>> eyring_kramers(2.0, -1.0, 0.25, 0.05).round(3)
    np.float64(659.382)
    """
    if to not in ("far well", "separatrix"):
        raise ValueError(f"to must be 'far well' or 'separatrix', got {to!r}")
    well = np.linalg.eigvalsh(np.atleast_2d(np.asarray(minimum_hessian, dtype=np.float64)))
    saddle = np.linalg.eigvalsh(np.atleast_2d(np.asarray(saddle_hessian, dtype=np.float64)))
    if (well <= 0).any():
        raise ValueError(f"minimum_hessian must be positive definite, got eigenvalues {well}")
    if (saddle < 0).sum() != 1 or (saddle == 0).any():
        raise ValueError(
            f"saddle_hessian must have one negative eigenvalue and no zero one, got eigenvalues {saddle}"
        )
    prefactor = 2 * math.pi / -saddle[0] * math.sqrt(abs(np.prod(saddle)) / np.prod(well))
    full = prefactor * np.exp(barrier / np.asarray(diffusion_coefficient, dtype=np.float64))
    return (full if to == "far well" else full / 2)[()]


def double_well_expansion(diffusion_coefficient: npt.ArrayLike) -> Any:
    """Mean time -1 -> +1 in f = (x^2 - 1)^2 / 4: sqrt(2) pi exp(0.25 / D) (1 + 1.5 D). [derived, checked]

    Examples
    --------
    >>> double_well_expansion(0.02).round(-3)
    np.float64(1228000.0)
    """
    d = np.asarray(diffusion_coefficient, dtype=np.float64)
    return (math.sqrt(2) * math.pi * np.exp(0.25 / d) * (1 + 1.5 * d))[()]


def sam_double_well_expansion(rho: float, diffusion_coefficient: npt.ArrayLike, *, to: str = "trap") -> Any:
    """Mean time -1 -> 0 (to="trap") or, twice that, -1 -> +1 ("far well") of SAM in the double well.

    Notes
    -----
    sqrt(2 pi D) (1/s_outer + 1/s_inner) exp(barrier / D) with the slopes s_outer = rho (1 + rho)(2 + rho) and
    s_inner = rho (1 - rho)(2 - rho) of the cusp at -1. It needs D << rho^2: at rho = 0.05, D = 0.01 the exact
    time is 0.38 of it. [derived, checked]

    Examples
    --------
    >>> sam_double_well_expansion(0.3, 0.005, to="far well") / sam_double_well_expansion(0.3, 0.005)
    np.float64(2.0)
    """
    if to not in ("trap", "far well"):
        raise ValueError(f"to must be 'trap' or 'far well', got {to!r}")
    d = np.asarray(diffusion_coefficient, dtype=np.float64)
    outer, inner = rho * (1 + rho) * (2 + rho), rho * (1 - rho) * (2 - rho)
    trap = (
        np.sqrt(2 * math.pi * d) * (1 / outer + 1 / inner) * np.exp(sam_double_well_barrier(rho).barrier / d)
    )
    return (trap if to == "trap" else 2 * trap)[()]


# Potentials of f = (x^2 - 1)^2 / 4 under the rules


def usam_double_well_potential(x: npt.ArrayLike, rho: float) -> Any:
    """V with V' = f'(x + rho f'(x)) and V(1) = 0, for f = (x^2 - 1)^2 / 4. [derived, checked]

    Notes
    -----
    V = f + rho (x^6/2 - x^4 + x^2/2) + rho^2 (3 x^8/8 - x^6 + 3 x^4/4)
    + rho^3 (x^10/10 - 3 x^8/8 + x^6/2 - x^4/4),
    up to a constant; V''(1) = 2 (1 + 2 rho), V''(0) = -(1 - rho).

    Examples
    --------
    >>> usam_double_well_potential([0.0, -2.0], 0.2).round(6), round(usam_double_well_barrier(0.2), 12)
    (array([0.2452, 7.8804]), 0.2452)
    """
    s = np.asarray(x, dtype=np.float64) ** 2
    value = (s - 1) ** 2 / 4 + rho * s * (s - 1) ** 2 / 2 + rho**2 * s**2 * (3 * s**2 / 8 - s + 0.75)
    value = value + rho**3 * s**2 * (s**3 / 10 - 3 * s**2 / 8 + s / 2 - 0.25)
    return (value - rho**2 / 8 + rho**3 / 40)[()]


def usam_double_well_barrier(rho: float) -> float:
    """V(0) - V(1) = 1/4 - rho^2/8 + rho^3/40. [derived, checked]

    Examples
    --------
    >>> usam_double_well_barrier(0.0)
    0.25
    """
    return 0.25 - rho**2 / 8 + rho**3 / 40


def sam_double_well_potential(x: npt.ArrayLike, rho: float) -> Any:
    """V with V' = f'(x + rho sign f'(x)) and V(1) = 0, f = (x^2 - 1)^2 / 4, 0 <= rho < 1. [derived, checked]

    Notes
    -----
    f shifted piece by piece: f(|x| + rho) for |x| > 1 and f(|x| - rho) for |x| < 1, each less its value at
    1. The wells are cusps, 0 is an attracting cusp, and the saddles are at x = rho and -rho.

    Examples
    --------
    >>> sam_double_well_potential([0.2, 0.0, 1.0], 0.2).round(12)
    array([0.2176, 0.198 , 0.    ])
    """
    if not 0 <= rho < 1:
        raise ValueError(f"rho must be a number in [0, 1), got {rho!r}")
    size = np.abs(np.asarray(x, dtype=np.float64))
    sign = np.where(size > 1, 1.0, -1.0)

    def f(y: Array) -> Array:
        return (y**2 - 1) ** 2 / 4

    return (f(size + sign * rho) - f(1 + sign * rho))[()]


class SamBarriers(NamedTuple):
    """Barrier seen from the wells, and depth of the trap at 0 below the saddles at rho and -rho."""

    barrier: float
    trap_depth: float


def sam_double_well_barrier(rho: float) -> SamBarriers:
    """Barrier 1/4 - (rho (2 - rho))^2/4 from the wells; trap (2 rho^2 - rho^4)/4 deep. [derived, checked]

    Examples
    --------
    >>> sam_double_well_barrier(0.0)
    SamBarriers(barrier=0.25, trap_depth=0.0)
    """
    return SamBarriers(0.25 - (rho * (2 - rho)) ** 2 / 4, (2 * rho**2 - rho**4) / 4)
