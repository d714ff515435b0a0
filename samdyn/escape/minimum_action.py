"""The most likely path against a drift, and what it costs: the geometric minimum action method.

For dX = b dt + a(X)^(1/2) dW the exponent of a transition from x to y is the least action over all paths,
whatever time they take (Freidlin and Wentzell); in the geometric form of Heymann and Vanden-Eijnden (Comm.
Pure Appl. Math. 61 (2008) 1052) it is a length of the curve alone: ::

    S = integral of |p'| |b| - <p', b>,    <u, v> = u^T a(p)^-1 v,  |u|^2 = <u, u>

The rate of the transition is of the order exp(-S). For b = -grad U and a = s^2 I it is 2 (U(saddle) - U(x))
/ s^2.

Algorithm: the curve is a polygon, the integrand taken at the middle of its sides; its inner corners are
moved by L-BFGS (scipy), and spaced equally again between rounds, on finer and finer polygons, until a round
lowers the action by less than `tolerance` of it, or `max_rounds`. Derivatives of b and a are central
differences. A descent finds a local minimum: the path beside `initial`. The error of the polygon is of
second order in its sides; halving them estimates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import interpolate, optimize

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow

ITERATIONS = 60  # of L-BFGS in a round
SMALL = 1e-12  # lengths are sqrt(x^2 + SMALL^2), in units of the path's own


@dataclass(frozen=True, eq=False)
class ActionPath:
    """A path of least action.

    Attributes
    ----------
    x : ndarray, shape (n, dim)
        Corners, from start to end.
    action : float
        The exponent: the rate is of the order exp(-action).
    error : float
        Change of the action when every second corner is left out, over 3: an estimate of what is left of the
        error of the polygon.
    converged : bool
        Whether the last round lowered the action by less than the tolerance.
    """

    x: Array
    action: float
    error: float
    converged: bool

    def __repr__(self) -> str:
        state = "" if self.converged else ", not converged"
        return f"ActionPath of {len(self.x)} points: action {self.action:.6g} +- {self.error:.1g}{state}"


def minimum_action(
    system: Diffusion | Flow,
    start: npt.ArrayLike,
    end: npt.ArrayLike,
    *,
    n_points: int = 101,
    initial: npt.ArrayLike | None = None,
    tolerance: float = 1e-5,
    max_rounds: int = 40,
) -> ActionPath:
    """Path of least action between two points.

    Parameters
    ----------
    system : Diffusion or Flow
        For a Flow the noise is taken as the identity, dX = b dt + dW.
    start, end : array_like, shape (dim,)
        Usually an attractor and a saddle: beyond a saddle the rest of the way costs nothing.
    n_points : int
        Corners of the polygon, the ends included, >= 5.
    initial : array_like, shape (n, dim), optional
        A path to start from; the straight line by default.
    tolerance : float
        Relative decrease of the action in a round below which it has converged.
    max_rounds : int

    Returns
    -------
    ActionPath

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or the noise is singular on the path.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(), sd.GD())
    >>> path = minimum_action(flow, [-1.0], [0.0])
    >>> round(path.action, 3)  # twice the barrier of 1/4
    0.5
    """
    if not isinstance(system, Diffusion | Flow):
        raise TypeError(f"system must be a Diffusion or a Flow, got {system!r}")
    first = checks.points("start", start, system.dim).reshape(system.dim)
    last = checks.points("end", end, system.dim).reshape(system.dim)
    n_points = checks.integer("n_points", n_points, at_least=5)
    checks.number("tolerance", tolerance, above=0)
    max_rounds = checks.integer("max_rounds", max_rounds, at_least=1)
    if initial is None:
        x = first + np.linspace(0, 1, n_points)[:, None] * (last - first)
    else:
        given = checks.points("initial", initial, system.dim)
        if given.ndim != 2 or len(given) < 2:
            raise ValueError(f"initial must have shape (n, {system.dim}), got {given.shape}")
        x = respaced(np.concatenate([[first], given[1:-1], [last]]), n_points)
    span = float(np.linalg.norm(np.diff(x, axis=0), axis=1).sum())
    if span == 0:
        return ActionPath(x, 0.0, 0.0, True)
    scale = 1e-6 * span
    if not np.isfinite(_action(system, x, scale)[0]):
        raise ValueError(
            f"system must be finite on the path from start to end, got nan or infinity ({system!r}): give "
            "initial, a path around the place where the gradient of the loss is not finite"
        )

    def objective(inner: Array) -> tuple[float, Array]:
        path = np.concatenate([[first], inner.reshape(-1, system.dim), [last]])
        action, slope = _action(system, path, scale)
        return action, slope[1:-1].ravel()

    # a coarse polygon finds the shape in few steps; each finer one starts from it
    for n in coarse_to_fine(n_points):
        x, value, converged = respaced(x, n), np.inf, False
        for _ in range(max_rounds):
            found = optimize.minimize(
                objective, x[1:-1].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
            )
            x = respaced(np.concatenate([[first], found.x.reshape(-1, system.dim), [last]]), n)
            action = _action(system, x, scale)[0]
            converged = abs(value - action) <= tolerance * abs(action) + 1e-300
            value = action
            if converged:
                break
    coarse = _action(system, x[::2] if n_points % 2 else np.concatenate([x[:-1:2], x[-1:]]), scale)[0]
    return ActionPath(x, float(value), abs(float(coarse - value)) / 3, converged)


def coarse_to_fine(n_points: int) -> list[int]:
    """Numbers of corners, each about half the next, down to about a dozen."""
    sizes = [n_points]
    while sizes[-1] > 20:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes[::-1]


def respaced(x: Array, n: int) -> Array:
    """Points at equal distances along the polygon through points (m, dim)."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(length) > 0])
    return np.asarray(interpolate.interp1d(length[keep], x[keep], axis=0)(np.linspace(0, length[-1], n)))


