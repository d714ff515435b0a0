"""Batched multi-start Newton for the zeros of a torch function of one point.

Algorithm
---------
1. Starts: a scrambled Sobol sequence over the box, so that they fill it evenly and are the same every time.
2. Every start takes Newton steps with a minimum-norm least-squares solve (the Jacobian may be singular along a curve of zeros). A step is cut to a tenth of the
   box's diagonal, which keeps iterates near their start, and is halved up to `HALVINGS` times while it would raise |F|; if no cut lowers |F| the
   shortest is taken, since Newton paths to saddles may climb first.
3. After `n_steps` steps, iterates with |F| below `KEEP` times the scale of F over the starts are polished by full steps until |F| stops falling.
4. Kept: those that end in the box (a margin of 1e-9 of its width is allowed) with residual |F| <= tolerance * (1 + scale).
5. Duplicates, closer than `separation` times the diagonal, are merged; the one with the smallest residual stays.

Cost: n_starts * (n_steps + polish) Jacobians, in one batch each; no Python loop over starts.

References
----------
Nocedal & Wright, Numerical Optimization, ch. 11 (Newton for equations with a line search).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.stats import qmc
from torch import Tensor

from samdyn.compute import batch
from samdyn.compute.checks import Array

HALVINGS = 4
KEEP = 1e-3
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
        Largest accepted residual, relative to one plus the median of |F| over the starts.
    starts : ndarray, shape (n, dim), optional
        Further starts, after the Sobol ones.
    separation : float
        Zeros closer than this times the box's diagonal are one.

    Returns
    -------
    ndarray, shape (n_zeros, dim)
        Sorted by their coordinates.
    """
    both = torch.func.jacfwd(lambda x: (value := function(x), value), has_aux=True)

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
    if starts is not None:
        x = np.concatenate([x, starts])
    scale = float(np.nanmedian(size_of(x)))
    margin = 1e-9 * (box[:, 1] - box[:, 0])

    def newton_step(points: Array) -> tuple[Array, Array]:
        value, jacobian = evaluate(points)
        usable = np.isfinite(jacobian).all(axis=(1, 2)) & np.isfinite(value).all(axis=1)
        step = np.zeros_like(points)
        # a relative cut-off of singular values: on curves of zeros the Jacobian has a null direction, along which Newton must not run off
        step[usable] = -np.einsum("nij,nj->ni", np.linalg.pinv(jacobian[usable], rcond=1e-10), value[usable])
        return step, np.linalg.norm(value, axis=1)

    with np.errstate(all="ignore"):
        for _ in range(n_steps):
            step, size = newton_step(x)
            length = np.linalg.norm(step, axis=1, keepdims=True)
            step *= np.minimum(1.0, 0.1 * diagonal / np.where(length > 0, length, 1.0))
            trial = x + step
            for _ in range(HALVINGS):
                worse = ~(size_of(trial) <= size)
                if not worse.any():
                    break
                step[worse] /= 2
                trial[worse] = x[worse] + step[worse]
            x = trial
            near = ((x >= box[:, 0] - 0.5 * diagonal) & (x <= box[:, 1] + 0.5 * diagonal)).all(axis=1)
            x = x[near & np.isfinite(x).all(axis=1)]
            if len(x) == 0:
                return np.empty((0, len(box)))
            if float(np.max(np.linalg.norm(step, axis=1))) <= 1e-14 * diagonal:
                break
        x = x[size_of(x) <= KEEP * (1 + scale)]
        for _ in range(8):
            if len(x) == 0:
                return np.empty((0, len(box)))
            step, size = newton_step(x)
            better = size_of(x + step) < size
            if not better.any():
                break
            x[better] += step[better]
        size = size_of(x)
    inside = ((x >= box[:, 0] - margin) & (x <= box[:, 1] + margin)).all(axis=1)
    good = inside & (size <= tolerance * (1 + scale))
    return merge(x[good], size[good], separation * diagonal)


def merge(x: Array, size: Array, distance: float) -> Array:
    """One representative, that of smallest `size`, of every group of points that hang together at `distance`."""
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
