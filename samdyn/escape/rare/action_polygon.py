"""The geometric action of polygons, its derivative by the corners, and its second variation.

A polygon with corners x_0 ... x_(n-1) has the action sum over its sides of |s| |b| - <s, b>, with s the
side, b the drift and <u, v> = u^T a^-1 v at its middle (`samdyn.escape.rare.action_field`). Many polygons of
one size are evaluated together. The second variation is the Hessian by the inner corners, by central
differences of the derivative, on displacements across the polygon: those along it change nothing but the
spacing.
"""

from __future__ import annotations

import numpy as np
from scipy import interpolate
from scipy.sparse.linalg import LinearOperator, eigsh

from samdyn.arguments.checks import Array
from samdyn.escape.rare.action_field import ActionField

SMALL = 1e-12  # of their mean, added to lengths and speeds, which are divided by
MOST_DENSE = 300  # unknowns of a second variation computed as a whole matrix
BEND = 1e-4  # of the polygon's length: displacement for a difference of derivatives


def respaced(x: Array, n: int) -> Array:
    """Points at equal distances along the polygon through points (m, dim)."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(length) > 0])
    return np.asarray(interpolate.interp1d(length[keep], x[keep], axis=0)(np.linspace(0, length[-1], n)))


def path_length(x: Array) -> float:
    """Length of the polygon through points (n, dim)."""
    return float(np.linalg.norm(np.diff(x, axis=0), axis=1).sum())


def actions(field: ActionField, x: Array) -> tuple[Array, Array, Array]:
    """Actions (k,) of polygons (k, n, dim), their derivatives (k, n, dim), and their sizes (k,).

    The size is the sum of |s| |b|, half of what the path costs that goes straight against the drift: the unit
    in which an action is small.
    """
    side, middle = np.diff(x, axis=1), (x[:, 1:] + x[:, :-1]) / 2
    k, sides, dim = side.shape
    drift, inverse, slopes = field.with_slopes(middle.reshape(-1, dim))
    b, metric = drift.reshape(side.shape), inverse.reshape(k, sides, dim, dim)
    side_flat, b_flat = np.einsum("pnij,pnj->pni", metric, side), np.einsum("pnij,pnj->pni", metric, b)
    size = _above_zero(np.sqrt(np.einsum("pni,pni->pn", side, side_flat)))
    speed = _above_zero(np.sqrt(np.einsum("pni,pni->pn", b, b_flat)))
    action = (size * speed - np.einsum("pni,pni->pn", side, b_flat)).sum(axis=1)
    by_side = side_flat * (speed / size)[..., None] - b_flat
    by_drift = b_flat * (size / speed)[..., None] - side_flat
    outer = (
        np.einsum("pni,pnj,pn->pnij", side, side, speed / size)
        + np.einsum("pni,pnj,pn->pnij", b, b, size / speed)
        - np.einsum("pni,pnj->pnij", side, b)
        - np.einsum("pni,pnj->pnij", b, side)
    ) / 2
    by_middle = slopes(by_drift.reshape(-1, dim), outer.reshape(-1, dim, dim)).reshape(side.shape)
    slope = np.zeros_like(x)
    slope[:, 1:] += by_side + by_middle / 2
    slope[:, :-1] += by_middle / 2 - by_side
    return action, slope, (size * speed).sum(axis=1)


def _above_zero(lengths: Array) -> Array:
    """Lengths (k, n), of which none is zero."""
    return np.asarray(lengths + SMALL * lengths.mean(axis=1, keepdims=True) + 1e-300)


def unevenness(x: Array) -> tuple[Array, Array]:
    """How unequal the sides of polygons (k, n, dim) are, (k,), and its derivative by the corners.

    It is the variance of the squared sides over their mean squared: 0 where all are equal. Added to the
    action it keeps a descent from long sides whose middles lie where the drift is small.
    """
    side = np.diff(x, axis=1)
    square = (side**2).sum(axis=2)
    mean = square.mean(axis=1, keepdims=True) + 1e-300
    ratio = square / mean
    second = (ratio**2).mean(axis=1, keepdims=True)
    by_side = (4 / (square.shape[1] * mean) * (ratio - second))[..., None] * side
    slope = np.zeros_like(x)
    slope[:, 1:] += by_side
    slope[:, :-1] -= by_side
    return np.asarray(second[:, 0] - 1), slope


def softest_bend(field: ActionField, x: Array) -> tuple[float, Array]:
    """Least eigenvalue of the second variation over the largest, and its displacement (n, dim), at most 1
    long.

    Below zero the path is a saddle of the action, not a minimum.
    """
    n, dim = x.shape
    along = x[2:] - x[:-2]
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-300)
    step = BEND * path_length(x)

    def across(v: Array) -> Array:
        return v - (v * along).sum(axis=-1, keepdims=True) * along

    def times(columns: Array) -> Array:
        """The second variation times displacements (m, n - 2, dim)."""
        move = np.zeros((len(columns), n, dim))
        move[:, 1:-1] = step * across(columns)
        slopes = [actions(field, x + sign * move)[1][:, 1:-1] for sign in (1, -1)]
        return across((slopes[0] - slopes[1]) / (2 * step))

    m = (n - 2) * dim
    if m <= MOST_DENSE:
        matrix = times(np.eye(m).reshape(m, n - 2, dim)).reshape(m, m)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        low, high, vector = values[0], np.abs(values).max(), vectors[:, 0]
    else:
        operator = LinearOperator((m, m), lambda v: times(v.reshape(1, n - 2, dim)).ravel(), dtype=np.float64)
        start = np.tile(np.sin(np.linspace(0, np.pi, n)[1:-1])[:, None], (1, dim)).ravel()
        values, vectors = eigsh(operator, k=1, which="SA", v0=start, tol=1e-3, maxiter=50 * m)
        high = np.abs(eigsh(operator, k=1, which="LM", v0=start, tol=1e-2, return_eigenvectors=False)[0])
        low, vector = values[0], vectors[:, 0]
    bend = np.zeros((n, dim))
    bend[1:-1] = across(vector.reshape(n - 2, dim))
    return float(low / max(high, 1e-300)), bend / max(float(np.linalg.norm(bend, axis=1).max()), 1e-300)
