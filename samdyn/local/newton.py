"""Batched multi-start Newton for the zeros of a torch function of one point.

Algorithm
---------
1. Starts: a scrambled Sobol sequence over the box, so that they fill it evenly and are the same every time.
2. Every start takes Newton steps with a minimum-norm least-squares solve (the Jacobian may be singular
   along a curve of zeros). A step is cut to a tenth of the box's diagonal, which keeps iterates near their
   start, and is halved up to `HALVINGS` times while it would raise |F|; if no cut lowers |F| the shortest
   is taken, since Newton paths to saddles may climb first. A start is done when its step falls below 1e-13
   of the diagonal, and is given up when it is half a diagonal outside the box.
   A quarter of the starts also run with the damping |F|^2 of Levenberg and Marquardt, which is drawn to the
   nearest point of a curve of zeros, where undamped Newton may slide along it.
3. Iterates whose last step is below 1e-4 of the diagonal are polished by full steps while |F| falls.
4. Kept: those in the box (a margin of 1e-9 of its width is allowed) whose Newton correction is at most 1e-8
   of the diagonal and whose residual is at most tolerance * (1 + |J| (1 + |x|)): what rounding x to the
   nearest float can leave.
5. Duplicates, closer than `separation` times the diagonal, are merged; the one with the smallest residual
   stays.

Cost: n_starts * (n_steps + polish) Jacobians, in one batch each; no Python loop over starts.

References
----------
Nocedal & Wright, Numerical Optimization, ch. 11 (Newton for equations with a line search). Yamashita &
Fukushima, Computing Suppl. 15 (2001) 239-249 (the damping).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from scipy.stats import qmc
from torch import Tensor

from samdyn.compute import batch
from samdyn.compute.checks import Array

HALVINGS = 4
SEPARATION = 1e-6


def sobol_starts(box: Array, n_starts: int, seed: int = 0) -> Array:
    """`n_starts` points (n_starts, dim) that fill a box evenly; n_starts is rounded up to a power of two."""
    dim = len(box)
    sampler = qmc.Sobol(dim, scramble=True, rng=seed)
    unit = sampler.random_base2(int(np.ceil(np.log2(max(2, n_starts)))))
    return np.asarray(qmc.scale(unit, box[:, 0], box[:, 1]))


def newton_zeros(
    function: Callable[[Tensor], Tensor],
    box: Array,
    *,
    n_starts: int = 2048,
    n_steps: int = 60,
    tolerance: float = 1e-12,
    starts: Array | None = None,
    separation: float = SEPARATION,
) -> Array:
    """Zeros of a function R^dim -> R^dim in a box.

    Parameters
    ----------
    function : callable
        Torch function of one point (dim,) -> (dim,).
    box : ndarray, shape (dim, 2)
        Where to look.
    n_starts : int
        Number of Sobol starts (rounded up to a power of two).
    n_steps : int
        Newton steps before the polish.
    tolerance : float
        Largest accepted residual, relative to 1 + |J| (1 + |x|).
    starts : ndarray, shape (n, dim), optional
        Further starts, after the Sobol ones.
    separation : float
        Zeros closer than this times the box's diagonal are one.

    Returns
    -------
    ndarray, shape (n_zeros, dim)
        Sorted by their coordinates.
    """
    both = torch.func.jacrev(lambda x: (value := function(x), value), has_aux=True)

    def evaluate(points: Array) -> tuple[Array, Array]:
        def packed(x: Tensor) -> Tensor:  # one batched call for the value and the Jacobian
            jacobian, value = both(x)
            return torch.cat([value[:, None], jacobian], dim=1)

        result = batch.evaluate(packed, points)
        return result[..., 0], result[..., 1:]

    def size_of(points: Array) -> Array:
        return np.linalg.norm(batch.evaluate(function, points), axis=-1)

    diagonal = float(np.linalg.norm(box[:, 1] - box[:, 0]))
    x = sobol_starts(box, n_starts)
    n_damped = len(x) // 4
    x = np.concatenate([x, *([] if starts is None else [starts]), x[:n_damped]])
    damped = np.arange(len(x)) >= len(x) - n_damped
    margin = 1e-9 * (box[:, 1] - box[:, 0])

    def newton_step(points: Array, damped: npt.NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        value, jacobian = evaluate(points)
        usable = np.isfinite(jacobian).all(axis=(1, 2)) & np.isfinite(value).all(axis=1)
        step = np.full_like(points, np.nan)
        # a relative cut-off of singular values: on curves of zeros the Jacobian has a null direction, along
        # which Newton must not run off
        step[usable] = -np.einsum("nij,nj->ni", np.linalg.pinv(jacobian[usable], rcond=1e-10), value[usable])
        damp = usable & damped
        transposed = jacobian[damp].transpose(0, 2, 1)
        regular = (value[damp] ** 2).sum(axis=1)[:, None, None] * np.eye(len(box)) + transposed @ jacobian[
            damp
        ]
        regular += 1e-300 * np.eye(len(box))
        right = np.einsum("nij,nj->ni", transposed, value[damp])
        step[damp] = -np.einsum("nij,nj->ni", np.linalg.pinv(regular, rcond=1e-15, hermitian=True), right)
        return step, np.linalg.norm(value, axis=1), np.linalg.norm(jacobian, axis=(1, 2))

    with np.errstate(all="ignore"):
        settled = [np.empty((0, len(box)))]
        for _ in range(n_steps):
            step, size, _ = newton_step(x, damped)
            length = np.linalg.norm(step, axis=1, keepdims=True)
            step *= np.minimum(1.0, 0.1 * diagonal / np.where(length > 0, length, 1.0))
            trial = x + step
            worse = np.arange(len(x))
            for _ in range(HALVINGS):
                worse = worse[~(size_of(trial[worse]) <= size[worse])]
                if len(worse) == 0:
                    break
                step[worse] /= 2
                trial[worse] = x[worse] + step[worse]
            near = ((trial >= box[:, 0] - 0.5 * diagonal) & (trial <= box[:, 1] + 0.5 * diagonal)).all(axis=1)
            done = length[:, 0] <= 1e-13 * diagonal
            settled.append(trial[near & done])
            x, damped = trial[near & ~done], damped[near & ~done]
            if len(x) == 0:
                break
        x = np.concatenate([*settled, x])
        if len(x) == 0:
            return x
        step, size, steepness = newton_step(x, np.zeros(len(x), dtype=bool))
        x = x[np.linalg.norm(step, axis=1) <= 1e-4 * diagonal]
        for _ in range(8):
            if len(x) == 0:
                return x
            step, size, steepness = newton_step(x, np.zeros(len(x), dtype=bool))
            better = size_of(x + step) < size
            if not better.any():
                break
            x[better] += step[better]
        step, size, steepness = newton_step(x, np.zeros(len(x), dtype=bool))
    inside = ((x >= box[:, 0] - margin) & (x <= box[:, 1] + margin)).all(axis=1)
    precise = size <= tolerance * (1 + steepness * (1 + np.linalg.norm(x, axis=1)))
    good = inside & precise & (np.linalg.norm(step, axis=1) <= 1e-8 * diagonal)
    return merge(x[good], size[good], separation * diagonal)


def merge(x: Array, size: Array, distance: float) -> Array:
    """One representative, that of smallest `size`, of every group of points that hang together at
    `distance`.
    """
    if len(x) == 0:
        return x
    order = np.argsort(size, kind="stable")
    x = x[order]
    pairs = cKDTree(x).query_pairs(distance, output_type="ndarray")
    keep = np.ones(len(x), dtype=bool)
    if len(pairs):
        keep[pairs.max(axis=1)] = False  # a later point has a larger residual and an earlier neighbour
    x = x[keep]
    return x[np.lexsort(np.round(x, 9).T[::-1])]
