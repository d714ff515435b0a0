"""Newton's method on all points of a cycle at once (multiple shooting).

The points x_0, ..., x_{k-1} of a cycle of period k solve Phi(x_i) = x_{i+1}, Phi(x_{k-1}) = x_0: a system of
k dim equations whose matrix is cyclic by blocks. Iterating Phi k times multiplies an error by the cycle's
multiplier, which for a long unstable cycle exceeds all precision; here every equation is one step, and the
Newton correction says how far from a true cycle the points are.

References
----------
Guckenheimer & Meloon, SIAM J. Sci. Comput. 22 (2000) 951-985.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samdyn.arguments.checks import Array

STEPS = 6  # of Newton's method, which converges quadratically or not at all
TILE = 1 << 22  # entries of matrices held at a time

Evaluation = Callable[[Array], tuple[Array, Array]]


def refined_cycles(evaluate: Evaluation, points: Array) -> tuple[Array, Array, Array, Array]:
    """Cycles near given ones, by at most `STEPS` Newton steps, as long as the corrections shrink.

    Parameters
    ----------
    evaluate : callable
        Images (m, dim) and Jacobians (m, dim, dim) at points (m, dim).
    points : ndarray, shape (n, k, dim)
        Approximate cycles.

    Returns
    -------
    points : ndarray, shape (n, k, dim)
    correction : ndarray, shape (n,)
        Largest of the last Newton step that was taken; inf where there is none.
    residual : ndarray, shape (n,)
        Largest ``|Phi(x_i) - x_{i+1}|``.
    jacobians : ndarray, shape (n, k, dim, dim)
    """
    points = points.copy()
    correction = np.full(len(points), np.inf)
    going = np.arange(len(points))
    with np.errstate(all="ignore"):
        for _ in range(STEPS + 1):
            if len(going) == 0:
                break
            step = _newton(evaluate, points[going])[2]
            length = np.nan_to_num(np.linalg.norm(step, axis=2).max(axis=1), nan=np.inf)
            # the first step is judged by itself; a later one must not be longer than the one before
            better = length < correction[going]
            at = going[better]
            correction[at] = length[better]
            points[at] += step[better]
            going = at[length[better] > 0]
        # the residual of the points that are handed back
        gap, slopes, _ = _newton(evaluate, points, solve=False)
        residual = np.nan_to_num(np.linalg.norm(gap, axis=2).max(axis=1), nan=np.inf)
    return points, correction, residual, slopes


def _newton(evaluate: Evaluation, points: Array, solve: bool = True) -> tuple[Array, Array, Array]:
    """Phi(x_i) - x_{i+1}, the Jacobians, and the Newton step of every cycle."""
    n, k, dim = points.shape
    image, slopes = evaluate(points.reshape(-1, dim))
    gap = image.reshape(n, k, dim) - np.roll(points, -1, axis=1)
    slopes = slopes.reshape(n, k, dim, dim)
    step = np.full_like(points, np.nan)
    usable = np.flatnonzero(np.isfinite(slopes).all(axis=(1, 2, 3)) & np.isfinite(gap).all(axis=(1, 2)))
    if not solve:
        return gap, slopes, step
    each = max(1, TILE // (k * dim) ** 2)
    here = np.arange(k)
    for low in range(0, len(usable), each):
        part = usable[low : low + each]
        matrix = np.zeros((len(part), k, dim, k, dim))
        matrix[:, here, :, here, :] += slopes[part].swapaxes(0, 1)
        # with k = 1 both blocks fall onto each other
        matrix[:, here, :, (here + 1) % k, :] -= np.eye(dim)
        square = matrix.reshape(len(part), k * dim, k * dim)
        right = -gap[part].reshape(len(part), k * dim)
        try:
            solved = np.linalg.solve(square, right[..., None])[..., 0]
        except np.linalg.LinAlgError:  # a multiplier of 1: cycles in families, of which the nearest is meant
            solved = np.einsum("nij,nj->ni", np.linalg.pinv(square, rcond=1e-12), right)
        step[part] = solved.reshape(len(part), k, dim)
    return gap, slopes, step
