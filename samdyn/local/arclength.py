"""Pseudo-arclength continuation of a curve G(u) = 0, with G: R^(N+1) -> R^N.

Algorithm
---------
1. Tangent: t spans the null space of DG(u), |t| = 1, found from ``[DG; t_old] t = (0, ..., 0, 1)``; its sign
   is that of the direction of travel.
2. Predictor: u + ds t. Corrector: Newton on G(v) = 0, t . (v - u) = ds. It has converged when the last
   correction is below `TOLERANCE` (1 + |v|), or below `STUCK` and no longer shrinking. It has failed after
   `MAX_NEWTON` corrections, when a correction is longer than twice the step, or when the matrix is
   singular.
3. A step is refused, and halved, when the corrector fails or the tangent turns by more than `MAX_ANGLE`. It
   grows by half after one that took at most three corrections and turned by less than half of that, up to a
   largest step in the last coordinate (the parameter), or ten times that along the others.
The rows of G are divided by the largest entry of their gradient, so that small learning rates, which
multiply whole rows, do not matter.

References
----------
Keller, Numerical Solution of Bifurcation and Nonlinear Eigenvalue Problems (1977). Allgower & Georg,
Introduction to Numerical Continuation Methods (SIAM, 2003), ch. 2 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samdyn.compute.checks import Array

TOLERANCE = 1e-12
SMALLEST = 1e-9  # step, in scaled units
STUCK = 1e-8
MAX_NEWTON = 10
MAX_ANGLE = 0.3  # radians between the tangents of neighbouring points

Equations = Callable[[Array], tuple[Array, Array]]
"""u (N+1,) to G (N,) and DG (N, N+1)."""


@dataclass(frozen=True)
class Point:
    """A point of a curve: position, unit tangent, the Jacobian of the equations there, and how many
    corrections it took.
    """

    u: Array
    tangent: Array
    jacobian: Array
    corrections: int


def scaled_rows(value: Array, jacobian: Array) -> tuple[Array, Array]:
    """G and DG with every row divided by its largest derivative (rows of zeros are left)."""
    size = np.abs(jacobian).max(axis=1)
    size = np.where(size > 0, size, 1.0)
    return value / size, jacobian / size[:, None]


def _solve(rows: Array, right: Array) -> Array:
    """The solution; of consistent systems with redundant rows too."""
    if rows.shape[0] == rows.shape[1]:
        return np.asarray(np.linalg.solve(rows, right))
    return np.asarray(np.linalg.lstsq(rows, right, rcond=1e-12)[0])


def tangent_of(jacobian: Array, along: Array) -> Array | None:
    """Unit vector of the null space of a Jacobian (N, N+1), with a positive component along `along`."""
    rows = np.vstack([jacobian, along])
    right = np.zeros(len(rows))
    right[-1] = 1.0
    try:
        t = _solve(rows, right)
    except np.linalg.LinAlgError:
        return None
    length = float(np.linalg.norm(t))
    return t / length if np.isfinite(length) and length > 0 else None


def correct(equations: Equations, guess: Array, along: Array, reach: float) -> Point | None:
    """Newton from `guess` in the plane through it normal to `along`; None if it does not converge.

    Parameters
    ----------
    equations : callable
        u to G, DG.
    guess, along : ndarray, shape (N+1,)
    reach : float
        Longest correction allowed.
    """
    u, last = guess.copy(), np.inf
    for k in range(1, MAX_NEWTON + 1):
        value, jacobian = equations(u)
        if not (np.isfinite(value).all() and np.isfinite(jacobian).all()):
            return None
        value, jacobian = scaled_rows(value, jacobian)
        rows = np.vstack([jacobian, along])
        right = -np.append(value, along @ (u - guess))
        try:
            correction = _solve(rows, right)
        except np.linalg.LinAlgError:
            return None
        size = float(np.linalg.norm(correction))
        if not size <= reach:
            return None
        u = u + correction
        small = size <= TOLERANCE * (1 + float(np.linalg.norm(u)))
        stuck = last / 2 < size < STUCK  # rounding near a branch point, where the rows are nearly singular
        last = size
        if small or stuck:
            tangent = tangent_of(jacobian, along)
            return None if tangent is None else Point(u, tangent, jacobian, k)
    return None


def advance(equations: Equations, point: Point, ds: float) -> Point | None:
    """The point of the curve at ds from `point` along its tangent; None if the corrector fails."""
    reach = max(2 * abs(ds), 1e-9)
    return correct(equations, point.u + ds * point.tangent, point.tangent, reach)


def angle(a: Array, b: Array) -> float:
    """Angle between unit vectors, accurate for small ones."""
    return 2 * float(np.arcsin(min(1.0, float(np.linalg.norm(a - b)) / 2)))


def next_point(
    equations: Equations,
    point: Point,
    ds: float,
    smallest: float,
    largest: float,
    allowed: Callable[[Point, Point], bool] = lambda old, new: True,
) -> tuple[Point | None, float, float]:
    """One accepted step: the new point, the step that led there, and the step to try next.

    The point is None when no step down to `smallest` is accepted. `allowed` may refuse a step on other
    grounds.
    """
    while ds >= smallest:
        new = advance(equations, point, ds)
        turn = np.inf if new is None else angle(new.tangent, point.tangent)
        if new is not None and turn <= MAX_ANGLE and allowed(point, new):
            easy = new.corrections <= 3 and turn < MAX_ANGLE / 2
            longest = largest / max(0.1, abs(float(new.tangent[-1])))
            return new, min(ds, longest), min(1.5 * ds if easy else ds, longest)
        ds /= 2
    return None, ds, smallest
