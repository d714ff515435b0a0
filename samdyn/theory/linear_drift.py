"""Exit times under linear and constant drift, in special functions.

dX = rate X dt + sqrt(2 D) dW: wells (Ornstein-Uhlenbeck) and saddles, through Dawson's function, a 2F2 and
exponential integrals; constant drift has the inverse-Gaussian law. Status marks: see
`samdyn.theory.first_passage`.

References
----------
Siegert, Physical Review 81, 617 (1951).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy import special, stats

from samdyn.arguments.checks import Array, array, number
from samdyn.arguments.signature import checked

BARRIER_SHIFT = 0.582597157939011
"""-zeta(1/2) / sqrt(2 pi): a barrier watched at the ends of Gaussian steps of standard deviation s acts like
one watched continuously and moved outward by this times s (Broadie, Glasserman and Kou 1997). [textbook]"""


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


@checked
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
    >>> import samdyn as sd
    >>> from samdyn.theory import first_passage as fp
    >>> fp.linear_two_sided(1.0, 0.01, 1.0).round(8), fp.linear_two_sided(-1.0, 1.0, 3.0).round(7)
    (np.float64(2.93268887), np.float64(42.5746335))
    """
    d, size = number("diffusion_coefficient", diffusion_coefficient, above=0), array("a", a, above=0)
    rate = number("rate", rate)
    b = abs(rate) * size**2 / (2 * d)
    if rate == 0:
        return (size**2 / (2 * d))[()]
    result = 2 * _dawson_integral(np.sqrt(b)) if rate > 0 else _hypergeometric(b)
    return (result / abs(rate))[()]


@checked
def linear_one_sided(theta: float, diffusion_coefficient: float, a: npt.ArrayLike) -> Any:
    """Mean time in which dX = -theta X dt + sqrt(2 D) dW (Ornstein-Uhlenbeck) first reaches a > 0 from 0.

    Notes
    -----
    T = (sqrt(pi)/theta) int_0^A exp(u^2) (1 + erf u) du, A = a sqrt(theta / 2D), split into
    sqrt(pi) exp(A^2) Daw(A) and A^2 2F2(1, 1; 3/2, 2; A^2). Siegert 1951. [textbook]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.first_passage.linear_one_sided(1.0, 1.0, [1.0, 4.0]).round(5)
    array([   2.09341, 2018.39238])
    """
    theta, d = (
        number("theta", theta, above=0),
        number("diffusion_coefficient", diffusion_coefficient, above=0),
    )
    z = theta * array("a", a, above=0) ** 2 / (2 * d)
    with np.errstate(over="ignore"):
        one = math.sqrt(math.pi) * np.exp(z) * special.dawsn(np.sqrt(z))
    return ((one + _hypergeometric(z)) / theta)[()]


@checked
def linear_one_sided_asymptotic(theta: float, diffusion_coefficient: float, a: npt.ArrayLike) -> Any:
    """Far barrier: sqrt(2 pi)/(theta a') exp(a'^2/2), a' = a in stationary standard deviations. [textbook]

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.theory import first_passage as fp
    >>> round(float(fp.linear_one_sided_asymptotic(1, 1, 8) / fp.linear_one_sided(1, 1, 8)), 2)
    0.98
    """
    theta, d = (
        number("theta", theta, above=0),
        number("diffusion_coefficient", diffusion_coefficient, above=0),
    )
    scaled = array("a", a, above=0) * math.sqrt(theta / d)
    return (math.sqrt(2 * math.pi) / (theta * scaled) * np.exp(scaled**2 / 2))[()]


@checked
def saddle_logarithmic(rate: float, diffusion_coefficient: float, a: npt.ArrayLike) -> Any:
    """Small noise at a saddle: T = [ln(4 B) + gamma]/(2 lam) - 1/(4 B lam), B = lam a^2/2D. [derived]

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.theory.first_passage.saddle_logarithmic(1.0, 0.01, 1.0).round(6)
    np.float64(2.932767)
    """
    rate, d = number("rate", rate, above=0), number("diffusion_coefficient", diffusion_coefficient, above=0)
    b = rate * array("a", a, above=0) ** 2 / (2 * d)
    return ((np.log(4 * b) + np.euler_gamma) / (2 * rate) - 1 / (4 * b * rate))[()]


@checked
def disc(rate: float, diffusion_coefficient: float, radius: npt.ArrayLike) -> Any:
    """Mean exit time from a disc, from its centre, under isotropic linear drift rate * x in two dimensions.

    Notes
    -----
    With B = |rate| a^2 / 2D: source (rate > 0) T = [E1(B) + ln B + gamma] / (2 rate); sink (rate < 0)
    T = [Ei(B) - ln B - gamma] / (2 |rate|); rate 0: a^2 / (4 D). [derived, checked]

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.theory import first_passage as fp
    >>> fp.disc(1.0, 0.1, 1.0).round(8), fp.disc(-1.0, 0.1, 1.0).round(7)
    (np.float64(1.09390094), np.float64(18.9993109))
    """
    d, a = (
        number("diffusion_coefficient", diffusion_coefficient, above=0),
        array("radius", radius, above=0),
    )
    rate = number("rate", rate)
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


@checked
def constant_drift(drift: float, standard_deviation: float, distance: float) -> Any:
    """Law of the time at which drift t + standard_deviation W(t) first reaches `distance` > 0, for drift > 0.

    Returns
    -------
    scipy.stats frozen distribution
        Inverse Gaussian of mean distance / drift and shape (distance / standard_deviation)^2. [textbook]

    Examples
    --------
    >>> import samdyn as sd
    >>> float(sd.theory.first_passage.constant_drift(0.7, 1.3, 1.0).mean()).__round__(5)
    1.42857
    """
    mean = number("distance", distance, above=0) / number("drift", drift, above=0)
    shape = (distance / number("standard_deviation", standard_deviation, above=0)) ** 2
    return stats.invgauss(mean / shape, scale=shape)
