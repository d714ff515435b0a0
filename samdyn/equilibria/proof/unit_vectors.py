"""Intervals of unit vectors: the range of g/|g| over boxes of g, and covers of the ball of directions.

Component i of g/|g| is increasing in g_i and, in modulus, decreasing in the others, so that its range is
known exactly from the ends of the intervals. Where a box touches 0 the range includes every limit of
g/|g|: nothing is divided by zero.

References
----------
Own derivation.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.numerics import interval as iv
from samdyn.numerics.interval import Flags, Interval

CELLS = {1: 4, 2: 12, 3: 6}
"""Cubes a side that cover the ball of directions, by dimension; one from four dimensions on."""

Index = npt.NDArray[np.int64]


def sum_of(a: Interval) -> Interval:
    """Sum over the last axis."""
    total = Interval(a.lower[..., 0], a.upper[..., 0])
    for k in range(1, a.lower.shape[-1]):
        total = iv.add(total, Interval(a.lower[..., k], a.upper[..., k]))
    return total


def matrix_product(a: Interval, b: Interval) -> Interval:
    """Products of interval matrices (n, i, k) and (n, k, j), or vectors (n, k, 1)."""
    with np.errstate(all="ignore"):
        left = Interval(a.lower[:, :, None, :], a.upper[:, :, None, :])
        right = Interval(b.lower.transpose(0, 2, 1)[:, None], b.upper.transpose(0, 2, 1)[:, None])
        return sum_of(iv.mul(left, right))


def unit_range(gradient: Interval) -> Interval:
    """The range of g/|g| over boxes of g (n, dim), with all limits where a box touches 0.

    Component i is largest at the largest g_i, with the other components as small as they can be in modulus
    if g_i > 0 and as large as they can be if g_i < 0.
    """
    lower, upper = np.empty_like(gradient.lower), np.empty_like(gradient.upper)
    dim = gradient.lower.shape[-1]
    with np.errstate(all="ignore"):
        squares = iv.square(gradient)
        for i in range(dim):
            others = Interval(np.zeros(gradient.lower.shape[:-1]), np.zeros(gradient.lower.shape[:-1]))
            for j in range(dim):
                if j != i:
                    others = iv.add(others, Interval(squares.lower[..., j], squares.upper[..., j]))
            others = Interval(np.maximum(others.lower, 0.0), others.upper)
            upper[..., i] = _largest_component(gradient.upper[..., i], others)
            lower[..., i] = -_largest_component(-gradient.lower[..., i], others)
    return Interval(lower, upper)


def _largest_component(largest: Array, others: Interval) -> Array:
    """Upper bound of t / sqrt(t^2 + s) over t up to `largest` and s in `others`."""
    s = np.where(largest > 0, others.lower, others.upper)
    t, rest = iv.point(largest), iv.point(s)
    ratio = iv.div(t, iv.sqrt(iv.add(iv.square(t), rest))).upper
    # 0/0: every other component can vanish, so can t
    return np.asarray(np.where(largest == 0, 0.0, np.minimum(np.where(np.isnan(ratio), 1.0, ratio), 1.0)))


def tangent_projector(unit: Interval) -> Interval:
    """Bounds (n, dim, dim) of I - u u^T for unit vectors u in boxes; its diagonal is the sum of the other
    squares.
    """
    dim = unit.lower.shape[-1]
    if dim == 1:
        return Interval(*(np.zeros((len(unit.lower), 1, 1)) for _ in range(2)))
    product = iv.mul(
        Interval(unit.lower[:, :, None], unit.upper[:, :, None]),
        Interval(unit.lower[:, None], unit.upper[:, None]),
    )
    result = iv.neg(product)
    squares = iv.square(unit)
    for i in range(dim):
        others = [j for j in range(dim) if j != i]
        diagonal = sum_of(Interval(squares.lower[:, others], squares.upper[:, others]))
        result.lower[:, i, i] = np.maximum(diagonal.lower, 0.0)
        result.upper[:, i, i] = np.minimum(diagonal.upper, 1.0)
    return result


@functools.cache
def direction_cover(dim: int, surface: bool) -> Interval:
    """Cubes (n, dim) that cover the unit ball, or the unit sphere alone (`surface`)."""
    cells = CELLS.get(dim, 1)
    edges = np.linspace(-1.0, 1.0, cells + 1)
    index = np.array(list(itertools.product(range(cells), repeat=dim)))
    cubes = Interval(edges[index], edges[index + 1])
    keep = _meets_sphere(cubes) if surface else _distances(cubes)[0] <= 1 + 1e-12
    return Interval(cubes.lower[keep], cubes.upper[keep])


def _distances(cubes: Interval) -> tuple[Array, Array]:
    """Smallest and largest distance from the origin."""
    nearest = np.maximum(np.maximum(cubes.lower, -cubes.upper), 0.0)
    return np.linalg.norm(nearest, axis=1), np.linalg.norm(iv.magnitude(cubes), axis=1)


def _meets_sphere(cubes: Interval) -> Flags:
    nearest, farthest = _distances(cubes)
    return np.asarray((nearest <= 1 + 1e-12) & (farthest >= 1 - 1e-12))


def split_directions(owner: Index, pieces: Interval) -> tuple[Index, Interval]:
    """Every cube of directions halved along each axis; those that miss the unit sphere are dropped."""
    for axis in range(pieces.lower.shape[1]):
        middle = 0.5 * (pieces.lower[:, axis] + pieces.upper[:, axis])
        left, right = pieces.upper.copy(), pieces.lower.copy()
        left[:, axis] = right[:, axis] = middle
        pieces = Interval(np.concatenate([pieces.lower, right]), np.concatenate([left, pieces.upper]))
        owner = np.concatenate([owner, owner])
    keep = _meets_sphere(pieces)
    return owner[keep], Interval(pieces.lower[keep], pieces.upper[keep])
