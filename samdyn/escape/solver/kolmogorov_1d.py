r"""The backward Kolmogorov equation in one dimension, by quadrature on adapted panels.

L u = -f with L = b d/dx + (a/2) d^2/dx^2 on an interval has its solution in integrals. With
Phi' = -2 b / a, the scale density s = exp(Phi), the speed density m = (2/a) exp(-Phi) and
S(y, z) = int_y^z s,

.. math::

    u(x) = p(x) \int_x^r S(y, r)\, m f\, dy + (1 - p(x)) \int_l^x S(l, y)\, m f\, dy,
    \qquad p = S(l, x) / S(l, r),

for two absorbing ends, and for a reflecting end l

.. math:: u(x) = S(x, r) \int_l^x m f\, dy + \int_x^r S(y, r)\, m f\, dy.

1. Panels of 16 Gauss-Legendre nodes are halved until 2b/a and log a are resolved to rounding and Phi changes
   by at most 3 on a panel. Where halving does not help, the drift jumps: the panel has shrunk onto the jump
   (a fixed point of normalised SAM, say), which becomes a panel end in a second pass.
2. Integrals accumulate as logarithms, each panel relative to its own maximum. All terms are positive, so
   nothing cancels or overflows: relative accuracy holds for times of any size.
3. The error estimate is the change when every panel is halved.

The slowest rate is the reciprocal of the largest eigenvalue of f -> u, which is self-adjoint with respect to
m: power iteration with Rayleigh quotients, stopped at a relative change of 1e-14 or where the
change, below 1e-10, no longer falls.

References
----------
Gardiner, Handbook of Stochastic Methods, section 5.2.7; Karlin and Taylor, A Second Course in Stochastic
Processes, chapter 15 (scale and speed).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Array]

N_NODES = 16
MAX_PANELS = 60_000  # a drift that needs more is not piecewise smooth
POSITION_ROUNDING = 4e-16  # of the farthest position; a panel at a jump is given up at 1e-14, long before
NODES, WEIGHTS = legendre.leggauss(N_NODES)
# values at the nodes -> Legendre coefficients; exact for polynomials of degree below N_NODES
TO_COEFFICIENTS: Array = (
    (np.arange(N_NODES)[:, None] + 0.5) * WEIGHTS * legendre.legvander(NODES, N_NODES - 1).T
)


def _integration_matrix() -> Array:
    """Values at the nodes -> integrals from -1 to each node."""
    vander = legendre.legvander(NODES, N_NODES)
    integrals = np.empty((N_NODES, N_NODES))
    integrals[:, 0] = NODES + 1
    degree = np.arange(1, N_NODES)
    integrals[:, 1:] = (vander[:, 2:] - vander[:, :-2]) / (2 * degree + 1)
    matrix: Array = integrals @ TO_COEFFICIENTS
    return matrix


INTEGRATE = _integration_matrix()


@dataclass(frozen=True)
class Panels:
    """An interval cut into panels, with Phi and log(2/a) at their nodes."""

    edges: Array
    x: Array
    half: Array
    phi: Array
    log_factor: Array

    @property
    def log_speed(self) -> Array:
        return self.log_factor - self.phi


def panel_nodes(edges: Array) -> Array:
    """Nodes (P, N_NODES) of the panels between P + 1 edges."""
    nodes: Array = (edges[:-1, None] + edges[1:, None]) / 2 + np.diff(edges)[:, None] / 2 * NODES
    return nodes


def _refine(
    function: Function, lower: float, upper: float, fixed: Array, integral_error: float, inset: float
) -> tuple[Array, Array]:
    """Panel edges between the points `fixed`, and the places where halving did not help.

    A function is resolved on a panel where its last Legendre coefficients are at rounding level, or are
    worth less than `integral_error` in its integral.
    """
    scale = max(upper - lower, abs(lower), abs(upper))
    ends = np.concatenate([[lower], fixed, [upper]])
    counts = np.maximum(1, np.ceil(np.diff(ends) / (upper - lower) * 24).astype(int))
    left = np.concatenate(
        [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(ends[:-1], ends[1:], counts, strict=True)]
    )
    right = np.append(left[1:], upper)
    done: list[Array] = []
    stuck: list[Array] = []
    total = 0
    rounding: Array | None = None
    while left.size:
        half = (right - left) / 2
        # two more points at the ends, since no node would see a jump between it and the end; just inside them
        # in the second pass, where the ends are at the jumps
        offset = np.minimum(inset * scale, 4e-3 * half)
        x = (left + right)[:, None] / 2 + half[:, None] * NODES
        values = function(np.column_stack([x, left + offset, right - offset]))  # (k, P, N_NODES + 2)
        if not np.isfinite(values).all():
            raise ValueError(
                f"drift and covariance must be finite and the covariance > 0 on ({lower:g}, {upper:g})"
            )
        values, at_ends = values[..., :N_NODES], values[..., N_NODES:]
        coefficients = values @ TO_COEFFICIENTS.T
        ends = np.stack([offset / half - 1, 1 - offset / half], axis=1)
        expected = np.einsum("kpn,pen->kpe", coefficients, legendre.legvander(ends, N_NODES - 1))
        missed = np.abs(expected - at_ends).max(axis=-1)
        tail = np.maximum(np.abs(coefficients[..., -3:]).max(axis=-1), 0.01 * missed)
        if rounding is None:
            rounding = 1e-14 * np.median(np.abs(values), axis=(1, 2))[:, None]
        known = (tail * half <= integral_error) | (tail <= 1e-12 * np.abs(coefficients).max(axis=-1))
        # far from 0 the rounding of a position, too, moves a value, by its slope: halving would not help
        moved = POSITION_ROUNDING * scale * np.ptp(values, axis=-1) / half
        resolved = (known | (tail <= rounding + moved)).all(axis=0)
        small = half * (np.abs(values[0]) @ WEIGHTS) <= 3
        tiny = half < 1e-14 * scale
        stop = tiny | (resolved & small)
        stuck.append(((left + right) / 2)[tiny & ~resolved])
        done.append(left[stop])
        total += int(stop.sum())
        middle = ((left + right) / 2)[~stop]
        left, right = np.concatenate([left[~stop], middle]), np.concatenate([middle, right[~stop]])
        if total + left.size > MAX_PANELS:
            raise ValueError(
                f"the drift needs more than {MAX_PANELS} panels on ({lower:g}, {upper:g}): it is not "
                "piecewise smooth, or the noise is too small for the box; give a smaller box"
            )
    edges = np.append(np.sort(np.concatenate(done)), upper)
    return edges, np.sort(np.concatenate(stuck))


def _merge(points: Array, distance: float) -> Array:
    if not points.size:
        return points
    groups = np.split(points, np.flatnonzero(np.diff(points) > distance) + 1)
    return np.array([group.mean() for group in groups])


def jumps(function: Function, lower: float, upper: float) -> Array:
    """Where a piecewise smooth function of one number jumps.

    Parameters
    ----------
    function : callable
        Vectorised; (P, n) points give (k, P, n) values of k functions.
    lower, upper : float
        Where to look.

    Returns
    -------
    ndarray
        Positions, sorted, to 1e-13 of the larger of the interval and its distance from 0.

    Examples
    --------
    >>> jumps(lambda x: np.sign(x - 0.3)[None] + x, -1.0, 1.0).round(12)
    array([0.3])
    """
    scale = max(upper - lower, abs(lower), abs(upper))
    # an irrational cut, so that no jump sits on a panel end by chance and stays unseen
    cut = np.array([lower + (upper - lower) * 0.3819660112501051])
    found = _merge(_refine(function, lower, upper, cut, 0.0, 0.0)[1], 1e-10 * (upper - lower) + 1e-13 * scale)
    return found[(found > lower + 1e-12 * scale) & (found < upper - 1e-12 * scale)]


def panels(rate: Function, log_variance: Function, lower: float, upper: float) -> Panels:
    """Panels that resolve 2b/a (`rate`) and log a (`log_variance`) on an interval."""

    def both(x: Array) -> Array:
        return np.stack([rate(x), log_variance(x)])

    fixed = jumps(both, lower, upper)
    edges, _ = _refine(both, lower, upper, fixed, 1e-14, 1e-12)
    return from_edges(rate, log_variance, edges)


def from_edges(rate: Function, log_variance: Function, edges: Array) -> Panels:
    """Panels between given edges."""
    x, half = panel_nodes(edges), np.diff(edges) / 2
    slope = rate(x)
    at_ends = np.concatenate([[0.0], np.cumsum(half * (slope @ WEIGHTS))])
    phi = -(at_ends[:-1, None] + half[:, None] * (slope @ INTEGRATE.T))
    return Panels(edges, x, half, phi, math.log(2) - log_variance(x))


def halved(edges: Array) -> Array:
    """Every panel cut in two."""
    return np.sort(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2]))


def _from_left(log_density: Array, half: Array) -> tuple[Array, float]:
    """Log of the integral of exp(log_density) from the left end to each node, and over everything."""
    top = log_density.max(axis=1, keepdims=True)
    scaled = np.exp(log_density - top)
    panel = top[:, 0] + np.log(half * (scaled @ WEIGHTS))
    before = np.concatenate([[-np.inf], np.logaddexp.accumulate(panel)])
    inside = top + np.log(np.maximum(half[:, None] * (scaled @ INTEGRATE.T), 1e-300))
    return np.logaddexp(before[:-1, None], inside), float(before[-1])


def _from_right(log_density: Array, half: Array) -> Array:
    return _from_left(log_density[::-1, ::-1], half[::-1])[0][::-1, ::-1]


@dataclass(frozen=True)
class Inverse:
    """The inverse of -L on panels whose ends absorb or reflect (not both reflect)."""

    panels: Panels
    absorbs: tuple[bool, bool]

    def probability_right(self) -> Array:
        """Log of the probability to leave at the right end, for two absorbing ends."""
        log_s, total = _from_left(self.panels.phi, self.panels.half)
        return log_s - total

    def probability_left(self) -> Array:
        """Log of the probability to leave at the left end, for two absorbing ends."""
        log_s = self.panels.phi
        return _from_right(log_s, self.panels.half) - _from_left(log_s, self.panels.half)[1]

    def __call__(self, log_source: Array | float) -> Array:
        """Log of u with L u = -exp(log_source) and u = 0 at absorbing ends."""
        half, log_s = self.panels.half, self.panels.phi
        here = self.panels.log_speed + log_source
        zero = np.zeros_like(log_s)
        from_left, total = _from_left(log_s, half) if self.absorbs[0] else (zero, 0.0)
        from_right = _from_right(log_s, half) if self.absorbs[1] else zero
        if not all(self.absorbs):
            total = 0.0
        one = from_right + _from_left(from_left + here, half)[0]
        two = from_left + _from_right(from_right + here, half)
        solution: Array = np.logaddexp(one, two) - total
        return solution


def moments(inverse: Inverse, moment: int) -> Array:
    """E[tau^moment] at the nodes, from L T_k = -k T_(k-1)."""
    log_u: Array = np.zeros_like(inverse.panels.phi)
    for k in range(1, moment + 1):
        log_u = inverse(log_u + math.log(k))
    return np.exp(log_u)


def slowest_rate(inverse: Inverse, max_iterations: int = 20_000) -> float:
    """Smallest eigenvalue of -L with absorbing and reflecting ends, by inverse iteration."""
    log_m = inverse.panels.log_speed
    weight = inverse.panels.half[:, None] * WEIGHTS
    log_u: Array = inverse(0.0)
    rate = last = math.inf
    for _ in range(max_iterations):
        log_u = log_u - log_u.max()
        log_v = inverse(log_u)
        shift = (log_m + log_u + log_v).max()
        one = float((weight * np.exp(log_m + log_u + log_v - shift)).sum())
        two = (log_m + 2 * log_v).max()
        # the Rayleigh quotient <u, v> / <v, v>, whose error is the square of the eigenfunction's
        new = one / float((weight * np.exp(log_m + 2 * log_v - two)).sum()) * math.exp(shift - two)
        step = abs(new - rate) / new
        if step <= 1e-14 or (step <= 1e-10 and step >= last):  # converged, or down to rounding
            return new
        log_u, rate, last = log_v, new, step
    raise RuntimeError(f"the slowest rate has not converged in {max_iterations} iterations (last {rate!r})")