def _field(system: Any, x: Array) -> tuple[Array, Array]:
    """Drift and inverse covariance at points (n, dim)."""
    if isinstance(system, Flow):
        return np.asarray(system(x)), np.broadcast_to(np.eye(x.shape[1]), (*x.shape, x.shape[1]))
    covariance = system.covariance(x)
    try:
        return np.asarray(system.drift(x)), np.linalg.inv(covariance)
    except np.linalg.LinAlgError:
        raise ValueError("system must have noise in every direction along the path") from None


def _action(system: Any, x: Array, scale: float) -> tuple[float, Array]:
    """Action of a polygon (n, dim), and its derivative by the corners."""
    side, middle = np.diff(x, axis=0), (x[1:] + x[:-1]) / 2
    dim = x.shape[1]
    steps = scale * np.eye(dim)
    around = np.concatenate([middle[None], middle + steps[:, None], middle - steps[:, None]]).reshape(-1, dim)
    drift, inverse = _field(system, around)
    drift = drift.reshape(2 * dim + 1, -1, dim)
    inverse = inverse.reshape(2 * dim + 1, -1, dim, dim)
    b, metric = drift[0], inverse[0]
    b_slope = (drift[1 : dim + 1] - drift[dim + 1 :]) / (2 * scale)  # (by, n, component)
    metric_slope = (inverse[1 : dim + 1] - inverse[dim + 1 :]) / (2 * scale)
    side_flat, b_flat = np.einsum("nij,nj->ni", metric, side), np.einsum("nij,nj->ni", metric, b)
    size = np.sqrt(np.einsum("ni,ni->n", side, side_flat)) + SMALL
    speed = np.sqrt(np.einsum("ni,ni->n", b, b_flat)) + SMALL
    action = float((size * speed - np.einsum("ni,ni->n", side, b_flat)).sum())
    by_side = side_flat * (speed / size)[:, None] - b_flat
    by_drift = b_flat * (size / speed)[:, None] - side_flat
    outer = (
        np.einsum("ni,nj,n->nij", side, side, speed / size)
        + np.einsum("ni,nj,n->nij", b, b, size / speed)
        - np.einsum("ni,nj->nij", side, b)
        - np.einsum("ni,nj->nij", b, side)
    ) / 2
    by_middle = np.einsum("ni,kni->nk", by_drift, b_slope) + np.einsum("nij,knij->nk", outer, metric_slope)
    slope = np.zeros_like(x)
    slope[1:] += by_side + by_middle / 2
    slope[:-1] += by_middle / 2 - by_side
    return action, slope
