"""Mean and spread of exit times in one dimension, for any drift, by double quadrature.

dX = b(X) dt + sqrt(2 D) dW. Every drift has a potential V' = -b, so that the moments are double integrals of
exp(V/D) and exp(-V/D). They are taken over Gauss-Legendre panels that end at the given breakpoints, with V
integrated on the same nodes and every exponential relative to the largest of its panel. [textbook]

References
----------
Gardiner, Handbook of Stochastic Methods, section 5.2.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre

from samdyn.arguments.checks import Array, array, integer, number
from samdyn.arguments.signature import checked


class ExitMoments(NamedTuple):
    """Mean and standard deviation of an exit time, in units of time."""

    mean: Any
    standard_deviation: Any


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


@checked
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
    >>> import samdyn as sd
    >>> sd.theory.first_passage.exit_time_moments(lambda x: 0 * x, 0.5, 0.0, (-1.0, 1.0)).mean.round(12)
    np.float64(1.0)
    """
    d = number("diffusion_coefficient", diffusion_coefficient, above=0)
    lower, upper = interval
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < x0 < upper):
        raise ValueError(f"x0 must lie inside a finite interval, got x0={x0!r} and interval={interval!r}")
    if left not in ("absorbing", "reflecting"):
        raise ValueError(f"left must be 'absorbing' or 'reflecting', got {left!r}")
    width = number("panel_width", panel_width, above=0)
    nodes, weights, matrix = _integration(integer("n_nodes", n_nodes, at_least=2, below=1000))
    ends = np.unique([lower, *(p for p in breakpoints if lower < p < upper), x0, upper])
    counts = np.maximum(1, np.ceil(np.diff(ends) / width).astype(int))
    panels = zip(ends[:-1], ends[1:], counts, strict=True)
    edges = np.concatenate([*(np.linspace(a, b, n, endpoint=False) for a, b, n in panels), [upper]])
    half = np.diff(edges) / 2
    x = edges[:-1, None] + half[:, None] * (nodes + 1)
    slope = array("drift", drift(x), finite=False, wanted="a function whose values are numbers") / d
    if slope.shape != x.shape:
        raise ValueError(
            f"drift must return an array of the shape of its points {x.shape}, got {slope.shape}"
        )
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
