"""Curves and surfaces of zeros, told from isolated degenerate zeros, and gathered.

Algorithm
---------
1. A zero whose Jacobian is singular may lie on a curve or surface of zeros. From each such zero the search
   goes a distance h (`STEP` of the box's diagonal) along each null direction and its opposite, and back onto
   the set of zeros by Gauss-Newton steps of minimum norm. Arriving within 2 h of the start and at least h/2
   along the direction is moving; an isolated degenerate zero, such as the zero of x^3, pulls the search back.
   Zeros that do not move are tried again with h reduced tenfold, `SHRINKS` times: families may bend
   sharply, as they do where they run into a critical point of the loss.
2. The dimension at a zero is the number of null directions along which the search moved.
3. The points reached, where they are new, are searched from in turn, `GENERATIONS` times, which closes gaps
   between samples. Points closer than `LINK` of the diagonal hang together: one family.
4. A family has at least `FEWEST` samples that extend further than duplicates may lie apart. What has not is
   an isolated zero so flat that the search does not feel its pull at the smallest steps, such as the
   zero of the gradient of x^2 + y^4.

Cost: a few hundred Jacobians, in batches.

References
----------
Own construction, after the predictor-corrector methods of Allgower & Georg, Introduction to Numerical
Continuation Methods (SIAM 2003), ch. 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import SEPARATION
from samdyn.numerics.scales import ROUNDING, diagonal_of

STEP = 0.01
LINK = 0.05
GENERATIONS = 4
MOST_POINTS = 4000  # samples of all families: the search grows no further; chosen
CORRECTIONS = 12
SHRINKS = 5
FEWEST = 3
NEIGHBOURS = 4  # samples by which a family is told to be straight; chosen
SINGULAR = 1e-6
"""Ratio of singular values below which a direction counts as a null direction."""

Evaluation = Callable[[Array], tuple[Array, Array]]
Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Family:
    """A curve or surface of zeros.

    Attributes
    ----------
    points : ndarray, shape (n, dim)
        Sample points.
    dimension : int
        1 for a curve, 2 for a surface.
    """

    points: Array
    dimension: int


def split_families(evaluate: Evaluation, zeros: Array, box: Array) -> tuple[Index, list[Family]]:
    """Indices of the isolated zeros, and the families that the others belong to.

    Parameters
    ----------
    evaluate : callable
        Values (n, dim) and Jacobians (n, dim, dim) at points (n, dim).
    zeros : ndarray, shape (n, dim)
    box : ndarray, shape (dim, 2)
        Families are followed inside it.
    """
    dimension, reached = _follow(evaluate, zeros, box)
    members = np.flatnonzero(dimension > 0)
    isolated = np.flatnonzero(dimension == 0)
    if len(members) == 0:
        return isolated, []
    diagonal = diagonal_of(box)
    cloud, sizes = _thinned(zeros[members], dimension[members], 0.2 * STEP * diagonal)
    frontier = reached
    for _ in range(GENERATIONS):
        if len(cloud) > MOST_POINTS or len(frontier) == 0:
            break
        frontier, _ = _thinned(frontier, np.zeros(len(frontier), dtype=int), 0.7 * STEP * diagonal)
        frontier = frontier[cKDTree(cloud).query(frontier)[0] > 0.7 * STEP * diagonal]
        if len(frontier) == 0:
            break
        found, reached = _follow(evaluate, frontier, box)
        kept = found > 0
        cloud, sizes = np.concatenate([cloud, frontier[kept]]), np.concatenate([sizes, found[kept]])
        frontier = reached
    pairs = cKDTree(cloud).query_pairs(LINK * diagonal, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(cloud), len(cloud)))
    count, label = connected_components(links, directed=False)
    label_of_members = label[cKDTree(cloud).query(zeros[members])[1]]
    families = []
    for k in range(count):
        samples, its_zeros = cloud[label == k], members[label_of_members == k]
        # a family smaller than the thinning is told by the zeros themselves
        together = np.concatenate([samples, zeros[its_zeros]])
        extent = float(np.linalg.norm(np.ptp(together, axis=0)))
        if max(len(samples), len(its_zeros)) < FEWEST or extent <= SEPARATION * diagonal:
            isolated = np.concatenate([isolated, its_zeros])
            continue
        # a few members may sit where the set leaves the box or is crossed: the commonest dimension counts
        families.append(Family(samples, int(np.bincount(sizes[label == k]).argmax())))
    return np.sort(_apart(evaluate, zeros, isolated, families, diagonal)), families


def _apart(
    evaluate: Evaluation, zeros: Array, isolated: Index, families: list[Family], diagonal: float
) -> Index:
    """The isolated zeros but for those on a straight line through neighbouring samples of a family, where one
    of these is near and the field vanishes on the way to it: beside a family at which the field is steep a
    Jacobian is rounding, and not singular at all zeros.
    """
    samples = np.concatenate([np.empty((0, zeros.shape[1])), *(family.points for family in families)])
    if len(samples) < NEIGHBOURS or len(isolated) == 0:
        return isolated
    away, near = cKDTree(samples).query(zeros[isolated], NEIGHBOURS)
    offset = samples[near] - zeros[isolated, None]
    along = offset[:, 1:] - offset[:, :1]
    along /= np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-300)
    across = offset[:, :1] - (offset[:, :1] * along).sum(axis=2, keepdims=True) * along
    on_line = (np.linalg.norm(across, axis=2) <= SEPARATION * diagonal).all(axis=1)
    member = on_line & (away[:, 0] <= 2 * STEP * diagonal)
    for share in (0.25, 0.5, 0.75):
        between = zeros[isolated[member]] + share * offset[member, 0]
        value, jacobian = evaluate(between)
        # a Newton step from there would end at a zero that counts as the same
        reach = SEPARATION * diagonal * np.linalg.norm(jacobian, axis=(1, 2))
        member[member] = np.linalg.norm(value, axis=1) <= reach
    return isolated[~member]


def _follow(evaluate: Evaluation, zeros: Array, box: Array) -> tuple[Index, Array]:
    """Dimension of the set of zeros at each zero, and the points reached from them."""
    dimension = np.zeros(len(zeros), dtype=np.int64)
    step = STEP * diagonal_of(box)
    still = np.arange(len(zeros))
    reached = [np.empty((0, len(box)))]
    for _ in range(SHRINKS):
        if len(still) == 0:
            break
        moved, singular, points = _one_step(evaluate, zeros[still], step)
        dimension[still] = moved
        reached.append(points)
        still = still[singular & (moved == 0)]
        step /= 10
    points = np.concatenate(reached)
    return dimension, points[((points >= box[:, 0]) & (points <= box[:, 1])).all(axis=1)]


def _one_step(evaluate: Evaluation, zeros: Array, step: float) -> tuple[Index, Flags, Array]:
    """Number of null directions along which each zero moves, whether it has any, and the points reached."""
    n, dim = zeros.shape
    dimension = np.zeros(n, dtype=np.int64)
    with np.errstate(all="ignore"):
        _, jacobian = evaluate(zeros)
        _, values, vectors = np.linalg.svd(np.where(np.isfinite(jacobian), jacobian, 0.0))
        null = values <= SINGULAR * np.maximum(values[:, :1], 1e-300)
        owner, which = np.nonzero(null)
        if len(owner) == 0:
            return dimension, null.any(axis=1), np.empty((0, dim))
        direction = np.concatenate([vectors[owner, which], -vectors[owner, which]])
        start = zeros[np.tile(owner, 2)]
        point = start + step * direction
        for _ in range(CORRECTIONS):
            value, jacobian = evaluate(point)
            usable = np.isfinite(jacobian).all(axis=(1, 2)) & np.isfinite(value).all(axis=1)
            change = np.zeros_like(point)
            inverse = np.linalg.pinv(jacobian[usable], rcond=1e-8)
            change[usable] = -np.einsum("nij,nj->ni", inverse, value[usable])
            length = np.linalg.norm(change, axis=1, keepdims=True)
            point = point + change * np.minimum(1.0, step / np.maximum(length, 1e-300))
        value, jacobian = evaluate(point)
        slope = np.linalg.norm(jacobian, axis=(1, 2))
        # the step is a share of the problem's length, so that only rounding far from the origin is added
        rounding = ROUNDING * slope * np.linalg.norm(point, axis=1)
        zero = np.linalg.norm(value, axis=1) <= 1e-9 * slope * step + rounding
    moved = zero & (np.linalg.norm(point - start, axis=1) <= 2 * step)
    moved &= np.einsum("ni,ni->n", point - start, direction) >= 0.5 * step
    half = len(owner)
    either = moved[:half] | moved[half:]
    np.add.at(dimension, owner[either], 1)
    return dimension, null.any(axis=1), point[moved]


def _thinned(x: Array, sizes: Index, distance: float) -> tuple[Array, Index]:
    """One point of every cell of a grid."""
    _, first = np.unique(np.round(x / distance), axis=0, return_index=True)
    first.sort()
    return x[first], sizes[first]
