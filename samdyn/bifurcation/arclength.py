"""Pseudo-arclength continuation of a curve G(u) = 0, with G: R^(N+1) -> R^N.

Algorithm
---------
1. Tangent: t spans the null space of DG(u), |t| = 1, found from ``[DG; t_old] t = (0, ..., 0, 1)``; its sign
   follows the direction of travel.
2. Predictor: u + ds t. Corrector: Newton on G(v) = 0, t . (v - u) = ds. It has converged when the last
   correction is below `TOLERANCE` (1 + |v|), or below `STUCK` and no longer shrinking. It has failed after
   `MAX_NEWTON` corrections, when a correction is longer than twice the step, or when the matrix is
   singular.
3. A step is refused, and halved, when the corrector fails, and further:

   - when the tangent turns by more than `MAX_ANGLE` (curvature);
   - when the chord and the mean of the two tangents differ by more than `CHORD` + `BEND` turn^2. On a smooth
     curve they differ by the third derivative times ds^2 / 12; a fold and its return inside the step, or a
     jump to a curve beside this one, shifts the chord however small it is beside the step;
   - when the same step taken backwards from the new point does not come back to the old one;
   - when it is longer than the largest step in the parameters;
   - when the caller's own test refuses it.

   The step grows by half after one that took at most three corrections and turned by less than half of the
   largest angle, up to the largest step in the parameters, and along the other unknowns up to ten times that
   or `SHARE` of the largest unknown, whichever is longer.
4. A curve is closed where it meets its first point again: the point in the plane through the first one,
   normal to the tangent there, agrees with it in all unknowns to `SAME`.

The rows of G are divided by the largest entry of their gradient, so that small learning rates, which
multiply whole rows, do not matter.

References
----------
Keller, Numerical Solution of Bifurcation and Nonlinear Eigenvalue Problems (1977). Allgower & Georg,
Introduction to Numerical Continuation Methods (SIAM, 2003), ch. 2 and 6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samdyn.arguments.checks import Array

TOLERANCE = 1e-12  # relative size of a last correction; rounding of the equations is added to it
SMALLEST = 1e-9  # step, in scaled units
STUCK = 1e-8  # a correction below it that shrinks no more has met rounding
MAX_NEWTON = 10  # a step that needs more corrections is halved instead
MAX_ANGLE = 0.3  # radians between the tangents of neighbouring points
CHORD = 3e-4  # radians between a chord and the mean of its tangents, on a curve that is nearly straight
BEND = 0.25  # the same, as a share of the square of the turn
BACK = 1e-3  # of the step: how far from the old point the step back may end, on a straight curve
ROUNDING = 1e-11  # of a corrected point, in scaled units
AMPLIFIED = 100  # by which nearly singular rows enlarge the rounding of the unknowns
SHARE = 0.02  # of the largest unknown: a step as long needs no other unit
SAME = 1e-7  # scaled distance below which two corrected points are one

Equations = Callable[[Array], tuple[Array, Array]]
"""u (N+1,) to G (N,) and DG (N, N+1)."""


@dataclass(frozen=True)
class Point:
    """A point of a curve: position, unit tangent, the Jacobian of the equations there, how many corrections
    it took, and the angle in radians between its tangent and the one of the point before.
    """

    u: Array
    tangent: Array
    jacobian: Array
    corrections: int
    turn: float = 0.0


def rounding_of(equations: Equations) -> float:
    """What rounding leaves of the unknowns, by the equations' own attribute `rounding`; 0 without one."""
    return float(getattr(equations, "rounding", 0.0))


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
        small = size <= TOLERANCE * (1 + float(np.linalg.norm(u))) + rounding_of(equations)
        # rounding near a branch point, where the rows are nearly singular
        stuck = last / 2 < size < max(STUCK, AMPLIFIED * rounding_of(equations))
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


def reversible(equations: Equations, old: Point, new: Point) -> bool:
    """Whether the step from `old` to `new` is one along a single smooth curve, as far as its two ends tell.

    The chord must fit the tangents at both ends, and the step taken backwards must end at the old point.
    """
    chord = new.u - old.u
    length = float(np.linalg.norm(chord))
    mean = old.tangent + new.tangent
    rounding = ROUNDING * (1 + float(np.linalg.norm(new.u))) + AMPLIFIED * rounding_of(equations)
    turn = max(new.turn, old.turn)
    if length <= 10 * rounding:
        return True  # nothing can be told from points that rounding cannot tell apart
    off = angle(chord / length, mean / float(np.linalg.norm(mean)))
    if off > CHORD + BEND * turn**2 + 10 * rounding / length:
        return False
    back = correct(equations, new.u - length * new.tangent, new.tangent, max(2 * length, 1e-9))
    if back is None:
        return False
    gap = back.u - old.u
    across = float(np.linalg.norm(gap - (gap @ old.tangent) * old.tangent))
    return across <= (BACK + turn) * length + 10 * rounding


def next_point(
    equations: Equations,
    point: Point,
    ds: float,
    smallest: float,
    largest: float,
    allowed: Callable[[Point, Point], bool] = lambda old, new: True,
    parameters: slice = slice(-1, None),
) -> tuple[Point | None, float, float]:
    """One accepted step: the new point, the step that led there, and the step to try next.

    Parameters
    ----------
    equations : callable
        u to G, DG.
    point : Point
    ds, smallest : float
        The first step tried, and the smallest.
    largest : float
        Most change of the parameters in a step.
    allowed : callable
        May refuse a step on other grounds.
    parameters : slice
        Which unknowns are parameters.

    Returns
    -------
    (Point or None, float, float)
        The point is None when no step down to `smallest` is accepted.
    """
    while ds >= smallest:
        new = advance(equations, point, ds)
        if new is None:
            ds /= 2
            continue
        change = float(np.abs(new.u - point.u)[parameters].max())
        if change > largest * (1 + 1e-9):
            ds *= max(0.5, 0.99 * largest / change)
            continue
        new = dataclasses.replace(new, turn=angle(new.tangent, point.tangent))
        if new.turn <= MAX_ANGLE and reversible(equations, point, new) and allowed(point, new):
            easy = new.corrections <= 3 and new.turn < MAX_ANGLE / 2
            ahead = largest / max(1e-300, float(np.abs(new.tangent[parameters]).max()))
            longest = max(10 * largest, SHARE * float(np.abs(new.u).max()))
            return new, ds, min(1.5 * ds if easy else ds, ahead, longest)
        ds /= 2
    return None, ds, smallest


def closes(equations: Equations, first: Point, old: Point, new: Point) -> Point | None:
    """The first point of a curve, if the step from `old` to `new` meets it again; else None.

    The plane through the first point normal to its tangent must be crossed inside the step, and the point of
    the curve in that plane must be the first point in all unknowns.
    """
    before, after = (float(first.tangent @ (p.u - first.u)) for p in (old, new))
    length = float(np.linalg.norm(new.u - old.u))
    if not (before < 0 <= after) or float(np.linalg.norm(new.u - first.u)) > 2 * length:
        return None
    guess = old.u + (new.u - old.u) * before / (before - after)
    met = correct(equations, guess, first.tangent, max(2 * length, 1e-9))
    if met is None or angle(met.tangent, first.tangent) > MAX_ANGLE:
        return None
    same = float(np.linalg.norm(met.u - first.u)) <= SAME * (1 + float(np.linalg.norm(first.u)))
    return met if same else None
