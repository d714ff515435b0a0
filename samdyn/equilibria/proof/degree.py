"""Winding numbers of a planar field along segments, rectangles and grids of them (Brouwer's degree in 2-D).

Along a closed curve on which it does not vanish a continuous field F turns by 2 pi times an integer, the sum
of the indices of the zeros inside: the sign of det dF at a regular one.

Algorithm (`turning`)
---------------------
1. Every segment is sampled at `FIRST` + 1 points. A piece between neighbours is good if the angle between
   the fields at its ends is below a quarter turn, and so is the angle that the derivative at either end
   predicts for its length.
2. A piece that is not good is halved. A good one is halved once more, and counts when both halves are good
   too: the angle between its ends is then verified by the point in the middle.
3. A piece shorter than `SHORTEST` of its segment that is still not good is a jump. With ``convex=True`` it
   counts by the angle between its sides if that is below `STRAIGHT` of a half turn (the field then runs over
   the segment between both values, as Filippov's does); otherwise the segment has no turning. Such pieces
   stay longer than `CONVEX` of the segment and than `APART` roundings of the coordinates: what the field is
   given on the jump itself is no limit from either side, and a sample must not meet it.
4. A segment has no turning (nan) either where F is infinite, nan, or zero to rounding at one of its points.

A layer that is passed within a piece between samples, and at whose edges F does not turn, stays unseen.

References
----------
Deimling, Nonlinear Functional Analysis (1985), ch. 1 (the degree). Ying & Katz, Numer. Math. 53 (1988)
143-163 (winding numbers by bisection). Filippov, Differential Equations with Discontinuous Righthand Sides
(1988), section 14 (fields that jump).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

__all__ = ["grid_windings", "turning", "windings"]

Evaluation = Callable[[Array], tuple[Array, Array]]

FIRST = 16
SHORTEST = 2.0**-46  # a few roundings of the coordinates
CONVEX = 2.0**-30
APART = 1024
QUARTER = np.pi / 2
STRAIGHT = 1 - 1e-12  # a field that passes through zero on the segment turns by a half
ZERO = 1e-13  # of |J| times |x| and the length: what rounding and the shortest piece make of a zero
MOST_PIECES = 400_000
"""Where more are open at once the field is noise."""


def turning(
    evaluate: Evaluation, start: Array, stop: Array, *, convex: bool = False, first: int = FIRST
) -> Array:
    """By how much a field turns along segments, in radians.

    Parameters
    ----------
    evaluate : callable
        Values (n, 2) and Jacobians (n, 2, 2) at points (n, 2).
    start, stop : ndarray, shape (m, 2)
        Ends of the segments.
    convex : bool
        Whether jumps count by the angle between their sides.
    first : int
        Pieces of each segment to begin with.

    Returns
    -------
    ndarray, shape (m,)
        Anticlockwise positive; nan where the field vanishes, jumps or is not finite on the segment.

    Examples
    --------
    >>> import numpy as np
    >>> identity = lambda x: (x, np.broadcast_to(np.eye(2), (len(x), 2, 2)))
    >>> angle = turning(identity, np.array([[1.0, -1.0]]), np.array([[1.0, 1.0]]))
    >>> (angle / np.pi).round(12).tolist()
    [0.5]
    """
    m = len(start)
    total, defined = np.zeros(m), np.ones(m, dtype=bool)
    shortest = np.full(m, SHORTEST)
    if convex:
        rounding = np.spacing(np.maximum(np.abs(start), np.abs(stop)).max(axis=1))
        with np.errstate(divide="ignore"):
            shortest = np.maximum(CONVEX, APART * rounding / np.linalg.norm(stop - start, axis=1))

    def at(of: npt.NDArray[np.int_], t: Array) -> tuple[Array, Array]:
        """F (n, 2), and its angular speed (n,) along the segments at t; flags what is zero or not finite."""
        x = start[of] + t[:, None] * (stop - start)[of]
        value, jacobian = evaluate(x)
        slope = np.einsum("nij,nj->ni", jacobian, (stop - start)[of])
        square = (value**2).sum(axis=1)
        size = np.linalg.norm(x, axis=1) + np.linalg.norm((stop - start)[of], axis=1)
        steep = np.linalg.norm(jacobian, axis=(1, 2)) * size
        defined[of[~(np.isfinite(square) & (np.sqrt(square) > ZERO * steep))]] = False
        return value, np.abs(value[:, 0] * slope[:, 1] - value[:, 1] * slope[:, 0]) / square

    with np.errstate(all="ignore"):
        of = np.repeat(np.arange(m), first)
        left = np.tile(np.arange(first) / first, m)
        value, speed = at(np.repeat(np.arange(m), first + 1), np.tile(np.arange(first + 1) / first, m))
        value, speed = value.reshape(m, first + 1, 2), speed.reshape(m, first + 1)
        f, g = value[:, :-1].reshape(-1, 2), value[:, 1:].reshape(-1, 2)
        v, w = speed[:, :-1].ravel(), speed[:, 1:].ravel()
        length, once = np.full(len(of), 1 / first), np.zeros(len(of), dtype=bool)
        while len(of):
            angle = np.arctan2(f[:, 0] * g[:, 1] - f[:, 1] * g[:, 0], (f * g).sum(axis=1))
            # where the Jacobian is nan, as on a kink, the angle alone must do
            good = (np.abs(angle) < QUARTER) & ~(np.fmax(v, w) * length > QUARTER)
            ends = (good & once) | (length < shortest[of])
            jump = ends & ~good
            if not convex:
                defined[of[jump]] = False
            defined[of[jump & ~(np.abs(angle) < STRAIGHT * np.pi)]] = False
            np.add.at(total, of[ends], angle[ends])
            go = ~ends & defined[of]
            if go.sum() > MOST_PIECES:
                defined[of[go]] = False
                break
            of, left, length, good = of[go], left[go], length[go] / 2, good[go]
            f, g, v, w = f[go], g[go], v[go], w[go]
            middle, speed_there = at(of, left + length)
            of, length = np.tile(of, 2), np.tile(length, 2)
            left = np.concatenate([left, left + length[: len(left)]])
            f, g = np.concatenate([f, middle]), np.concatenate([middle, g])
            v, w = np.concatenate([v, speed_there]), np.concatenate([speed_there, w])
            once = np.tile(good, 2)
    total[~defined] = np.nan
    return total


def windings(evaluate: Evaluation, boxes: Array, *, convex: bool = False, first: int = FIRST) -> Array:
    """Winding numbers of a field along the boundaries of rectangles (m, 2, 2), nan where undefined.

    Examples
    --------
    >>> import numpy as np
    >>> def saddle(x):
    ...     return x * [1, -1], np.broadcast_to(np.diag([1.0, -1.0]), (len(x), 2, 2))
    >>> windings(saddle, np.array([[[-1, 1], [-1, 2]], [[1, 2], [0, 1]]])).tolist()
    [-1.0, 0.0]
    """
    (x0, x1), (y0, y1) = boxes[:, 0].T, boxes[:, 1].T
    corners = np.stack([np.stack([x, y], axis=-1) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))])
    start, stop = corners.reshape(-1, 2), np.roll(corners, -1, axis=0).reshape(-1, 2)
    angles = turning(evaluate, start, stop, convex=convex, first=first)
    return _whole(angles.reshape(4, -1).sum(axis=0))


def grid_windings(evaluate: Evaluation, x: Array, y: Array, *, convex: bool = False) -> Array:
    """Winding numbers (len(x) - 1, len(y) - 1) along the cells of a grid, whose edges are sampled once."""
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    parts = [(grid[:-1], grid[1:]), (grid[:, :-1], grid[:, 1:])]
    angles = turning(
        evaluate,
        *(np.concatenate([part[k].reshape(-1, 2) for part in parts]) for k in range(2)),
        convex=convex,
    )
    n = (len(x) - 1) * len(y)
    along, up = angles[:n].reshape(len(x) - 1, len(y)), angles[n:].reshape(len(x), len(y) - 1)
    return _whole(along[:, :-1] + up[1:] - along[:, 1:] - up[:-1])


def _whole(angle: Array) -> Array:
    turns = angle / (2 * np.pi)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(turns - np.round(turns)) < 1e-6, np.round(turns), np.nan) + 0.0
